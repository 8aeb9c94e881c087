//! kill −9 at every step under load: nothing acknowledged is lost, nothing is
//! counted twice, and what every question answers is what was sent.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use load_tests::crowd::Crowd;
use load_tests::faults::Step;
use load_tests::gateway::{Gateway, Start, ask, settled};
use load_tests::population::{Random, Sent};
use load_tests::sender::Sender;
use load_tests::verdict::check_book;
use serde_json::json;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
const ROUNDS: u64 = 20;
const CLIENTS: u64 = 4;

/// The round's gateway dies at its step; the next one takes over without faults.
async fn one_round(
    sender: &Sender,
    data_dir: &Path,
    round: u64,
    died_at: &mut HashMap<&'static str, u32>,
) {
    let step = Step::ALL[round as usize % Step::ALL.len()];
    let turn = 1 + Random::new(round).below(12);
    let bin = Path::new(BIN);
    let faulty = Start::new(bin, data_dir).env("SLUICE_FAULT", format!("{}:{turn}", step.name()));
    // A backlog may bring it to its step before it is ready: it dies recovering.
    let started = faulty.run();
    let first = started.as_ref().map_or_else(|_| String::new(), |gateway| gateway.http.clone());
    let crowd = Crowd::start(sender, &first, &format!("r{round}"), CLIENTS);
    match started {
        Ok(mut gateway) => {
            let died = tokio::task::block_in_place(|| gateway.wait(Duration::from_secs(20)));
            let status = died.unwrap_or_else(|| panic!("{round}: {} not reached", step.name()));
            assert_eq!(status.signal(), Some(9), "round {round}: {status}\n{}", gateway.said());
        }
        Err(error) => assert!(error.contains("SIGKILL"), "round {round}: {error}"),
    }
    *died_at.entry(step.name()).or_default() += 1;
    let healthy =
        tokio::task::block_in_place(|| Start::new(bin, data_dir).run().expect("restarts"));
    crowd.turn_to(&healthy.http);
    crowd.finish().await.expect("everything is delivered in the end");
    finish(healthy);
}

fn finish(gateway: Gateway) {
    assert!(tokio::task::block_in_place(|| gateway.stop()), "a drain ends cleanly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_nothing_is_lost_and_nothing_is_counted_twice() {
    let data = tempfile::tempdir().expect("temp dir");
    let sender = Sender::new();
    let mut died_at = HashMap::new();
    for round in 0..ROUNDS {
        one_round(&sender, data.path(), round, &mut died_at).await;
    }
    let gateway = Start::new(Path::new(BIN), data.path()).run().expect("starts");
    settled(sender.client(), &gateway.admin).await.expect("settles");
    let sent = check_book(&sender, &gateway.http, true).await.expect("exact");
    check_answers(&sender, &gateway.http, &sent).await;
    assert_eq!(died_at.len(), Step::ALL.len());
    println!("{ROUNDS} kills {died_at:?}, {} events, lost 0, counted twice 0", sent.len());
    finish(gateway);
}

/// Answers against plain loops over what was sent.
async fn check_answers(sender: &Sender, http: &str, sent: &[Sent]) {
    let of = |name: &str| sent.iter().filter(|event| event.name == name).count() as u64;
    let users = |names: &[&str]| {
        let active = sent.iter().filter(|event| names.contains(&event.name));
        let mut users: Vec<&str> = active.map(Sent::counted_user).collect();
        users.sort_unstable();
        users.dedup();
        users.len() as u64
    };
    let everybody = {
        let mut users: Vec<&str> = sent.iter().map(Sent::counted_user).collect();
        users.sort_unstable();
        users.dedup();
        users.len() as u64
    };
    let question = json!({
        "metrics": ["event_count", "visit_pv", "visit_uv", "visit_uv_new", "share_pv", "share_uv"],
        "date_range": { "last": "7d" },
    });
    let answer = ask(sender.client(), http, &question).await.expect("answers");
    let wanted = json!([
        sent.len(),
        of("page_view"),
        users(&["page_view", "app_show"]),
        everybody,
        of("share"),
        users(&["share"]),
    ]);
    assert_eq!(answer["results"][0]["metrics"], wanted, "{answer:#}");
}
