//! Batching, the bounds of the queue, flushing, closing, dropping.

mod common;

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use common::{Gateway, PATIENCE, Say, push};
use serde_json::json;
use sluice_client::{BuildError, Client, Event, TrackError, Unsent};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3_600);

/// SDK-BATCH-1, SDK-BATCH-3, SDK-BATCH-4, SDK-BATCH-5, SDK-BATCH-7.
#[tokio::test]
async fn batches_by_events_bytes_and_linger() {
    let gateway = Gateway::start([]).await;
    let builder = gateway.builder().linger(LONG).batch_events_max(3).platform("server");
    let client = builder.app_version("1.2").build().expect("valid");
    push(&client, &["a", "b", "c", "d"]);
    let seen = gateway.requests(1).await;
    assert_eq!(seen[0].names(), ["a", "b", "c"]);
    assert_eq!(seen[0].headers["authorization"], "Bearer key");
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let batch = &seen[0].batch;
    assert_eq!((&batch["platform"], &batch["app_version"]), (&json!("server"), &json!("1.2")));
    assert_eq!(batch["sdk"]["name"], "sluice-client-rust");
    client.flush(PATIENCE).await.expect("sent");
    assert_eq!(gateway.seen()[1].names(), ["d"]);

    // 40 events of 48 KB: full by bytes, though nothing else calls for it.
    let client = gateway.builder().linger(LONG).build().expect("valid");
    for _ in 0..40 {
        let list: Vec<_> = (0..6).map(|_| "x".repeat(8_000)).collect();
        client.track(Event::new("large").property("list", list)).await.expect("taken");
    }
    client.flush(PATIENCE).await.expect("sent");
    let sizes: Vec<_> = gateway.seen()[2..].iter().map(|seen| seen.body.len()).collect();
    assert!(sizes.len() >= 2 && sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");

    let client = gateway.builder().linger(SHORT).build().expect("valid");
    let begun = Instant::now();
    push(&client, &["alone"]);
    let count = gateway.seen().len();
    let seen = gateway.requests(count + 1).await;
    let waited = seen[count].at - begun;
    assert!(waited >= SHORT && waited < 10 * SHORT, "{waited:?}");
}

/// SDK-BATCH-2.
#[tokio::test]
async fn one_request_at_a_time() {
    let slow = || Say::Slow(Duration::from_millis(100));
    let gateway = Gateway::start([slow(), slow(), slow(), slow(), slow()]).await;
    let client = gateway.builder().batch_events_max(2).build().expect("valid");
    let clones = [client.clone(), client.clone()];
    for clone in &clones {
        push(clone, &["a", "b", "c", "d", "e"]);
        drop(clone.flush(PATIENCE));
    }
    client.flush(PATIENCE).await.expect("sent");
    assert_eq!((gateway.fake.at_once.load(SeqCst), gateway.seen().len()), (1, 5));
}

#[tokio::test]
async fn a_full_queue_hands_back_waits_or_pushes_out() {
    let gateway = Gateway::start([Say::wait(503, 1)]).await;
    let client = gateway.builder().queue_events_max(3).build().expect("valid");
    for name in ["a", "b", "c"] {
        client.try_track(Event::new(name)).expect("room");
    }
    let refused = client.try_track(Event::new("d").id("mine")).expect_err("no room");
    let TrackError::Full(event) = refused else { panic!("{refused:?}") };
    assert_eq!((event.name(), event.event_id()), ("d", "mine"));
    gateway.requests(1).await;
    // Waits until the gateway has taken some.
    tokio::time::timeout(PATIENCE, client.track(*event)).await.expect("in time").expect("room");
    client.flush(PATIENCE).await.expect("sent");
    let names: Vec<_> = gateway.seen().iter().skip(1).flat_map(|seen| seen.names()).collect();
    assert_eq!((names.join(""), client.stats().lost), ("abcd".to_owned(), 0));
}

/// SDK-QUEUE-2, SDK-QUEUE-3.
#[tokio::test]
async fn the_oldest_are_pushed_out_and_told_of() {
    let gateway = Gateway::start([Say::wait(503, 1)]).await;
    let client = gateway.builder().queue_events_max(3).build().expect("valid");
    push(&client, &["a", "b"]);
    gateway.requests(1).await;
    push(&client, &["c", "d", "e", "f"]);
    client.flush(PATIENCE).await.expect("sent");
    let seen = gateway.seen();
    assert_eq!(seen[1].names(), ["d", "e", "f"]);
    assert_eq!((seen[1].dropped(), client.stats().lost), (3, 3));
}

/// SDK-ID-1, SDK-ID-2, SDK-EVENT-2, SDK-EVENT-5, SDK-TIME-1.
#[tokio::test]
async fn events_get_an_id_and_a_time_or_are_refused() {
    let gateway = Gateway::start([]).await;
    let client = gateway.builder().clock(|| 1_795_190_400_000).build().expect("valid");
    let refused = client.push(Event::new("1 bad")).expect_err("no name");
    assert!(matches!(&refused, TrackError::Invalid(invalid) if invalid.field == "name"));
    let list: Vec<_> = (0..10).map(|_| "x".repeat(8_000)).collect();
    let refused = client.push(Event::new("huge").property("list", list)).expect_err("too large");
    assert!(matches!(refused, TrackError::TooLarge { bytes, .. } if bytes > 80_000));
    push(&client, &["a", "b"]);
    client.flush(PATIENCE).await.expect("sent");
    let batch = &gateway.seen()[0].batch;
    let id = |at: usize| batch["events"][at]["id"].as_str().expect("an id").to_owned();
    assert!(id(0) != id(1) && id(0).len() == 36 && id(0).as_bytes()[14] == b'7');
    assert_eq!(batch["events"][0]["time"], 1_795_190_400_000_i64);
    assert_eq!((&batch["sent_at"], &batch["dropped"]), (&json!(1_795_190_400_000_i64), &json!(1)));
}

#[tokio::test]
async fn flush_close_and_drop_end_in_time() {
    let gateway = Gateway::start((0..9).map(|_| Say::Hang)).await;
    let client = gateway.builder().drop_wait(SHORT).build().expect("valid");
    push(&client, &["a", "b"]);
    let begun = Instant::now();
    assert_eq!(client.flush(SHORT).await, Err(Unsent { events: 2 }));
    assert_eq!(client.clone().close(SHORT).await, Err(Unsent { events: 2 }));
    let refused = client.push(Event::new("late")).expect_err("closed");
    assert!(matches!(refused, TrackError::Closed(_)));
    drop(client);
    assert!(begun.elapsed() < 6 * SHORT, "{:?}", begun.elapsed());

    let client = gateway.builder().drop_wait(SHORT).build().expect("valid");
    push(&client, &["c"]);
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || drop(client)).await.expect("ended");
    assert!(begun.elapsed() < 6 * SHORT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn dropping_sends_what_waits() {
    let gateway = Gateway::start([]).await;
    let client = gateway.builder().linger(LONG).build().expect("valid");
    push(&client, &["a", "b"]);
    let clone = client.clone();
    drop(client);
    assert_eq!(gateway.seen().len(), 0);
    tokio::task::spawn_blocking(move || drop(clone)).await.expect("ended");
    assert_eq!(gateway.seen()[0].names(), ["a", "b"]);
    let client = gateway.builder().linger(LONG).build().expect("valid");
    push(&client, &["c"]);
    client.close(PATIENCE).await.expect("sent");
    assert_eq!(gateway.seen()[1].names(), ["c"]);
}

/// SDK-CONFIG-2, SDK-CONFIG-3, SDK-CONFIG-4, SDK-CONFIG-7.
#[tokio::test]
async fn the_apps_settings_hold() {
    let gateway = Gateway::start([]).await;
    gateway.set(json!({"enabled": true, "sample_rate": 0.5, "flush_interval_ms": 100,
        "batch_events_max": 2}));
    let client = Client::builder(&gateway.url, "key").build().expect("valid");
    push(&client, &["no_device"]);
    // By the table of `spec.md`, §14: 0.103526 and 0.746630.
    let device = |name, device: &str| client.push(Event::new(name).device_id(device));
    device("in", "a").expect("taken");
    device("out", "01935a7e-0000-7000-8000-000000000001").expect("taken");
    push(&client, &["more"]);
    client.flush(PATIENCE).await.expect("sent");
    let names: Vec<_> = gateway.seen().iter().map(|seen| seen.names().join(" ")).collect();
    assert_eq!(names, ["no_device in", "more"]);

    gateway.set(json!({"enabled": false}));
    let client = Client::builder(&gateway.url, "key").build().expect("valid");
    push(&client, &["before"]);
    tokio::time::sleep(SHORT).await;
    push(&client, &["never"]);
    assert_eq!(client.flush(SHORT).await, Err(Unsent { events: 1 }));
    assert_eq!(gateway.seen().len(), 2);
}

/// SDK-PRIVACY-1, SDK-PRIVACY-2.
#[tokio::test]
async fn an_opt_out_forgets_what_waits_and_breaks_off() {
    let gateway = Gateway::start([Say::Hang]).await;
    let client = gateway.builder().build().expect("valid");
    client.count_lost(1);
    push(&client, &["secret"]);
    gateway.requests(1).await;
    push(&client, &["waiting"]);
    client.opt_out(true);
    push(&client, &["never"]);
    client.flush(PATIENCE).await.expect("nothing waits");
    client.opt_out(false);
    push(&client, &["after"]);
    client.flush(PATIENCE).await.expect("sent");
    let seen = gateway.seen();
    assert_eq!((seen.len(), seen[1].names(), seen[1].dropped()), (2, vec!["after".into()], 0));
}

#[test]
fn what_is_not_allowed_is_said_and_no_secret_shown() {
    let build = |url: &str| Client::builder(url, "key").build().map(|_| ());
    for url in ["", "127.0.0.1:7080", "ftp://x", "http://x/?a=1", "http://u:p@x", "http://x#y"] {
        assert!(matches!(build(url), Err(BuildError::Url(_))), "{url}");
    }
    for key in ["", "a b", "ä"] {
        let built = Client::builder("http://127.0.0.1:1", key).build();
        assert_eq!(built.err(), Some(BuildError::Key), "{key}");
    }
    let new = || Client::builder("http://127.0.0.1:1", "the-key").signing_secret("the-secret");
    let wrong = new().batch_events_max(501).build().expect_err("too many").to_string();
    assert_eq!(wrong, "batch_events_max: 501; 1-500");
    assert!(new().queue_bytes_max(1).build().is_err() && new().linger(2 * LONG).build().is_err());
    assert!(new().platform("p".repeat(8_193)).build().is_err());
    let builder = new().drop_wait(Duration::ZERO);
    let mut shown = format!("{builder:?}");
    shown.push_str(&format!("{:?}", builder.build().expect("valid")));
    assert!(shown.contains("http://127.0.0.1:1"), "{shown}");
    assert!(!shown.contains("the-key") && !shown.contains("the-secret"), "{shown}");
}
