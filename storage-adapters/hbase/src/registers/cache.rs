//! What this writer knows of users seen lately, and what it has on its way.
//!
//! A cell's later put holds all of its earlier ones, also those whose outcome is
//! unknown: else one of them, seen and believed by another, could be overwritten
//! by a put that was made without it. So an entry with puts that are not known to
//! be durable is not forgotten (its caller comes again); where that would take too
//! much memory, the writer goes on under a new id, with new cells.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::value::{Field, Writer};

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// Memory of an entry besides its bytes, about.
const ENTRY_BYTES: usize = 160;

/// Cells of other writers that a register is left with: deleting one costs a
/// round trip, and writers that live put theirs again.
const OTHERS_KEPT: usize = 2;

/// A user's row in one family: what is read at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) row: Vec<u8>,
    /// Whether it is the profile's family, else that of the span.
    pub(crate) profile: bool,
}

/// Changes of one call, joined: by place, then by field.
pub(crate) type Changes = Map<Place, Map<Field, Change>>;

/// A joined change.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) value: Vec<u8>,
    /// Indices of the writes that are in it.
    pub(crate) indices: Vec<usize>,
}

/// A cell of a user as HBase gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundCell {
    pub(crate) field: Field,
    pub(crate) writer: Writer,
    pub(crate) timestamp: i64,
    pub(crate) value: Vec<u8>,
}

/// What to put into this writer's cell.
#[derive(Debug, Clone)]
pub(crate) struct Issue {
    pub(crate) place: Place,
    pub(crate) field: Field,
    pub(crate) value: Arc<[u8]>,
    pub(crate) indices: Vec<usize>,
}

/// Puts of one timestamp, and cells of others that may go once the puts are durable.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    pub(crate) timestamp: i64,
    pub(crate) writer: Writer,
    pub(crate) puts: Vec<Issue>,
    pub(crate) stale: Vec<(Place, FoundCell)>,
    /// Changes that were durable already.
    pub(crate) known: u64,
}

struct Register {
    /// All that was ever put into a call, joined with what was found.
    issued: Arc<[u8]>,
    /// What is durable in HBase, over all writers' cells.
    durable: Option<Arc<[u8]>>,
    /// Cells of others, as found; looked at with the first put.
    others: Vec<FoundCell>,
}

#[derive(Default)]
struct Entry {
    registers: Map<Field, Register>,
    /// Whether the user has been read.
    known: bool,
    /// Calls that work on it; such an entry stays.
    pins: u32,
    bytes: usize,
}

struct State {
    entries: Map<Place, Entry>,
    bytes: usize,
    /// The last timestamp given out.
    clock_ms: i64,
    /// Names the cells of this writer.
    writer: u64,
}

/// The cache of one writer.
pub(crate) struct Cache {
    bytes_max: usize,
    others_kept: usize,
    state: Mutex<State>,
}

/// Holds entries in place while a call works on them.
pub(crate) struct Pins {
    cache: Arc<Cache>,
    places: Vec<Place>,
    /// Those of them that have to be read first.
    pub(crate) unknown: Vec<Place>,
}

// === impl Cache ===

impl Cache {
    /// An empty cache of a writer whose id nobody else has.
    pub(crate) fn new(writer: u64, bytes_max: usize) -> Self {
        let state = State { entries: Map::default(), bytes: 0, clock_ms: 0, writer };
        Self { bytes_max, others_kept: OTHERS_KEPT, state: Mutex::new(state) }
    }

    /// Deletes every cell of others that it may.
    #[cfg(test)]
    pub(crate) fn keeping_no_others(self) -> Self {
        Self { others_kept: 0, ..self }
    }

    /// Bytes held, about.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Holds the entries of a call's users.
    pub(crate) fn pin(self: &Arc<Self>, changes: &Changes) -> Pins {
        let mut state = self.state.lock();
        let mut unknown = Vec::new();
        for place in changes.keys() {
            let entry = state.entries.entry(place.clone()).or_default();
            entry.pins += 1;
            if !entry.known {
                unknown.push(place.clone());
            }
        }
        Pins { cache: Arc::clone(self), places: changes.keys().cloned().collect(), unknown }
    }

    /// Takes in what was found of places that were not known; they are pinned.
    pub(crate) fn learn(&self, places: &[Place], found: Vec<(Place, FoundCell)>) {
        let mut state = self.state.lock();
        let writer = state.writer.to_be_bytes();
        for (place, cell) in found {
            if let Some(entry) = state.entries.get_mut(&place).filter(|entry| !entry.known) {
                entry.learn(cell, writer);
            }
        }
        for place in places {
            let Some(entry) = state.entries.get_mut(place).filter(|entry| !entry.known) else {
                continue;
            };
            entry.known = true;
            let registers = entry.registers.iter();
            let sizes = registers.map(|(field, register)| register.bytes() + field.name.len());
            entry.bytes = place.row.len() + ENTRY_BYTES + sizes.sum::<usize>();
            state.bytes += state.entries[place].bytes;
        }
    }

