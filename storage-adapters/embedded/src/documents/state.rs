//! What outlives the days: who was first seen when, follows, visitors, and the
//! names that each app has sent. One fjall database, written with fsync.
//!
//! Keys begin with the length of the app id and the app id, so that no app's
//! prefix is that of another. Documents stand behind 24 bytes of
//! `(corrected time, key)`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;
use sluice_seams::document::Catalogue;
use sluice_seams::{Day, EventDocument, Source};

/// Names of a kind that an app's catalogue keeps; later ones are left out.
const NAMES_MAX: usize = 10_000;
/// Bytes of time and key before a document.
const HEAD_BYTES: usize = 24;

const EVENT: u8 = b'e';
const PROPERTY: u8 = b'p';
const ID: u8 = b'i';

/// The state database.
pub struct State {
    database: Database,
    first_seen: Keyspace,
    follows: Keyspace,
    visitors: Keyspace,
    names: Keyspace,
    known: Mutex<HashMap<(String, u8), BTreeSet<String>>>,
}

/// Changes gathered for one commit.
#[derive(Default)]
pub struct Changes {
    first_seen: BTreeMap<Vec<u8>, Vec<u8>>,
    follows: BTreeMap<Vec<u8>, Vec<u8>>,
    visitors: BTreeSet<Vec<u8>>,
    names: HashSet<(String, u8, String)>,
}

// === impl State ===

impl State {
    /// Opens or makes the database.
    pub fn open(dir: &Path) -> fjall::Result<Self> {
        let database = Database::builder(dir).worker_threads(1).open()?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        let state = Self {
            first_seen: keyspace("first_seen")?,
            follows: keyspace("follows")?,
            visitors: keyspace("visitors")?,
            names: keyspace("names")?,
            known: Mutex::default(),
            database,
        };
        for entry in state.names.iter() {
            let key = entry.key()?;
            if let Some((app, kind, name)) = split_name(&key) {
                state.known.lock().entry((app, kind)).or_default().insert(name);
            }
        }
        Ok(state)
    }

    /// Notes a candidate for a user's first event; `false` if an earlier one is
    /// held.
    pub fn first_seen(&self, one: &EventDocument, changes: &mut Changes) -> fjall::Result<bool> {
        let key = under_app(one.app_id(), one.user().as_bytes());
        let (head, held) = (head_of(one), changes.first_seen.get(&key));
        let held = match held {
            Some(held) => Some(held[..HEAD_BYTES].to_vec()),
            None => self.first_seen.get(&key)?.map(|held| held[..HEAD_BYTES].to_vec()),
        };
        let earlier = held.is_none_or(|held| head[..] < held[..]);
        if earlier {
            changes.first_seen.insert(key, with_head(head, one));
        }
        Ok(earlier)
    }

    /// Notes a follow or unfollow; `false` if its key is held.
    pub fn follow(&self, one: &EventDocument, changes: &mut Changes) -> fjall::Result<bool> {
        let key = under_app(one.app_id(), &one.key.to_bytes());
        if changes.follows.contains_key(&key) || self.follows.contains_key(&key)? {
            return Ok(false);
        }
        changes.follows.insert(key, with_head(head_of(one), one));
        Ok(true)
    }

    /// Notes a visitor of a day; `false` if held.
    pub fn visitor(
        &self,
        app_id: &str,
        day: Day,
        user: &str,
        changes: &mut Changes,
    ) -> fjall::Result<bool> {
        let mut key = day_bytes(day).to_vec();
        key.extend(under_app(app_id, user.as_bytes()));
        Ok(!self.visitors.contains_key(&key)? && changes.visitors.insert(key))
    }

    /// Notes the names that an event brings, unless they are known.
    pub fn names(&self, one: &EventDocument, properties: Vec<String>, changes: &mut Changes) {
        let known = self.known.lock();
        let mut note = |kind: u8, name: String| {
            let held = known.get(&(one.app_id().to_owned(), kind));
            if held.is_none_or(|held| held.len() < NAMES_MAX && !held.contains(&name)) {
                changes.names.insert((one.app_id().to_owned(), kind, name));
            }
        };
        note(EVENT, one.inner().name.clone());
        one.inner().ids.keys().for_each(|name| note(ID, name.clone()));
        properties.into_iter().for_each(|path| note(PROPERTY, path));
    }

