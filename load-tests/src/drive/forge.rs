//! Makes the bodies of a run, fast enough not to be what is measured.
//!
//! A few hundred batches are written out once ("stencils"); each body is a copy
//! of one with ids of its own put into it, as ids have a fixed width. So no two
//! events of a run share an id but those of deliberate resends. Where a body is
//! compressed, the digits are put in first. Stencils are made anew one by one while
//! a run goes on, so that times stay those of now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::body::{BAD, DIGITS, FLUSH_TIME, Form, TRACK_ID};
use super::kind::Kind;
use super::shape::Shape;
use crate::crowd::now_ms;
use crate::population::{Population, Random, Sent};

/// Batches that are written out.
const STENCILS: usize = 256;
/// Bytes of all of them, about: of large ones there are fewer, but some.
const STENCILS_BYTES: usize = 16 << 20;
const STENCILS_MIN: usize = 16;
/// A resend is of one of so many batches before it.
const RESEND_WITHIN: u64 = 32;
/// Bodies that may still be made of a stencil that was just replaced.
const REPLACE_MARGIN: u64 = 10_000;
/// Digits of a clock, milliseconds since 1970, until the year 2286.
const CLOCK_DIGITS: usize = 13;
/// A resend comes so much later by the device's clock.
const RESEND_AFTER_MS: u64 = 1_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;

/// How untidy the events are, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mix {
    /// Batches that are sent a second time, as after a lost answer.
    pub resent: u64,
    /// Events that can never be taken.
    pub bad: u64,
    /// Events up to three days old, as from a phone that was off.
    pub late: u64,
    /// Batches of a device whose clock is hours off.
    pub skewed: u64,
}

/// Makes bodies of one kind.
pub struct Forge {
    form: Form,
    batch: usize,
    mix: Mix,
    shape: Shape,
    seed: u64,
    source: Mutex<Source>,
    stencils: RwLock<Vec<Arc<Stencil>>>,
    /// Arrivals whose bodies were made.
    made: AtomicU64,
}

/// A body, ready to be sent.
#[derive(Debug, Clone)]
pub struct Made {
    /// Number of the batch: that of its arrival, or of an earlier one for a resend.
    pub batch: u64,
    /// What is sent.
    pub body: Bytes,
    /// Which of its events can never be taken.
    pub bad: Arc<[u32]>,
}

struct Source {
    population: Population,
    random: Random,
    replaced: usize,
}

struct Stencil {
    bytes: Vec<u8>,
    /// Where the number of an event stands, and which event of the batch.
    ids: Vec<(usize, u64)>,
    /// Where the number of the batch stands.
    batch_ids: Vec<usize>,
    /// Where the clock at sending stands, where a resend says another one.
    clocks: Vec<usize>,
    clock_ms: u64,
    /// Where the number of a device stands, and of which event of the batch.
    devices: Vec<(usize, u64)>,
    bad: Arc<[u32]>,
    /// The first batch that was surely made of this one.
    from: u64,
}

/// What digits are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Event,
    Batch,
    Clock,
}

// === impl Mix ===

impl Mix {
    /// As from real mini programs: 2 % resent, 1 % bad, 2 % late, 3 % skewed.
    pub const REAL: Self = Self { resent: 20, bad: 10, late: 20, skewed: 30 };
    /// Every event new, valid and on time: for figures per event.
    pub const CLEAN: Self = Self { resent: 0, bad: 0, late: 0, skewed: 0 };
}

// === impl Forge ===

impl Forge {
    /// Bodies of `batch` events each.
    pub fn new(form: Form, batch: usize, mix: Mix, seed: u64) -> Self {
        Self::shaped(form, batch, mix, seed, Shape::USUAL)
    }

    /// The same with events of another shape.
    pub fn shaped(form: Form, batch: usize, mix: Mix, seed: u64, shape: Shape) -> Self {
        let population = Population::new(seed, &form.prefix, 100_000, 200);
        let mut source = Source { population, random: Random::new(!seed), replaced: 0 };
        let mut stencil = || Arc::new(Stencil::new(&form, source.batch(batch, mix), 0, shape));
        let mut stencils = vec![stencil()];
        let bytes = stencils[0].bytes.len().max(1);
        let most = (STENCILS_BYTES / bytes).clamp(STENCILS_MIN, STENCILS);
        stencils.resize_with(most, stencil);
        let (source, stencils) = (Mutex::new(source), RwLock::new(stencils));
        Self { form, batch, mix, shape, seed, source, stencils, made: 0.into() }
    }