    /// What has to be put for these changes to be durable. Every place is pinned
    /// and known.
    pub(crate) fn issue(&self, changes: Changes, now_ms: i64) -> Issued {
        let mut state = self.state.lock();
        state.clock_ms = now_ms.max(state.clock_ms + 1);
        let writer = state.writer.to_be_bytes();
        let mut issued = Issued { timestamp: state.clock_ms, writer, ..Issued::default() };
        let mut grown = 0;
        for (place, fields) in changes {
            let entry = state.entries.get_mut(&place).expect("a pinned entry stays");
            for (field, change) in fields {
                let Some((value, more)) = entry.issue(&field, &change.value) else {
                    issued.known += 1;
                    continue;
                };
                grown += more;
                let register = entry.registers.get_mut(&field);
                if let Some(register) = register.filter(|own| own.others.len() > self.others_kept) {
                    let others = std::mem::take(&mut register.others).into_iter();
                    let stale = others.filter(|cell| cell.is_under(&value));
                    issued.stale.extend(stale.map(|cell| (place.clone(), cell)));
                }
                let place = place.clone();
                issued.puts.push(Issue { place, field, value, indices: change.indices });
            }
        }
        state.bytes += grown;
        issued
    }

    /// The puts are durable.
    pub(crate) fn confirm(&self, puts: &[Issue]) {
        let mut state = self.state.lock();
        for put in puts {
            let entry = state.entries.get_mut(&put.place).expect("a pinned entry stays");
            let Some(register) = entry.registers.get_mut(&put.field) else { continue };
            let newer = match &register.durable {
                None => Some(Arc::clone(&put.value)),
                Some(held) => put.field.kind.join(held, &put.value).map(Arc::from),
            };
            // Where the two are the same, they share the bytes.
            register.durable = match newer {
                Some(newer) if newer == register.issued => Some(Arc::clone(&register.issued)),
                Some(newer) => Some(newer),
                None => continue,
            };
        }
    }

    fn unpin(&self, places: &[Place]) {
        let mut state = self.state.lock();
        let state = &mut *state;
        for place in places {
            let Some(entry) = state.entries.get_mut(place) else { continue };
            entry.pins -= 1;
            if entry.pins == 0 && !entry.known {
                state.entries.remove(place);
            }
        }
        if state.bytes > self.bytes_max {
            // Half of it goes, whoever it is: what is asked for again comes again.
            state.forget(self.bytes_max / 2, Entry::is_settled);
        }
        if state.bytes > self.bytes_max.saturating_mul(2) {
            state.forget(self.bytes_max / 2, |_| true);
            state.writer = state.writer.wrapping_add(1);
        }
    }
}

// === impl State ===

impl State {
    /// Forgets entries that nobody works on, down to a goal.
    fn forget(&mut self, goal_bytes: usize, may_go: impl Fn(&Entry) -> bool) {
        let mut bytes = self.bytes;
        self.entries.retain(|_, entry| {
            let stays = entry.pins > 0 || bytes <= goal_bytes || !may_go(entry);
            if !stays {
                bytes -= entry.bytes.min(bytes);
            }
            stays
        });
        self.bytes = bytes;
    }
}

// === impl Entry ===

impl Entry {
    /// Whether everything that was issued is durable.
    fn is_settled(&self) -> bool {
        self.registers.iter().all(|(field, register)| {
            let durable = register.durable.as_ref();
            durable.is_some_and(|held| field.kind.holds(held, &register.issued))
        })
    }

    fn learn(&mut self, cell: FoundCell, own: Writer) {
        let value: Arc<[u8]> = Arc::from(&cell.value[..]);
        let kind = cell.field.kind;
        let register = self.registers.entry(cell.field.clone()).or_insert_with(|| Register {
            issued: Arc::clone(&value),
            durable: None,
            others: Vec::new(),
        });
        for held in [Some(&mut register.issued), register.durable.as_mut()].into_iter().flatten() {
            if let Some(joined) = kind.join(held, &value) {
                *held = joined.into();
            }
        }
        register.durable.get_or_insert(value);
        if cell.writer != own {
            register.others.push(cell);
        }
    }

    /// The value to put, and how many bytes the entry grew by; `None` where the
    /// change is durable already.
    fn issue(&mut self, field: &Field, change: &[u8]) -> Option<(Arc<[u8]>, usize)> {
        let before = self.bytes;
        match self.registers.get_mut(field) {
            Some(register) => {
                let durable = register.durable.as_ref();
                if durable.is_some_and(|held| field.kind.holds(held, change)) {
                    return None;
                }
                if let Some(joined) = field.kind.join(&register.issued, change) {
                    self.bytes += joined.len().saturating_sub(register.issued.len());
                    register.issued = joined.into();
                }
            }
            None => {
                let register =
                    Register { issued: change.into(), durable: None, others: Vec::new() };
                self.bytes += register.bytes() + field.name.len();
                self.registers.insert(field.clone(), register);
            }
        }
        Some((Arc::clone(&self.registers[field].issued), self.bytes - before))
    }
}

// === impl Register ===

impl Register {
    fn bytes(&self) -> usize {
        let others = self.others.iter().map(|cell| cell.value.len() + ENTRY_BYTES);
        self.issued.len() * 2 + ENTRY_BYTES + others.sum::<usize>()
    }
}

// === impl FoundCell ===

impl FoundCell {
    /// Whether an own durable cell of this value makes this one needless: one that
    /// holds strictly more, so that no two writers delete each other's.
    fn is_under(&self, value: &[u8]) -> bool {
        self.field.kind.holds(value, &self.value) && self.value != value
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        self.cache.unpin(&self.places);
    }
}
