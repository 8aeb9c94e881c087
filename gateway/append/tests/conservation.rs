//! Any batches, any faults, any interleaving: every event has one fate, what is
//! accepted or duplicate stands in the log, and the counts balance.

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{Bench, Gate, Step, event, named};
use proptest::prelude::*;
use sluice_event::{Outcome, Parsed};

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    NotWritten,
    UnknownButWritten,
    UnknownNotWritten,
    SlowThenDurable,
    SlowThenFailed,
}

#[derive(Debug, Clone)]
struct Request {
    /// Numbers below 12 are good ids, the others bad events.
    events: Vec<u8>,
    given_up: bool,
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    use Fault::*;
    let fault = prop::sample::select(vec![
        None,
        None,
        NotWritten,
        UnknownButWritten,
        UnknownNotWritten,
        SlowThenDurable,
        SlowThenFailed,
    ]);
    prop::collection::vec(fault, 0..20)
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let request = (prop::collection::vec(0u8..14, 0..8), prop::bool::weighted(0.15))
        .prop_map(|(events, given_up)| Request { events, given_up });
    prop::collection::vec(request, 1..12)
}

fn parsed(number: u8) -> Parsed<'static> {
    if number < 12 { event(&format!("e{number}")) } else { named("bad", "d", "not a name") }
}

async fn run(faults: Vec<Fault>, requests: Vec<Request>) -> Result<(), TestCaseError> {
    let bench = Bench::new(2).await;
    let mut gates = Vec::new();
    bench.log.then(faults.into_iter().map(|fault| match fault {
        Fault::None => Step::Append,
        Fault::NotWritten => Step::NotWritten,
        Fault::UnknownButWritten => Step::UnknownButWritten,
        Fault::UnknownNotWritten => Step::UnknownNotWritten,
        Fault::SlowThenDurable | Fault::SlowThenFailed => {
            let gate = Gate::new();
            gates.push((gate.clone(), matches!(fault, Fault::SlowThenDurable)));
            Step::Gate(gate)
        }
    }));
    let mut given_up = 0;
    let mut tasks = Vec::new();
    for request in &requests {
        let future = bench.post(request.events.iter().map(|&number| parsed(number)).collect());
        let task = tokio::spawn(future);
        if request.given_up {
            tokio::task::yield_now().await;
            task.abort();
        }
        tasks.push((request, task));
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    gates.iter().for_each(|(gate, durable)| gate.open(*durable));
    let mut accepted: HashMap<String, usize> = HashMap::new();
    let mut fates = [0u64; 4];
    for (request, task) in tasks {
        let Ok(receipt) = task.await else {
            given_up += request.events.len() as u64;
            continue;
        };
        prop_assert_eq!(receipt.total() as usize, request.events.len());
        let counts = [receipt.accepted, receipt.duplicates, receipt.rejected, receipt.retry];
        fates.iter_mut().zip(counts).for_each(|(sum, count)| *sum += u64::from(count));
        prop_assert!(receipt.results.windows(2).all(|pair| pair[0].index < pair[1].index));
        let mut result = receipt.results.iter().peekable();
        for (index, &number) in request.events.iter().enumerate() {
            let listed = result.next_if(|result| result.index as usize == index);
            let outcome = listed.map_or(Outcome::Accepted, |result| result.outcome);
            let id = format!("e{number}");
            match outcome {
                Outcome::Accepted => {
                    *accepted.entry(id.clone()).or_default() += 1;
                    prop_assert!(bench.log.count(&id) > 0, "{} accepted, not in the log", id);
                }
                Outcome::Duplicate => {
                    prop_assert!(bench.log.count(&id) > 0, "{} a duplicate of nothing", id);
                }
                Outcome::Rejected => prop_assert!(number >= 12),
                Outcome::Retry => prop_assert!(number < 12),
            }
        }
    }
    prop_assert!(accepted.values().all(|&times| times == 1), "{:?}", accepted);
    let metric = |labels: &[&str]| bench.metric("sluice_append_events_total", labels);
    let received = bench.metric("sluice_append_received_events_total", &[]);
    prop_assert_eq!(received, requests.iter().map(|r| r.events.len() as u64).sum::<u64>());
    prop_assert_eq!(received, metric(&[]), "the fates add up to what was received");
    prop_assert_eq!(metric(&["lost_answer"]), given_up);
    for (fate, sum) in ["accepted", "duplicate", "rejected", "retry"].iter().zip(fates) {
        prop_assert_eq!(metric(&[&format!("fate=\"{fate}\"")]), sum);
    }
    prop_assert_eq!(bench.collect.in_flight(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn every_event_has_one_fate(faults in faults(), requests in requests()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(run(faults, requests))?;
    }
}
