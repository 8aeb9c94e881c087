//! The whole way of a batch but the disk: key, admission, inflating, decoding,
//! checks, reservation, encoding, hand-over, confirmation, the answer's words;
//! over a log that acknowledges at once. Every id is new. Sockets are not in it.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use load_tests::measure::{Spent, Stopwatch};
use load_tests::null::NullLog;
use load_tests::population::{Population, Sent};
use load_tests::traffic::{BATCH_EVENTS, Door};
use load_tests::{measure, traffic};
use sluice_telemetry::{Clock, SystemClock};

const ROUNDS: usize = 7;
const BATCHES: usize = 800;
/// Partitions of the log of a gateway without a config file.
const PARTITIONS: u32 = 4;

struct Kind {
    name: &'static str,
    media: &'static str,
    gzip: bool,
    one_device: bool,
    body: fn(&[Sent], i64) -> Bytes,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "json",
        media: "application/json",
        gzip: false,
        one_device: true,
        body: traffic::json,
    },
    Kind {
        name: "json, gzip",
        media: "application/json",
        gzip: true,
        one_device: true,
        body: |events, now_ms| traffic::gzip(&traffic::json(events, now_ms)),
    },
    Kind {
        name: "protobuf",
        media: "application/x-protobuf",
        gzip: false,
        one_device: true,
        body: traffic::protobuf,
    },
    Kind {
        name: "json, 50 devices a batch",
        media: "application/json",
        gzip: false,
        one_device: false,
        body: traffic::json,
    },
];

async fn round(door: &mut Door, bodies: &[Bytes]) -> Spent {
    let watch = Stopwatch::start();
    for body in bodies {
        let receipt = door.hand_over(body).await.expect("no panic");
        assert_eq!(receipt.accepted as usize, BATCH_EVENTS, "{receipt:?}");
        black_box(door.answer(&receipt));
    }
    watch.spent()
}

async fn run(kind: &Kind) {
    let mut door = Door::open(Arc::new(NullLog(PARTITIONS)), kind.media, kind.gzip).await;
    let mut population = Population::new(7, "0193a5b2-7c4d-7e8f-9a0b", 100_000, 200);
    let (mut rounds, mut bytes) = (Vec::new(), 0);
    for number in 0..=ROUNDS {
        let now_ms = SystemClock.now_ms();
        let bodies: Vec<Bytes> = (0..BATCHES)
            .map(|_| traffic::batch(&mut population, now_ms, kind.one_device))
            .map(|events| (kind.body)(&events, now_ms))
            .collect();
        bytes = bodies.iter().map(Bytes::len).sum::<usize>() / bodies.len() / BATCH_EVENTS;
        let spent = round(&mut door, &bodies).await;
        // The first round warms caches and pages.
        if number > 0 {
            rounds.push(spent);
        }
    }
    let name = format!("{} ({bytes} B an event)", kind.name);
    measure::report(&name, &rounds, BATCHES * BATCH_EVENTS);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    for kind in KINDS.iter().filter(|kind| measure::wanted(kind.name)) {
        runtime.block_on(run(kind));
    }
}