    /// The body of an arrival.
    pub fn make(&self, arrival: u64) -> Made {
        self.made.fetch_max(arrival, Ordering::Relaxed);
        let mut batch = self.resends(arrival).unwrap_or(arrival);
        let mut stencil = self.stencil(batch);
        if batch < stencil.from {
            // Its stencil is gone: the resend would not be the same events.
            batch = arrival;
            stencil = self.stencil(batch);
        }
        let mut bytes = stencil.bytes.clone();
        for &(at, index) in &stencil.ids {
            put_digits(&mut bytes[at..at + DIGITS], batch * self.batch as u64 + index);
        }
        for &at in &stencil.batch_ids {
            put_digits(&mut bytes[at..at + DIGITS], batch);
        }
        for &at in stencil.clocks.iter().filter(|_| batch != arrival) {
            put_digits(&mut bytes[at..at + CLOCK_DIGITS], stencil.clock_ms + RESEND_AFTER_MS);
        }
        for &(at, index) in &stencil.devices {
            let device = self.shape.device(batch * self.batch as u64 + index, self.seed);
            put_digits(&mut bytes[at..at + DIGITS], device);
        }
        Made { batch, body: self.form.pack(bytes), bad: Arc::clone(&stencil.bad) }
    }

    /// Which earlier batch an arrival sends again, where it does.
    fn resends(&self, arrival: u64) -> Option<u64> {
        let earlier = |arrival: u64| {
            let mut random = Random::new(arrival);
            let resent = random.below(1_000) < self.mix.resent && arrival > RESEND_WITHIN;
            resent.then(|| arrival - 1 - random.below(RESEND_WITHIN))
        };
        // What was no batch of its own was never sent.
        earlier(arrival).filter(|batch| earlier(*batch).is_none())
    }

    /// Replaces one stencil by one of now; called evenly, all are replaced once in
    /// as many calls as there are.
    pub fn renew_one(&self) {
        let mut source = self.source.lock();
        let at = source.replaced;
        source.replaced += 1;
        let events = source.batch(self.batch, self.mix);
        let from = self.made.load(Ordering::Relaxed) + REPLACE_MARGIN;
        let stencil = Stencil::new(&self.form, events, from, self.shape);
        let mut stencils = self.stencils.write();
        let many = stencils.len();
        stencils[at % many] = Arc::new(stencil);
    }

    fn stencil(&self, batch: u64) -> Arc<Stencil> {
        let stencils = self.stencils.read();
        Arc::clone(&stencils[batch as usize % stencils.len()])
    }
}

// === impl Source ===

impl Source {
    /// Events of one device, with the faults of the mix, and its clock at sending.
    fn batch(&mut self, size: usize, mix: Mix) -> (Vec<Sent>, i64) {
        let mut clock_ms = now_ms();
        if self.random.below(1_000) < mix.skewed {
            clock_ms += (self.random.below(5) as i64 - 2) * HOUR_MS;
        }
        let mut events = self.population.events(size, clock_ms);
        let (device, user) = (events[0].device.clone(), events[0].user.clone());
        for (index, event) in events.iter_mut().enumerate() {
            (event.device, event.user) = (device.clone(), user.clone());
            let tail = event.id.rfind('-').unwrap_or_default();
            event.id.truncate(tail);
            event.id.push_str(&format!("-{index:0DIGITS$}"));
            if self.random.below(1_000) < mix.late {
                event.time_ms -= self.random.below(3 * DAY_MS) as i64;
            }
            if self.random.below(1_000) < mix.bad {
                event.name = BAD;
            }
        }
        (events, clock_ms)
    }
}

// === impl Stencil ===

impl Stencil {
    fn new(form: &Form, (mut events, clock_ms): (Vec<Sent>, i64), from: u64, shape: Shape) -> Self {
        shape.name_devices(&mut events);
        let bytes = form.write(&events, clock_ms);
        let bytes = match form.kind {
            Kind::Json | Kind::JsonGzip => shape.resize(bytes),
            _ => bytes,
        };
        let bad = (0..).zip(&events).filter(|(_, event)| event.name == BAD);
        let bad = bad.map(|(index, _)| index).collect();
        let (mut ids, mut batch_ids, mut clocks) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..bytes.len() {
            let Some((after, what)) = mark(form, &bytes[at..]) else { continue };
            let digits = at + after;
            if what == Mark::Clock {
                clocks.push(digits);
                continue;
            }
            let Some(number) = bytes.get(digits..digits + DIGITS).and_then(read_digits) else {
                continue;
            };
            if what == Mark::Batch { batch_ids.push(digits) } else { ids.push((digits, number)) }
        }
        let clock_ms = u64::try_from(clock_ms).unwrap_or_default();
        let devices = shape.devices(&bytes);
        Self { bytes, ids, batch_ids, clocks, clock_ms, devices, bad, from }
    }
}

