//! Remembered ids beside a concurrent map that was sized for them: twenty million live
//! keys, expiry on. `cargo bench -p sluice-remember --bench peer`; rounds take turns, so
//! that both meet the same machine. `SLUICE_BENCH_KEYS` is the number of live keys.
//!
//! The map keeps a key and its fingerprint, and forgets the oldest for each new one, as a
//! user of it would have to.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::Key;
use sluice_seams::key::AppHash;
use sluice_telemetry::Registry;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 50;
const ROUNDS: usize = 7;
const ROUND_KEYS: usize = 1_000_000;

/// Keys as the collector makes them: an app and a hash of the id.
struct Ids {
    app: AppHash,
    next: u64,
}

struct Ours {
    set: Arc<Remembered>,
    slowest: Duration,
}

struct Theirs {
    map: papaya::HashMap<u128, u32, ahash::RandomState>,
    order: VecDeque<u128>,
    slowest: Duration,
}

// === impl Ids ===

impl Ids {
    fn batch(&mut self) -> Vec<(Key, u64)> {
        let from = self.next;
        self.next += BATCH as u64;
        (from..self.next).map(|n| (self.app.key(&format!("event-{n}")), n)).collect()
    }
}

// === impl Ours ===

impl Ours {
    fn insert(&mut self, batch: &[(Key, u64)]) {
        let since = Instant::now();
        let mut guard = self.set.reserve(batch).expect("room");
        guard.confirm(0..batch.len());
        drop(guard);
        self.slowest = self.slowest.max(since.elapsed());
    }
}

// === impl Theirs ===

impl Theirs {
    fn insert(&mut self, batch: &[(Key, u64)], live: usize) {
        let since = Instant::now();
        let map = self.map.pin();
        for (key, fingerprint) in batch {
            black_box(map.insert(key.0, *fingerprint as u32));
            self.order.push_back(key.0);
            if self.order.len() > live {
                map.remove(&self.order.pop_front().expect("not empty"));
            }
        }
        self.slowest = self.slowest.max(since.elapsed());
    }
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}

/// Time that this thread ran: what others do on the machine is not counted.
fn on_cpu_ns() -> f64 {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    figures.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

fn timed(mut work: impl FnMut(&[(Key, u64)]), ids: &mut Ids) -> f64 {
    let batches: Vec<_> = (0..ROUND_KEYS / BATCH).map(|_| ids.batch()).collect();
    let before = on_cpu_ns();
    batches.iter().for_each(|batch| work(batch));
    ROUND_KEYS as f64 / ((on_cpu_ns() - before) * 1e-9)
}

fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn bytes_each(before: f64, live: usize) -> f64 {
    (resident_bytes() - before) / live as f64
}

#[allow(clippy::disallowed_methods)] // a bench's own switch
fn main() {
    // `cargo test` builds benches too and runs them with this.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let live = std::env::var("SLUICE_BENCH_KEYS").ok().and_then(|keys| keys.parse().ok());
    let live: usize = live.unwrap_or(20_000_000);
    let mut ids = Ids { app: AppHash::of("bench"), next: 0 };
    let config = RememberConfig { bytes_max: live * 24, ..Default::default() };
    let before = resident_bytes();
    let set = Remembered::new(config, &Registry::new()).expect("valid bounds");
    let mut ours = Ours { set, slowest: Duration::ZERO };
    // Twice its capacity, so that each insertion forgets.
    (0..2 * live / BATCH).for_each(|_| ours.insert(&ids.batch()));
    let our_bytes = bytes_each(before, live);
    let before = resident_bytes();
    let map = papaya::HashMap::builder().capacity(live).hasher(ahash::RandomState::new()).build();
    let mut theirs =
        Theirs { map, order: VecDeque::with_capacity(live + BATCH), slowest: Duration::ZERO };
    (0..live * 5 / 4 / BATCH).for_each(|_| theirs.insert(&ids.batch(), live));
    let their_bytes = bytes_each(before, live);
    (ours.slowest, theirs.slowest) = (Duration::ZERO, Duration::ZERO);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(timed(|batch| ours.insert(batch), &mut ids));
        b.push(timed(|batch| theirs.insert(batch, live), &mut ids));
    }
    let ratios = a.iter().zip(&b).map(|(a, b)| a / b).collect();
    let ((a, a_min, a_max), (b, b_min, b_max)) = (spread(a), spread(b));
    let (ratio, least, greatest) = spread(ratios);
    println!("{live} live keys, batches of {BATCH}, {ROUNDS} rounds of {ROUND_KEYS} in turns");
    println!(
        "remembered ids: {a:.0} keys/CPU-s ({a_min:.0} to {a_max:.0}), {our_bytes:.1} B a key, \
         slowest batch {:?}",
        ours.slowest
    );
    println!(
        "papaya, presized: {b:.0} keys/CPU-s ({b_min:.0} to {b_max:.0}), {their_bytes:.1} B a key, \
         slowest batch {:?}",
        theirs.slowest
    );
    println!("ratio {ratio:.2} ({least:.2} to {greatest:.2})");
}