    /// Makes changes durable.
    pub fn commit(&self, changes: Changes) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in changes.first_seen {
            batch.insert(&self.first_seen, key, value);
        }
        for (key, value) in changes.follows {
            batch.insert(&self.follows, key, value);
        }
        for key in changes.visitors {
            batch.insert(&self.visitors, key, Vec::<u8>::new());
        }
        for (app, kind, name) in &changes.names {
            let mut rest = vec![*kind];
            rest.extend_from_slice(name.as_bytes());
            batch.insert(&self.names, under_app(app, &rest), Vec::<u8>::new());
        }
        if !batch.is_empty() {
            batch.commit()?;
        }
        let mut known = self.known.lock();
        for (app, kind, name) in changes.names {
            known.entry((app, kind)).or_default().insert(name);
        }
        Ok(())
    }

    /// Calls `visit(key after the app, corrected time, encoded document)` for all
    /// state documents of an app.
    pub fn scan(
        &self,
        source: Source,
        app_id: &str,
        mut visit: impl FnMut(&[u8], i64, &[u8]),
    ) -> fjall::Result<()> {
        let keyspace = match source {
            Source::FirstSeen => &self.first_seen,
            Source::Follows => &self.follows,
            Source::Events => return Ok(()),
        };
        let prefix = under_app(app_id, &[]);
        for entry in keyspace.prefix(&prefix) {
            let (key, value) = entry.into_inner()?;
            let (head, document) = value.split_at(HEAD_BYTES);
            visit(&key[prefix.len()..], time_of(head), document);
        }
        Ok(())
    }

    /// What an app has sent.
    pub fn catalogue(&self, app_id: &str) -> Catalogue {
        let known = self.known.lock();
        let names = |kind| {
            let held = known.get(&(app_id.to_owned(), kind));
            held.map(|held| held.iter().cloned().collect()).unwrap_or_default()
        };
        Catalogue { events: names(EVENT), properties: names(PROPERTY), ids: names(ID) }
    }

    /// Forgets the visitors of days before `day`.
    pub fn drop_before(&self, day: Day) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for entry in self.visitors.range(..day_bytes(day).to_vec()) {
            batch.remove(&self.visitors, entry.key()?);
            if batch.len() >= 10_000 {
                let next = self.database.batch().durability(Some(PersistMode::SyncAll));
                std::mem::replace(&mut batch, next).commit()?;
            }
        }
        batch.commit()
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> Option<u64> {
        self.database.disk_space().ok()
    }

    /// Makes everything durable.
    pub fn persist(&self) -> fjall::Result<()> {
        self.database.persist(PersistMode::SyncAll)
    }
}

fn under_app(app_id: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + app_id.len() + rest.len());
    key.extend_from_slice(&(app_id.len() as u32).to_be_bytes());
    key.extend_from_slice(app_id.as_bytes());
    key.extend_from_slice(rest);
    key
}

fn split_name(key: &[u8]) -> Option<(String, u8, String)> {
    let (length, rest) = key.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    let (app, rest) = rest.split_at_checked(length)?;
    let (kind, name) = rest.split_first()?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some((text(app)?, *kind, text(name)?))
}

/// Signed numbers as bytes of the same order.
fn day_bytes(day: Day) -> [u8; 4] {
    ((day.0 as u32) ^ (1 << 31)).to_be_bytes()
}

fn head_of(one: &EventDocument) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&((one.time_ms() as u64) ^ (1 << 63)).to_be_bytes());
    head[8..].copy_from_slice(&one.key.to_bytes());
    head
}

fn time_of(head: &[u8]) -> i64 {
    let bytes = head[..8].try_into().expect("eight bytes");
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

fn with_head(head: [u8; HEAD_BYTES], one: &EventDocument) -> Vec<u8> {
    let mut value = head.to_vec();
    value.extend(one.encode());
    value
}
