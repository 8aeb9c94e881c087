//! Writes as lines of a bulk request.
//!
//! A document's source holds what people look for (named fields, `properties`
//! and `ids` as objects, where the event stands in the log) and the terms of the
//! slots, in the order in which values were sent: engines keep columns sorted
//! and without repetition, so the *first* value of a path is read from there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use sluice_seams::key::AppHash;
use sluice_seams::{Day, DocumentWrite, EventDocument, Key, NamedField};

use crate::indices::{Daily, Indices};
use crate::layout::{id_slot, path_slot, term_prefix};

/// Milliseconds that a version has room for: until the year 2109.
const TIME_MS_MAX: i64 = (1 << 42) - 1;
/// Bits of a key that decide between events of one millisecond.
const TIE_BITS: u32 = 21;

/// One action of a bulk request.
#[derive(Debug, Clone)]
pub struct Item {
    /// Which of the writes it stands for; `None` for a name of the catalogue.
    pub write: Option<usize>,
    /// Its index.
    pub index: Arc<str>,
    /// Action and source, each ended by a line feed.
    pub lines: Bytes,
}

/// A name that an app has sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// App.
    pub app: Arc<str>,
    /// What it names.
    pub kind: NameKind,
    /// The name.
    pub name: String,
}

/// Kinds of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// An event.
    Event,
    /// A path below `properties`.
    Property,
    /// A name below `ids`.
    Id,
}

/// Writes made ready to be sent.
#[derive(Debug, Default)]
pub struct Encoded {
    /// At most one action for each document.
    pub items: Vec<Item>,
    /// Writes that an earlier one of the same call makes superfluous.
    pub existing: u64,
    /// Names in the events.
    pub names: HashSet<Name>,
}

/// Turns writes into actions. Of several for one document the one stays that
/// the seam says wins, so that actions can be sent in any order.
pub fn encode(writes: &[DocumentWrite], indices: &Indices) -> Encoded {
    let mut encoded = Encoded::default();
    let mut seen: HashSet<(Arc<str>, u128)> = HashSet::with_capacity(writes.len());
    let mut first: HashMap<u128, (usize, &EventDocument)> = HashMap::new();
    let mut names = IndexNames::default();
    for (at, write) in writes.iter().enumerate() {
        let (index, id, body) = match write {
            DocumentWrite::FirstSeen(one) => {
                let user = AppHash::of(one.app_id()).user(one.user()).0;
                let held = first.entry(user).or_insert((at, one));
                if held.0 != at {
                    encoded.existing += 1;
                    if (one.time_ms(), one.key) < (held.1.time_ms(), held.1.key) {
                        *held = (at, one);
                    }
                }
                continue;
            }
            DocumentWrite::Event(one) => {
                let index = names.daily(indices, Daily::Events, one.day);
                (index, one.key.0, Body::Document(one))
            }
            DocumentWrite::Follow(one) => {
                (names.single(&indices.follows()), one.key.0, Body::Document(one))
            }
            DocumentWrite::Visitor { app_id, day, user } => {
                let id = AppHash::of(app_id).user(user).0;
                (names.daily(indices, Daily::Visitors, *day), id, Body::Visitor(app_id, user))
            }
        };
        if !seen.insert((index.clone(), id)) {
            encoded.existing += 1;
            continue;
        }
        if let DocumentWrite::Event(one) = write {
            note_names(one, &mut encoded.names);
        }
        encoded.items.push(item(at, index, id, None, body));
    }
    let users = names.single(&indices.users());
    for (user, (at, one)) in first {
        let version = Some(user_version(one.time_ms(), one.key));
        encoded.items.push(item(at, users.clone(), user, version, Body::Document(one)));
    }
    encoded
}

/// The external version of a user's first event: the earlier an event, the
/// higher its version, and the higher one wins whatever the order of arrival.
///
/// `((2^42 - 1 - time) << 21) | (2^21 - 1 - top 21 bits of the key's id part)`:
/// of events of one millisecond the one with the smaller key wins, as the seam
/// asks, unless their keys agree in those 21 bits (one in two million of such
/// ties), where the first to arrive stays. Times are cut to 1970–2109.
pub fn user_version(time_ms: i64, key: Key) -> u64 {
    let time = TIME_MS_MAX - time_ms.clamp(0, TIME_MS_MAX);
    let tie_max = (1u64 << TIE_BITS) - 1;
    // The upper 32 bits of a key are the app's: the same for all its events.
    let tie = (key.0 >> (96 - TIE_BITS)) as u64 & tie_max;
    ((time as u64) << TIE_BITS) | (tie_max - tie)
}

