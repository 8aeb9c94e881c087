//! Writers at once, calls that fail, come late or never, caches that forget:
//! whatever was acknowledged is held in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cache::{Cache, Change, Changes, FoundCell, Issued, Pins, Place};
use super::value::{self, Field, Kind};
use sluice_seams::Key;

/// A row and a column.
type At = (Vec<u8>, Vec<u8>);

/// A table as HBase keeps it: the put of the largest timestamp is seen, unless a
/// delete of the same or a larger one covers it.
#[derive(Default)]
struct Table {
    puts: BTreeMap<At, (i64, Vec<u8>)>,
    deletes: BTreeMap<At, i64>,
}

enum Stage {
    Read { found: Vec<(Place, FoundCell)> },
    Issued(Issued),
    Delivered(Issued),
}

struct Operation {
    writer: usize,
    changes: Vec<(Place, Field, Vec<u8>)>,
    pins: Pins,
    stage: Stage,
}

/// A small generator; the seed is in the message of every failure.
struct Random(u64);

struct World {
    random: Random,
    table: Table,
    writers: Vec<Arc<Cache>>,
    running: Vec<Operation>,
    /// What may still reach the table of calls that were given up.
    late: Vec<Issued>,
    late_deletes: Vec<(Place, FoundCell)>,
    acknowledged: Vec<(Place, Field, Vec<u8>)>,
    now_ms: i64,
    deleted: u64,
    /// Of how many calls one is given up; how many times and rows there are.
    loss: u64,
    times: u64,
    rows: u64,
}

// === impl Random ===

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // Steele and Vigna's splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

// === impl Table ===

impl Table {
    fn put(&mut self, row: &[u8], column: Vec<u8>, timestamp: i64, value: &[u8]) {
        let held = self.puts.entry((row.to_vec(), column)).or_insert((i64::MIN, Vec::new()));
        if timestamp >= held.0 {
            *held = (timestamp, value.to_vec());
        }
    }

    fn delete(&mut self, row: &[u8], column: Vec<u8>, timestamp: i64) {
        let held = self.deletes.entry((row.to_vec(), column)).or_insert(timestamp);
        *held = timestamp.max(*held);
    }

    fn read(&self, place: &Place) -> Vec<(Place, FoundCell)> {
        let cells = self.puts.iter().filter(|((row, _), _)| *row == place.row);
        let seen = cells.filter(|(at, (timestamp, _))| {
            self.deletes.get(*at).is_none_or(|deleted| deleted < timestamp)
        });
        seen.filter_map(|((_, column), (timestamp, value))| {
            let (field, writer) = Field::read(column)?;
            let profile = field.kind != Kind::Span;
            (profile == place.profile).then(|| {
                let (timestamp, value) = (*timestamp, value.clone());
                (place.clone(), FoundCell { field, writer, timestamp, value })
            })
        })
        .collect()
    }
}

// === impl World ===

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        // Some forget all that nobody works on, some a little, some nothing.
        let mut bytes_max = || [0, 300, 600, 1_200, 1 << 20][random.below(5) as usize];
        let cache = |id: u64| Arc::new(Cache::new(id << 32, bytes_max()).keeping_no_others());
        let writers = (0..4).map(cache).collect();
        let (loss, times) = (2 + random.below(4), 3 + random.below(40));
        let rows = 1 + random.below(2);
        Self {
            random,
            table: Table::default(),
            writers,
            running: Vec::new(),
            late: Vec::new(),
            late_deletes: Vec::new(),
            acknowledged: Vec::new(),
            now_ms: 0,
            deleted: 0,
            loss,
            times,
            rows,
        }
    }

    fn begin(&mut self) {
        let writer = self.random.below(self.writers.len() as u64) as usize;
        let count = 1 + self.random.below(3);
        let changes: Vec<_> = (0..count).map(|_| self.any_change()).collect();
        let pins = self.writers[writer].pin(&joined(&changes));
        let found = pins.unknown.iter().flat_map(|place| self.table.read(place)).collect();
        self.running.push(Operation { writer, changes, pins, stage: Stage::Read { found } });
    }

    fn any_change(&mut self) -> (Place, Field, Vec<u8>) {
        let row = vec![self.random.below(self.rows) as u8];
        let time_ms = self.random.below(self.times) as i64 - 20;
        match self.random.below(3) {
            0 => (Place { row, profile: false }, Field::span(), value::span(time_ms)),
            kind => {
                let kind = if kind == 1 { Kind::Latest } else { Kind::Once };
                let text = self.random.below(2).to_string();
                let json = (kind == Kind::Once || text == "1").then_some(text.as_bytes());
                let key = Key(u128::from(self.random.below(2)));
                let value = value::written(time_ms, key, json);
                (Place { row, profile: true }, Field { kind, name: "x".into() }, value)
            }
        }
    }

    fn step(&mut self) {
        self.now_ms += self.random.below(2) as i64;
        if self.random.below(6) == 0 {
            self.deliver_late();
        }
        if self.running.len() < 4 && self.random.below(2) == 0 {
            return self.begin();
        }
        if self.running.is_empty() {
            return;
        }
        let at = self.random.below(self.running.len() as u64) as usize;
        let operation = self.running.swap_remove(at);
        self.advance(operation);
    }

    fn advance(&mut self, operation: Operation) {
        let Operation { writer, changes, pins, stage } = operation;
        let cache = Arc::clone(&self.writers[writer]);
        let stage = match stage {
            Stage::Read { found } => {
                cache.learn(&pins.unknown, found);
                Stage::Issued(cache.issue(joined(&changes), self.now_ms))
            }
            Stage::Issued(issued) if self.random.below(self.loss) == 0 => {
                // Given up; whether it arrives nobody knows.
                if self.random.below(2) == 0 {
                    self.late.push(issued);
                }
                return;
            }
            Stage::Issued(issued) => {
                self.deliver(&issued);
                Stage::Delivered(issued)
            }
            Stage::Delivered(issued) if self.random.below(5) == 0 => {
                // The answer is lost, and the call arrives once more.
                return self.late.push(issued);
            }
            Stage::Delivered(issued) => {
                cache.confirm(&issued.puts);
                self.acknowledged.extend(changes);
                self.deleted += issued.stale.len() as u64;
                return self.late_deletes.extend(issued.stale);
            }
        };
        self.running.push(Operation { writer, changes, pins, stage });
    }

    fn deliver(&mut self, issued: &Issued) {
        for put in &issued.puts {
            let column = put.field.column(issued.writer);
            self.table.put(&put.place.row, column, issued.timestamp, &put.value);
        }
    }

    fn deliver_late(&mut self) {
        if !self.late.is_empty() {
            let at = self.random.below(self.late.len() as u64) as usize;
            let issued = self.late.swap_remove(at);
            self.deliver(&issued);
        }
        if !self.late_deletes.is_empty() {
            let at = self.random.below(self.late_deletes.len() as u64) as usize;
            let (place, cell) = self.late_deletes.swap_remove(at);
            self.table.delete(&place.row, cell.field.column(cell.writer), cell.timestamp);
        }
    }

    /// Every acknowledged change is in the join of the cells that are seen.
    fn check(&self, seed: u64) {
        let places: BTreeSet<_> = self
            .acknowledged
            .iter()
            .map(|(place, ..)| (place.row.clone(), place.profile))
            .collect();
        let mut held: BTreeMap<(Vec<u8>, Field), Vec<u8>> = BTreeMap::new();
        for (row, profile) in places {
            for (place, cell) in self.table.read(&Place { row, profile }) {
                let kind = cell.field.kind;
                let value = held.entry((place.row, cell.field)).or_insert(cell.value.clone());
                if let Some(joined) = kind.join(value, &cell.value) {
                    *value = joined;
                }
            }
        }
        for (place, field, value) in &self.acknowledged {
            let held = held.get(&(place.row.clone(), field.clone()));
            let holds = held.is_some_and(|held| field.kind.holds(held, value));
            assert!(holds, "seed {seed}: {field:?} lost {value:?}, holds {held:?}");
        }
    }
}

