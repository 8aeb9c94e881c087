//! kill −9 at every step under load: nothing acknowledged is lost, nothing is
//! counted twice, and what every question answers is what was sent.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use load_tests::faults::Step;
use load_tests::gateway::{Gateway, Start, ask, settled};
use load_tests::population::{Population, Random, Sent};
use load_tests::sender::Sender;
use parking_lot::Mutex;
use serde_json::json;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
const ROUNDS: u64 = 20;
const CLIENTS: u64 = 4;
const BATCHES: u64 = 12;
const BATCH_EVENTS: usize = 25;

#[allow(clippy::disallowed_methods)] // a client's clock is the machine's
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// One client: posts its batches, each until it is answered, now and then again.
async fn client(sender: Sender, http: Arc<Mutex<String>>, mut population: Population, seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..BATCHES {
        let events = population.events(BATCH_EVENTS, now_ms());
        let address = || http.lock().clone();
        let most = Duration::from_secs(60);
        sender.deliver(address, &events, now_ms, most).await.expect("delivered in the end");
        if random.below(4) == 0 {
            // A retry whose first answer was lost on the way.
            sender.deliver(address, &events, now_ms, most).await.expect("answered again");
        }
    }
}

/// The round's gateway dies at its step; the next one takes over without faults.
async fn one_round(
    sender: &Sender,
    data_dir: &Path,
    round: u64,
    died_at: &mut HashMap<&'static str, u32>,
) {
    let step = Step::ALL[(round % 4) as usize];
    let turn = 1 + Random::new(round).below(12);
    let bin = Path::new(BIN);
    let fault = format!("{}:{turn}", step.name());
    let faulty = Start::new(bin, data_dir).env("SLUICE_FAULT", fault);
    let mut gateway = faulty.run().expect("starts");
    let http = Arc::new(Mutex::new(gateway.http.clone()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let prefix = format!("r{round}-c{number}");
            let population = Population::new(round * 100 + number, &prefix, 200, 20);
            tokio::spawn(client(sender.clone(), Arc::clone(&http), population, number))
        })
        .collect();
    let died = tokio::task::block_in_place(|| gateway.wait(Duration::from_secs(20)));
    let status = died.unwrap_or_else(|| panic!("round {round}: {} was not reached", step.name()));
    assert!(!status.success(), "round {round}: ended by itself: {status}");
    *died_at.entry(step.name()).or_default() += 1;
    let healthy =
        tokio::task::block_in_place(|| Start::new(bin, data_dir).run().expect("restarts"));
    *http.lock() = healthy.http.clone();
    for client in clients {
        client.await.expect("client");
    }
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
    let counted = counted_by_id(&sender, &gateway.http).await;
    let (sent, acknowledged) = {
        let book = sender.book();
        let sent: Vec<Sent> = book.posted.values().cloned().collect();
        (sent, book.acknowledged().cloned().collect::<Vec<_>>())
    };
    assert_eq!(sent.len(), acknowledged.len(), "every batch was answered in the end");
    let lost: Vec<_> = acknowledged.iter().filter(|id| !counted.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} acknowledged and lost: {lost:?}", lost.len());
    let twice: Vec<_> = counted.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "counted more than once: {twice:?}");
    assert_eq!(counted.len(), sent.len(), "counted what nobody sent");
    check_answers(&sender, &gateway.http, &sent).await;
    assert_eq!(died_at.len(), Step::ALL.len());
    println!("{ROUNDS} kills {died_at:?}, {} events, lost 0, counted twice 0", sent.len());
    finish(gateway);
}

/// How often each id is counted, page by page.
async fn counted_by_id(sender: &Sender, http: &str) -> HashMap<String, u64> {
    let mut counted = HashMap::new();
    loop {
        let question = json!({
            "metrics": ["event_count"], "dimensions": ["properties.eid"],
            "date_range": { "last": "7d" }, "limit": 10_000, "offset": counted.len(),
            "order_by": [["properties.eid", "asc"]],
        });
        let answer = ask(sender.client(), http, &question).await.expect("answers");
        let rows = answer["results"].as_array().expect("rows").clone();
        for row in &rows {
            let id = row["dimensions"][0].as_str().expect("id").to_owned();
            let count = row["metrics"][0].as_u64().expect("count");
            assert!(counted.insert(id, count).is_none(), "one row an id");
        }
        if rows.len() < 10_000 {
            return counted;
        }
    }
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