/// The action that notes a name.
pub fn name_item(name: &Name, index: &Arc<str>) -> Item {
    let kind = name.kind.spelling();
    let id = AppHash::of(&name.app).user(&format!("{kind}\0{}", name.name)).0;
    let mut lines = action("create", index, id, None);
    lines.push(b'{');
    pair(&mut lines, "app", &name.app);
    lines.push(b',');
    pair(&mut lines, "kind", kind);
    lines.push(b',');
    pair(&mut lines, "name", &name.name);
    lines.extend_from_slice(b"}\n");
    Item { write: None, index: index.clone(), lines: lines.into() }
}

enum Body<'a> {
    Document(&'a EventDocument),
    Visitor(&'a str, &'a str),
}

fn item(write: usize, index: Arc<str>, id: u128, version: Option<u64>, body: Body<'_>) -> Item {
    let verb = if version.is_some() { "index" } else { "create" };
    let mut lines = action(verb, &index, id, version);
    match body {
        Body::Document(one) => document(&mut lines, one),
        Body::Visitor(app, user) => {
            lines.push(b'{');
            pair(&mut lines, "app", app);
            if !user.is_empty() {
                lines.push(b',');
                pair(&mut lines, "user", user);
            }
            lines.push(b'}');
        }
    }
    lines.push(b'\n');
    Item { write: Some(write), index, lines: lines.into() }
}