fn joined(changes: &[(Place, Field, Vec<u8>)]) -> Changes {
    let mut all = Changes::default();
    for (index, (place, field, value)) in changes.iter().enumerate() {
        let fields = all.entry(place.clone()).or_default();
        let change: &mut Change = fields.entry(field.clone()).or_default();
        change.indices.push(index);
        change.value = match change.value.is_empty() {
            true => value.clone(),
            false => field.kind.join(&change.value, value).unwrap_or(change.value.clone()),
        };
    }
    all
}

#[test]
fn whatever_was_acknowledged_is_held() {
    let (mut acknowledged, mut deleted) = (0, 0);
    for seed in 0..2_000 {
        let mut world = World::new(seed);
        for step in 0..150 {
            world.step();
            if step % 10 == 0 {
                world.check(seed);
            }
        }
        world.check(seed);
        acknowledged += world.acknowledged.len();
        deleted += world.deleted;
    }
    // The walk comes by everything that it is about.
    assert!(acknowledged > 40_000 && deleted > 700, "{acknowledged} and {deleted}");
}

/// What is known to be durable costs no put; what failed is put again.
#[test]
fn only_the_durable_is_left_out() {
    let cache = Arc::new(Cache::new(7, 1 << 20));
    let change = [(Place { row: vec![1], profile: false }, Field::span(), value::span(5))];
    let first = cache.pin(&joined(&change));
    cache.learn(&first.unknown, Vec::new());
    assert_eq!(cache.issue(joined(&change), 9).puts.len(), 1, "new");
    let again = cache.issue(joined(&change), 9);
    assert_eq!(again.puts.len(), 1, "issued is not durable");
    cache.confirm(&again.puts);
    let known = cache.issue(joined(&change), 9);
    assert_eq!((known.puts.len(), known.known), (0, 1));
    assert!(known.timestamp > again.timestamp, "the clock rises though the time stands");
    drop(first);
    assert!(cache.pin(&joined(&change)).unknown.is_empty(), "nothing is read again");
}

/// Memory is bounded; what is worked on stays.
#[test]
fn the_cache_forgets_what_nobody_works_on() {
    let cache = Arc::new(Cache::new(7, 64 << 10));
    let change = |n: u32| {
        let row = n.to_be_bytes().to_vec();
        [(Place { row, profile: false }, Field::span(), value::span(i64::from(n)))]
    };
    let held = cache.pin(&joined(&change(0)));
    cache.learn(&held.unknown, Vec::new());
    for n in 1..10_000 {
        let pins = cache.pin(&joined(&change(n)));
        cache.learn(&pins.unknown, Vec::new());
        let issued = cache.issue(joined(&change(n)), 1);
        cache.confirm(&issued.puts);
        drop(pins);
        assert!(cache.bytes() <= 64 << 10, "{} bytes after {n}", cache.bytes());
    }
    assert!(cache.pin(&joined(&change(0))).unknown.is_empty(), "it was worked on");
}
