//! Values of registers: their bytes, their order, which of them is shown.

use std::cmp::Ordering;

use sluice_seams::{Key, Profile};

use crate::keys;
use crate::tables::{PROFILE_FAMILY, SEEN_FAMILY};

/// Bytes of a written property before the JSON: time 8, `K` 16, tag 1.
const HEAD_BYTES: usize = 25;

/// Names a writer in its cells' names.
pub(crate) type Writer = [u8; 8];

/// What a register keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// First and last time: both ends win.
    Span,
    /// Latest set or unset by `(time, K, content)`.
    Latest,
    /// Earliest set-once by `(time, K, content)`.
    Once,
}

/// A register within its user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    /// The property; empty for a span.
    pub(crate) name: String,
}

// === impl Field ===

impl Field {
    pub(crate) fn span() -> Self {
        Self { kind: Kind::Span, name: String::new() }
    }

    /// The column of a writer's cell:
    /// `s:` writer 8, or `p:` kind 1 (`v` set or unset, `o` set-once) · writer 8 · name.
    pub(crate) fn column(&self, writer: Writer) -> Vec<u8> {
        let mut column = Vec::with_capacity(11 + self.name.len());
        match self.kind {
            Kind::Span => column.extend_from_slice(SEEN_FAMILY.as_bytes()),
            Kind::Latest | Kind::Once => column.extend_from_slice(PROFILE_FAMILY.as_bytes()),
        }
        column.push(b':');
        match self.kind {
            Kind::Span => {}
            Kind::Latest => column.push(b'v'),
            Kind::Once => column.push(b'o'),
        }
        column.extend_from_slice(&writer);
        column.extend_from_slice(self.name.as_bytes());
        column
    }

    /// Reads what [`column`](Self::column) wrote.
    pub(crate) fn read(column: &[u8]) -> Option<(Self, Writer)> {
        let (family, rest) = column.split_at_checked(2)?;
        let (kind, rest) = match (family, rest.first()?) {
            (b"s:", _) => (Kind::Span, rest),
            (b"p:", b'v') => (Kind::Latest, &rest[1..]),
            (b"p:", b'o') => (Kind::Once, &rest[1..]),
            _ => return None,
        };
        let (writer, name) = rest.split_at_checked(8)?;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        let fits = kind != Kind::Span || name.is_empty();
        fits.then_some((Self { kind, name }, writer.try_into().ok()?))
    }
}

// === impl Kind ===

impl Kind {
    /// Whether bytes can be a value of this kind.
    pub(crate) fn is_value(self, bytes: &[u8]) -> bool {
        match self {
            Self::Span => bytes.len() == 16,
            Self::Latest | Self::Once => bytes.len() >= HEAD_BYTES && bytes[HEAD_BYTES - 1] <= 1,
        }
    }

    /// The least value that holds both; `None` where `held` holds `new` already.
    pub(crate) fn join(self, held: &[u8], new: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Span => {
                let first = (&held[..8]).min(&new[..8]);
                let last = (&held[8..]).max(&new[8..]);
                let joined = [first, last].concat();
                (joined != held).then_some(joined)
            }
            Self::Latest => (new > held).then(|| new.to_vec()),
            Self::Once => (new < held).then(|| new.to_vec()),
        }
    }

    /// Whether `held` holds all of `other`.
    pub(crate) fn holds(self, held: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Span => held[..8] <= other[..8] && held[8..] >= other[8..],
            Self::Latest => held.cmp(other) != Ordering::Less,
            Self::Once => held.cmp(other) != Ordering::Greater,
        }
    }
}

/// A span of one moment.
pub(crate) fn span(time_ms: i64) -> Vec<u8> {
    [keys::time(time_ms), keys::time(time_ms)].concat()
}

/// A write of a property at `(time, key)`; no value unsets.
pub(crate) fn written(time_ms: i64, key: Key, value: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + value.map_or(0, <[u8]>::len));
    bytes.extend_from_slice(&keys::time(time_ms));
    bytes.extend_from_slice(&key.to_bytes());
    bytes.push(u8::from(value.is_some()));
    bytes.extend_from_slice(value.unwrap_or_default());
    bytes
}

/// The profile that registers make; `None` where there are none.
///
/// # Errors
/// A value that is not JSON, which nobody writes.
pub(crate) fn profile(
    registers: impl IntoIterator<Item = (Field, Vec<u8>)>,
) -> Result<Option<Profile>, String> {
    let mut profile = Profile::default();
    let mut cells = std::collections::BTreeMap::<String, [Option<Vec<u8>>; 2]>::new();
    let mut seen = false;
    for (field, value) in registers {
        seen = true;
        match field.kind {
            Kind::Span => {
                profile.first_seen_ms = keys::read_time(&value[..8]);
                profile.last_seen_ms = keys::read_time(&value[8..]);
            }
            Kind::Latest => cells.entry(field.name).or_default()[0] = Some(value),
            Kind::Once => cells.entry(field.name).or_default()[1] = Some(value),
        }
    }
    for (name, [latest, once]) in cells {
        if let Some(json) = shown(latest.as_deref(), once.as_deref()) {
            let value = serde_json::from_slice(json)
                .map_err(|error| format!("property {name} is not JSON: {error}"))?;
            profile.properties.insert(name, value);
        }
    }
    Ok(seen.then_some(profile))
}

/// The JSON to show: the latest set; after an unset, or without either, the
/// earliest set-once, unless it stands before the unset.
fn shown<'a>(latest: Option<&'a [u8]>, once: Option<&'a [u8]>) -> Option<&'a [u8]> {
    let json = |bytes: &'a [u8]| (bytes[HEAD_BYTES - 1] == 1).then(|| &bytes[HEAD_BYTES..]);
    let place = |bytes: &'a [u8]| &bytes[..HEAD_BYTES - 1];
    match latest {
        None => json(once?),
        Some(latest) => {
            json(latest).or_else(|| json(once.filter(|once| place(once) > place(latest))?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_survive_their_bytes() {
        let writer = *b"\0:writer";
        let fields = [
            Field::span(),
            Field { kind: Kind::Latest, name: String::new() },
            Field { kind: Kind::Once, name: "名:\0字".into() },
        ];
        for field in fields {
            assert_eq!(Field::read(&field.column(writer)), Some((field.clone(), writer)));
        }
        for odd in [&b"s"[..], b"s:short", b"p:x12345678", b"s:123456789", b"q:v12345678a", b""] {
            assert_eq!(Field::read(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_join_holds_both_whatever_the_order() {
        let spans: Vec<_> = [-3, 0, 7, 9].into_iter().map(span).collect();
        let texts: Vec<_> = [(1, 1, Some("1")), (1, 2, None), (2, 1, Some("0")), (2, 1, Some("1"))]
            .into_iter()
            .map(|(time, key, json)| written(time, Key(key), json.map(str::as_bytes)))
            .collect();
        for (kind, values) in
            [(Kind::Span, spans), (Kind::Latest, texts.clone()), (Kind::Once, texts)]
        {
            for a in &values {
                assert_eq!(kind.join(a, a), None);
                for b in &values {
                    let ab = kind.join(a, b).unwrap_or_else(|| a.clone());
                    let ba = kind.join(b, a).unwrap_or_else(|| b.clone());
                    assert_eq!(ab, ba, "{kind:?}");
                    assert!(kind.holds(&ab, a) && kind.holds(&ab, b), "{kind:?}");
                    assert_eq!(kind.holds(a, b), kind.join(a, b).is_none(), "{kind:?}");
                }
            }
        }
    }
}
