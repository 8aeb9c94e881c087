//! Property: whatever is appended, however often, and whatever fails or crashes
//! in between, both stores end as a plain fold over the log says.

mod support;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_fanout::{FanOut, ReplayFrom};
use sluice_memory::fault::Fault;
use sluice_proto::v1::{EventType, RecordEvent};
use support::{World, event, record, world};

#[derive(Debug, Clone)]
enum Step {
    /// Appends these copies: (event, skew of this copy in seconds, reused id).
    Append(Vec<(u8, u8, bool)>),
    Documents(Fault),
    Rows(Fault),
    Dedupe(Fault),
    Commit(Fault),
    Pause(u8),
    Crash,
    Stop,
    Replay(bool, u8),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::RetryBefore),
        Just(Fault::RetryAfter),
        (0usize..6).prop_map(Fault::RetryAfterSome),
        (0u64..3).prop_map(|ms| Fault::Slow(Duration::from_millis(ms))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let copies = vec((0u8..24, 0u8..3, prop::bool::weighted(0.1)), 1..12);
    prop_oneof![
        8 => copies.prop_map(Step::Append),
        2 => fault().prop_map(Step::Documents),
        2 => fault().prop_map(Step::Rows),
        1 => fault().prop_map(Step::Dedupe),
        1 => Just(Step::Commit(Fault::RetryBefore)),
        1 => Just(Step::Commit(Fault::RetryAfter)),
        3 => (0u8..4).prop_map(Step::Pause),
        2 => Just(Step::Crash),
        1 => Just(Step::Stop),
        1 => (any::<bool>(), 0u8..20).prop_map(|(rows, offset)| Step::Replay(rows, offset)),
    ]
}

/// Copy `skew` of event `n`: a retry is corrected anew, the day it names may
/// differ; its content does not, unless the id is reused.
fn copy(n: u8, skew: u8, reused: bool) -> RecordEvent {
    let name = match n % 6 {
        0 | 1 => "page_view",
        2 => "app_show",
        3 => "follow",
        4 => "unfollow",
        _ => "profile",
    };
    let ms = i64::from(n) * 9_000_000 - i64::from(skew) * 50_000_000;
    let mut made = event(&format!("e{n}"), name, &format!("d{}", n % 5), ms);
    let inner = made.event.as_mut().expect("whole");
    if n % 6 == 5 {
        inner.r#type = EventType::UserSet.into();
        inner.properties = format!("{{\"n\":{n}}}").into_bytes().into();
    }
    if reused {
        inner.name = "share".to_owned();
        made.fingerprint = 99;
    }
    made
}

async fn play(steps: Vec<Step>, window_bytes_max: usize) {
    let mut world = world(2);
    world.config.window_bytes_max = window_bytes_max;
    world.config.read_bytes_max = 512;
    let mut running = world.start().await;
    for step in steps {
        running = act(&world, running, step).await;
    }
    world.settled(&running).await;
    world.agrees();
}

async fn act(world: &World, running: FanOut, step: Step) -> FanOut {
    match step {
        Step::Append(copies) => {
            let partition_of = |n: u8| u32::from(n % 5 % 2);
            for partition in 0..2 {
                let mine = copies.iter().filter(|(n, ..)| partition_of(*n) == partition);
                let events: Vec<_> =
                    mine.map(|(n, skew, reused)| copy(*n, *skew, *reused)).collect();
                world.append(partition, &record(events)).await;
            }
        }
        Step::Documents(fault) => world.documents.script.then([fault]),
        Step::Rows(fault) => world.rows.script.then([fault]),
        Step::Dedupe(fault) => world.dedupe_script.then([fault]),
        Step::Commit(fault) => world.log.commits.then([fault]),
        Step::Pause(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
        Step::Crash => {
            drop(running);
            return world.start().await;
        }
        Step::Stop => {
            running.shutdown(Duration::from_millis(50)).await;
            drop(running);
            return world.start().await;
        }
        Step::Replay(rows, offset) => {
            let lane = if rows { "rows" } else { "documents" };
            let from = ReplayFrom::Offset(u32::from(offset % 2), offset.into());
            running.replay(lane, from).await.expect("it is running");
        }
    }
    running
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn stores_end_as_the_log_says(
        steps in vec(step(), 1..40),
        window_bytes_max in prop_oneof![Just(300usize), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(play(steps, window_bytes_max));
    }
}