fn action(verb: &str, index: &str, id: u128, version: Option<u64>) -> Vec<u8> {
    use std::io::Write;
    let mut lines = Vec::with_capacity(1_024);
    // Index names hold nothing that JSON would escape.
    write!(lines, r#"{{"{verb}":{{"_index":"{index}","_id":"{id:032x}""#).expect("a Vec grows");
    if let Some(version) = version {
        write!(lines, r#","version":{version},"version_type":"external""#).expect("a Vec grows");
    }
    lines.extend_from_slice(b"}}\n");
    lines
}

fn document(out: &mut Vec<u8>, one: &EventDocument) {
    use std::io::Write;
    let (event, at) = (one.inner(), one.position);
    write!(out, r#"{{"key":"{}","time":{},"#, one.key, one.time_ms()).expect("a Vec grows");
    write!(
        out,
        r#""received":{},"log":{{"partition":{},"offset":{},"index":{},"day":{},"fingerprint":"{:016x}"}},"#,
        one.received_at_ms, at.partition, at.offset, at.index, one.day.0, one.event.fingerprint
    )
    .expect("a Vec grows");
    pair(out, "app", one.app_id());
    for &field in NamedField::ALL {
        if let Some(value) = one.named(field) {
            out.push(b',');
            pair(out, field.name(), &value);
        }
    }
    if !event.ids.is_empty() {
        let ids: BTreeMap<&str, &str> =
            event.ids.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        out.extend_from_slice(b",\"ids\":");
        json(out, &ids);
        let mut slots = Slots::default();
        ids.iter().for_each(|(name, value)| slots.add(id_slot(name), name, value));
        slots.write(out, "i", "id_names");
    }
    properties(out, one);
    out.push(b'}');
}

fn properties(out: &mut Vec<u8>, one: &EventDocument) {
    let mut slots = Slots::default();
    one.each_property(|path, value| slots.add(path_slot(path), path, value));
    if slots.terms.is_empty() {
        return;
    }
    // Written anew: a name that was sent twice in one object would be refused.
    let bytes = &one.inner().properties;
    if let Ok(object) = serde_json::from_slice::<serde_json::Value>(bytes) {
        out.extend_from_slice(b",\"properties\":");
        json(out, &object);
    }
    slots.write(out, "p", "paths");
}

/// Terms by slot, in the order in which values were sent.
#[derive(Default)]
struct Slots {
    terms: BTreeMap<u64, Vec<String>>,
    listed: Vec<String>,
}

impl Slots {
    fn add(&mut self, slot: u64, name: &str, value: &str) {
        let mut term = term_prefix(name);
        term.push_str(value);
        self.terms.entry(slot).or_default().push(term);
        // Values of one path follow each other, but for rare spellings; a name
        // that is listed twice does no harm.
        if self.listed.last().is_none_or(|last| last != name) {
            self.listed.push(name.to_owned());
        }
    }

    fn write(&self, out: &mut Vec<u8>, slots: &str, listed: &str) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(slots.as_bytes());
        out.extend_from_slice(b"\":");
        json(out, &self.terms);
        out.push(b',');
        json(out, listed);
        out.push(b':');
        json(out, &self.listed);
    }
}

fn note_names(one: &EventDocument, names: &mut HashSet<Name>) {
    let app = Arc::<str>::from(one.app_id());
    let mut note = |kind, name: &str| {
        names.insert(Name { app: app.clone(), kind, name: name.to_owned() });
    };
    note(NameKind::Event, &one.inner().name);
    one.inner().ids.keys().for_each(|name| note(NameKind::Id, name));
    one.each_property(|path, _| note(NameKind::Property, path));
}

fn pair(out: &mut Vec<u8>, name: &str, value: &str) {
    json(out, name);
    out.push(b':');
    json(out, value);
}

fn json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("text and maps of text are JSON");
}

/// Names of indices, made once a call.
#[derive(Default)]
struct IndexNames {
    daily: HashMap<(bool, Day), Arc<str>>,
    single: HashMap<String, Arc<str>>,
}

impl IndexNames {
    fn daily(&mut self, indices: &Indices, kind: Daily, day: Day) -> Arc<str> {
        let held = self.daily.entry((kind == Daily::Events, day));
        held.or_insert_with(|| indices.daily(kind, day).into()).clone()
    }

    fn single(&mut self, name: &str) -> Arc<str> {
        self.single.entry(name.to_owned()).or_insert_with(|| name.into()).clone()
    }
}

// === impl NameKind ===

impl NameKind {
    /// As it stands in a document.
    pub fn spelling(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Property => "property",
            Self::Id => "id",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use sluice_seams::contract::sample::{self, DAY, page_view};

    use super::*;

    fn lines(item: &Item) -> [Value; 2] {
        let text = std::str::from_utf8(&item.lines).expect("text");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.try_into().expect("an action and a source")
    }

    #[test]
    fn an_earlier_or_smaller_event_has_the_higher_version() {
        let key = |tag: u128, id: u128| Key((tag << 96) | (id << 75));
        let t = DAY.start_ms();
        assert!(user_version(t, key(1, 9)) > user_version(t + 1, key(1, 3)));
        assert!(user_version(t, key(1, 3)) > user_version(t, key(1, 9)));
        assert_eq!(user_version(t, key(1, 3)), user_version(t, key(2, 3)), "the app is no part");
        assert!(user_version(-5, key(1, 0)) <= i64::MAX as u64, "as engines take it");
        assert_eq!(user_version(i64::MAX, key(1, (1 << 21) - 1)), 0);
    }

    #[test]
    fn one_action_for_each_document_of_a_call() {
        let at = |id: &str, hour: i64| page_view("demo", id, DAY.start_ms() + hour, "d-1", "p");
        let visitor = DocumentWrite::Visitor { app_id: "a".into(), day: DAY, user: "u".into() };
        let writes = [
            DocumentWrite::Event(at("e-1", 5)),
            DocumentWrite::Event(at("e-1", 6)),
            DocumentWrite::FirstSeen(at("e-2", 7)),
            DocumentWrite::FirstSeen(at("e-3", 3)),
            DocumentWrite::FirstSeen(at("e-4", 9)),
            DocumentWrite::Follow(at("e-1", 5)),
            visitor.clone(),
            visitor,
        ];
        let encoded = encode(&writes, &Indices::new("x-"));
        assert_eq!(encoded.existing, 4);
        let stay: Vec<Option<usize>> = encoded.items.iter().map(|item| item.write).collect();
        assert_eq!(stay, [Some(0), Some(5), Some(6), Some(3)], "the first, and the earliest");
        let [action, source] = lines(&encoded.items[3]);
        let version = user_version(DAY.start_ms() + 3, at("e-3", 3).key);
        assert_eq!(action["index"]["version"], version);
        assert_eq!(action["index"]["version_type"], "external");
        assert_eq!(source["key"], at("e-3", 3).key.to_string());
        assert_eq!(&*encoded.items[0].index, "x-events-2026.11.01");
        assert_eq!(lines(&encoded.items[0])[0]["create"]["_id"], at("e-1", 0).key.to_string());
    }

    #[test]
    fn values_keep_their_order_and_spelling() {
        let one = sample::document("demo", "e", "pay", 5, "d", "u", |event, _| {
            let text = r#"{"tags":["b","a","b"],"price":1.50,"tags":["b","a","b"],"x":{"=":null}}"#;
            sample::properties(event, text);
            event.ids.insert("openid".into(), "o".into());
        });
        let encoded = encode(&[DocumentWrite::Event(one)], &Indices::new(""));
        let [_, source] = lines(&encoded.items[0]);
        let slot = |path: &str| source["p"][path_slot(path).to_string()].to_string();
        assert_eq!(slot("tags"), r#"["tags=b","tags=a","tags=b"]"#);
        assert_eq!(slot("price"), r#"["price=1.5"]"#);
        assert_eq!(source["paths"].to_string(), r#"["price","tags"]"#);
        assert_eq!(source["i"][id_slot("openid").to_string()][0], "openid=o");
        assert_eq!(source["properties"]["price"], 1.5);
        assert_eq!(source["user"], "u");
        assert_eq!(encoded.names.len(), 4);
    }
}
