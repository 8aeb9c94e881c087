//! The Rust client for servers against a real gateway, over each transport, with
//! and without signatures: every event durable once, refusals told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use load_tests::gateway::{Gateway, Start, ask, settled};
use parking_lot::Mutex;
use serde_json::json;
use sluice_client::{Client, Event, Stats, Transport};

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
const PATIENCE: Duration = Duration::from_secs(30);
const TRANSPORTS: [Transport; 3] = [Transport::Json, Transport::Protobuf, Transport::Grpc];
const EVENTS: u64 = 120;

const CONFIG: &str = r#"
[apps.demo]
write_keys = ["demo-write-key"]
server_keys = [{ key = "plain-key" }, { key = "signed-key", hmac_secret = "the-secret" }]
read_tokens = ["demo-read-token"]
timezone = "UTC"
"#;

fn start(dir: &Path) -> Gateway {
    let config = dir.join("sluice.toml");
    std::fs::write(&config, CONFIG).expect("written");
    let data_dir = dir.join("data");
    let start = Start::new(Path::new(BIN), &data_dir).flag("--config", config.display());
    tokio::task::block_in_place(|| start.run().expect("starts"))
}

/// Reports the same events twice, as two processes would; what became of them.
async fn twice(url: &str, key: &str, transport: Transport) -> [Stats; 2] {
    let mut stats = [Stats::default(); 2];
    for stats in &mut stats {
        let builder = Client::builder(url, key).transport(transport).platform("server");
        let client = builder.signing_secret("the-secret").build().expect("valid");
        for n in 0..EVENTS {
            let event = Event::new("order").id(format!("{key}-{transport:?}-{n}"));
            let event = event.user_id(format!("user-{}", n % 7)).identity("openid", "o");
            client.track(event.property("n", n)).await.expect("taken");
        }
        client.flush(PATIENCE).await.expect("all final");
        *stats = client.stats();
    }
    stats
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_once_over_every_transport() {
    let dir = tempfile::tempdir().expect("temp dir");
    let gateway = start(dir.path());
    for transport in TRANSPORTS {
        for key in ["plain-key", "signed-key"] {
            let [first, second] = twice(&gateway.http, key, transport).await;
            let place = format!("{transport:?} {key}: {first:?} {second:?}");
            assert_eq!((first.accepted, first.duplicates), (EVENTS, 0), "{place}");
            assert_eq!((second.accepted, second.duplicates), (0, EVENTS), "{place}");
            assert_eq!((first.lost, first.rejected, first.failures), (0, 0, 0), "{place}");
            // 50 events of the settings in force a request.
            assert!(first.requests >= 3, "{place}");
        }
    }
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    settled(&http, &gateway.admin).await.expect("settled");
    let question = json!({"metrics": ["event_count"], "filters": [["is", "name", ["order"]]],
        "date_range": {"last": "7d"}});
    let answer = ask(&http, &gateway.http, &question).await.expect("answered");
    let stored = answer["results"][0]["metrics"][0].as_u64();
    assert_eq!(stored, Some(6 * EVENTS), "{answer}");
    assert!(gateway.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_over_every_transport() {
    let dir = tempfile::tempdir().expect("temp dir");
    let gateway = start(dir.path());
    for transport in TRANSPORTS {
        let problems = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&problems);
        let builder = Client::builder(&gateway.http, "signed-key").transport(transport);
        let builder = builder.signing_secret("another").linger(Duration::from_millis(20));
        let builder = builder.remote_settings(false);
        let builder = builder.on_problem(move |problem| into.lock().push(problem.clone()));
        let client = builder.build().expect("valid");
        client.track(Event::new("order")).await.expect("taken");
        client.flush(PATIENCE).await.expect("dropped");
        assert_eq!(client.stats().lost, 1, "{transport:?}");
        assert_eq!(problems.lock()[0].reason, "signature_invalid", "{transport:?}");

        let into = Arc::clone(&problems);
        let builder = Client::builder(&gateway.http, "plain-key").transport(transport);
        let builder = builder.on_problem(move |problem| into.lock().push(problem.clone()));
        let client = builder.build().expect("valid");
        client.push(Event::new("order").time_ms(1)).expect("taken");
        client.push(Event::new("order")).expect("taken");
        client.flush(PATIENCE).await.expect("final");
        let stats = client.stats();
        assert_eq!((stats.accepted, stats.rejected, stats.lost), (1, 1, 0), "{transport:?}");
        assert_eq!(problems.lock()[1].reason, "time_out_of_range", "{transport:?}");
    }
    assert!(gateway.stop());
}
