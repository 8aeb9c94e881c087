//! What a record is known by when it comes again.
//!
//! `log.record.uid` is its id where it has one. Else the id is a hash of all
//! that an exporter sends of it: resource, scope, and every field of the record but
//! the count of attributes it left out.
//! An exporter's retry sends the same bytes again, in whatever request, and no
//! exporter changes a field between two tries. The observed time is part of it:
//! lines of a file with times in whole seconds would be one without.
//!
//! Both encodings of one record have one hash: it is of the values, not of the
//! bytes. Every part has its length or its kind before it, so that no two lists
//! of parts read alike.

use sluice_event::Text;
use sluice_event::limits::EVENT_ID_BYTES_MAX;

use super::any::{Any, Pairs, Record, Scope, get};
use crate::dialects::identity::Identity;

/// The attribute that names a record.
const UID: &str = "log.record.uid";

/// What a resource adds to the identity of its records.
pub(super) fn of_pairs(attributes: &Pairs<'_>) -> u128 {
    let mut parts = Identity::new();
    pairs(&mut parts, attributes);
    parts.hash()
}

/// What a scope adds.
pub(super) fn of_scope(scope: &Scope<'_>) -> u128 {
    let mut parts = Identity::new();
    parts.part(scope.name.as_bytes());
    parts.part(scope.version.as_bytes());
    pairs(&mut parts, &scope.attributes);
    parts.hash()
}

/// The event's id: `log.record.uid` where that can be one, else `otlp-` and 128 bits in hex.
pub(super) fn of<'b>(resource: u128, scope: u128, record: &Record<'b>) -> Text<'b> {
    let uid = get(&record.attributes, UID).and_then(Any::plain);
    let mut parts = Identity::new();
    if let Some(uid) = uid {
        if uid.len() <= EVENT_ID_BYTES_MAX && uid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return uid;
        }
        parts.part(uid.as_bytes());
        return parts.id("otlp").into();
    }
    for hash in [resource, scope] {
        parts.part(&hash.to_le_bytes());
    }
    for number in [record.time_ns, record.observed_ns] {
        parts.part(&number.to_le_bytes());
    }
    parts.part(&record.severity.to_le_bytes());
    parts.part(&record.flags.to_le_bytes());
    for text in [&record.severity_text, &record.event_name] {
        parts.part(text.as_bytes());
    }
    parts.part(&record.trace_id);
    parts.part(&record.span_id);
    any(&mut parts, &record.body);
    pairs(&mut parts, &record.attributes);
    parts.id("otlp").into()
}

fn count(parts: &mut Identity, count: usize) {
    parts.part(&(count as u64).to_le_bytes());
}

fn pairs(parts: &mut Identity, pairs: &Pairs<'_>) {
    count(parts, pairs.len());
    for (name, value) in pairs {
        parts.part(name.as_bytes());
        any(parts, value);
    }
}

/// A value, with its kind before it.
fn any(parts: &mut Identity, value: &Any<'_>) {
    let mut scalar = |kind: u8, bytes: &[u8]| {
        parts.part(&[kind]);
        parts.part(bytes);
    };
    match value {
        Any::Empty => scalar(0, &[]),
        Any::Text(text) => scalar(1, text.as_bytes()),
        Any::Bool(truth) => scalar(2, &[u8::from(*truth)]),
        Any::Int(number) => scalar(3, &number.to_le_bytes()),
        Any::Double(number) => scalar(4, &number.to_bits().to_le_bytes()),
        Any::Bytes(bytes) => scalar(5, bytes),
        Any::List(values) => {
            parts.part(&[6]);
            count(parts, values.len());
            for value in values {
                any(parts, value);
            }
        }
        Any::Map(members) => {
            parts.part(&[7]);
            pairs(parts, members);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn record() -> Record<'static> {
        Record {
            time_ns: 1,
            observed_ns: 2,
            severity: 9,
            severity_text: "INFO".into(),
            event_name: "n".into(),
            body: Any::Text("b".into()),
            attributes: vec![("a".into(), Any::Int(1)), ("c".into(), Any::Text("d".into()))],
            flags: 1,
            trace_id: vec![1; 16].into(),
            span_id: vec![2; 8].into(),
        }
    }

    fn attributes(pairs: Pairs<'static>) -> Record<'static> {
        Record { attributes: pairs, ..record() }
    }

    /// The gateway would count a record twice if this changed from one release to the next.
    #[test]
    fn is_pinned() {
        let scope = Scope { name: "s".into(), ..Scope::default() };
        let resource = vec![("r".into(), Any::Bool(true))];
        let found = of(of_pairs(&resource), of_scope(&scope), &record());
        assert_eq!(found, "otlp-26ca1f203aad7e6eb4cbf3ba70361731");
    }

    #[test]
    fn nothing_else_collapses() {
        let d = || ("c".into(), Any::Text("d".into()));
        let others = [
            Record { time_ns: 3, ..record() },
            Record { observed_ns: 3, ..record() },
            Record { time_ns: 2, observed_ns: 1, ..record() },
            Record { severity: 10, ..record() },
            Record { severity_text: "I".into(), event_name: "NFOn".into(), ..record() },
            Record { flags: 0, ..record() },
            Record { trace_id: vec![3; 16].into(), ..record() },
            Record { span_id: vec![3; 8].into(), ..record() },
            Record { body: Any::Empty, ..record() },
            Record { body: Any::Bytes(b"b"[..].into()), ..record() },
            Record { body: Any::List(vec![Any::Text("b".into())]), ..record() },
            attributes(vec![d()]),
            attributes(vec![("a".into(), Any::Int(2)), d()]),
            attributes(vec![("a".into(), Any::Double(1.0)), d()]),
            attributes(vec![("a".into(), Any::Text("1".into())), d()]),
            attributes(vec![("a".into(), Any::Bool(true)), d()]),
            attributes(vec![("a".into(), Any::Map(vec![("c".into(), Any::Text("d".into()))]))]),
            attributes(vec![("a".into(), Any::List(vec![])), d()]),
            attributes(vec![("a".into(), Any::Empty), d()]),
        ];
        let mut seen = HashSet::from([of(1, 2, &record())]);
        assert!(!seen.insert(of(1, 2, &record())), "a retry");
        for other in &others {
            assert!(seen.insert(of(1, 2, other)), "{other:?}");
        }
        assert!(seen.insert(of(2, 1, &record())), "another resource, another scope");
    }

    #[test]
    fn a_record_that_names_itself_keeps_its_name() {
        let named = |uid: Any<'static>| of(0, 0, &attributes(vec![(UID.into(), uid)])).into_owned();
        assert_eq!(named(Any::Text("01J-9".into())), "01J-9");
        assert_eq!(named(Any::Int(7)), "7");
        let long = named(Any::Text("x".repeat(65).into()));
        assert!(long.starts_with("otlp-") && long.len() == 37, "{long}");
        assert_ne!(long, named(Any::Text("x".repeat(66).into())));
        assert!(named(Any::Text("a b".into())).starts_with("otlp-"));
        assert!(named(Any::Text("".into())).starts_with("otlp-"), "an empty name is none");
    }
}