/// Whether digits follow at the head of `rest`: after how many bytes, and of what.
fn mark(form: &Form, rest: &[u8]) -> Option<(usize, Mark)> {
    if form.kind == Kind::Sensors {
        if rest.starts_with(TRACK_ID) {
            return Some((TRACK_ID.len(), Mark::Event));
        }
        if rest.starts_with(FLUSH_TIME) {
            return Some((FLUSH_TIME.len(), Mark::Clock));
        }
    }
    let (sign, _) = rest.strip_prefix(form.prefix.as_bytes())?.split_first()?;
    let digits = form.prefix.len() + 1;
    match sign {
        b'-' => Some((digits, Mark::Event)),
        b'+' => Some((digits, Mark::Batch)),
        _ => None,
    }
}

/// The number of the event in an id, or of the batch in the id of a batch.
pub fn number(prefix: &str, id: &str) -> Option<u64> {
    let digits = id.strip_prefix(prefix)?.strip_prefix(['-', '+'])?;
    digits.parse().ok()
}

fn read_digits(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Writes a number over as many digits as there is room for.
pub(crate) fn put_digits(places: &mut [u8], mut number: u64) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message;
    use serde_json::Value;
    use sluice_event::Parsed;
    use sluice_proto::v1::Batch;

    use super::*;
    use crate::reader::Reader;

    fn ids(made: &Made) -> Vec<String> {
        let value: Value = serde_json::from_slice(&made.body).expect("JSON");
        let events = value["events"].as_array().expect("events");
        let same = |event: &Value| event["id"] == event["properties"]["eid"];
        assert!(events.iter().all(same), "an id is put into all its places");
        events.iter().map(|event| event["id"].as_str().expect("id").to_owned()).collect()
    }

    #[test]
    fn no_two_events_share_an_id_but_those_of_resends() {
        let forge = Forge::new(Form::new(Kind::Json, "t1"), 5, Mix::REAL, 7);
        let (mut seen, mut resent) = (HashSet::new(), 0);
        for arrival in 0..2_000 {
            let made = forge.make(arrival);
            for (index, id) in ids(&made).into_iter().enumerate() {
                assert_eq!(number("t1", &id), Some(made.batch * 5 + index as u64));
                assert_eq!(seen.insert(id), made.batch == arrival);
            }
            resent += u64::from(made.batch != arrival);
        }
        assert!((20..80).contains(&resent), "{resent} of 2,000");
    }

    #[test]
    fn a_batch_in_protobuf_tells_its_number() {
        let forge = Forge::new(Form::new(Kind::GrpcStream, "t2"), 3, Mix::CLEAN, 7);
        forge.renew_one();
        let batch = Batch::decode(forge.make(70_123).body).expect("protobuf");
        assert_eq!(number("t2", &batch.batch_id), Some(70_123));
        assert_eq!(number("t2", &batch.events[2].id), Some(70_123 * 3 + 2));
    }

    #[test]
    fn a_sensors_resend_says_another_time_and_is_the_same_events() {
        let forge = Forge::new(Form::new(Kind::Sensors, "t4"), 3, Mix::REAL, 7);
        let resent = (0..1_000).map(|arrival| (arrival, forge.make(arrival)));
        let resent = resent.filter(|(arrival, made)| made.batch != *arrival);
        let (_, resent) = resent.last().expect("two in a hundred are");
        let first = forge.make(resent.batch);
        assert_ne!(first.body, resent.body);
        let mut reader = Reader::new(Kind::Sensors);
        let mut read = |made: &Made| {
            let id = |event: &Parsed<'_>| match event {
                Parsed::Event(event) => event.id.to_string(),
                Parsed::Bad { id, .. } => id.clone(),
            };
            let all = |batch: sluice_event::Batch<'_>| {
                let ids: Vec<String> = batch.events.iter().map(id).collect();
                (batch.envelope.sent_at_ms, ids)
            };
            reader.read(&made.body, all).expect("a batch")
        };
        let ((first_at, first), (then_at, then)) = (read(&first), read(&resent));
        assert_eq!((then_at - first_at, then), (1_000, first));
    }

    #[test]
    fn about_one_event_in_a_hundred_is_bad() {
        let forge = Forge::new(Form::new(Kind::Json, "t3"), 50, Mix::REAL, 7);
        let bad: usize = (0..STENCILS as u64)
            .map(|arrival| {
                let made = forge.make(arrival);
                let value: Value = serde_json::from_slice(&made.body).expect("JSON");
                let events = value["events"].as_array().expect("events");
                let bad = events.iter().filter(|event| event["name"] == BAD).count();
                assert_eq!(bad, made.bad.len(), "what cannot be taken is known");
                bad
            })
            .sum();
        assert!((60..220).contains(&bad), "{bad} of 12,800");
    }
}
