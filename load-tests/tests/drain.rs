//! The life of a process: it drains, hands over, reloads, and shares the work
//! with other roles on the same data directory.

use std::path::Path;
use std::time::{Duration, Instant};

use load_tests::crowd::{Crowd, now_ms};
use load_tests::gateway::{Start, ask, settled};
use load_tests::population::{Population, Sent, body};
use load_tests::sender::Sender;
use load_tests::verdict::check_book;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
/// Requests in flight when the signal comes.
const HALVES: usize = 20;

/// A request whose body is half sent.
struct Half {
    stream: TcpStream,
    rest: Vec<u8>,
    events: Vec<Sent>,
}

// === impl Half ===

impl Half {
    async fn begin(http: &str, events: Vec<Sent>) -> Self {
        let body = body(&events, now_ms()).into_bytes();
        let (first, rest) = body.split_at(body.len() / 2);
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-write-key\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let address = http.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(&[head.as_bytes(), first].concat()).await.expect("sent");
        Self { stream, rest: rest.to_vec(), events }
    }

    /// Sends the rest; status and the whole answer.
    async fn end(mut self) -> (String, String) {
        self.stream.write_all(&self.rest).await.expect("still open");
        let mut answer = Vec::new();
        let read = self.stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        read.expect("answered in time").expect("answered, not cut");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        (head.split(' ').nth(1).expect("a status").to_owned(), body.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_answers_what_is_in_flight_and_loses_nothing() {
    let data = tempfile::tempdir().expect("temp dir");
    let sender = Sender::new();
    let start = Start::new(Path::new(BIN), data.path());
    let mut statuses = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..3 {
        let mut gateway = start.run().expect("starts");
        let crowd = Crowd::start(&sender, &gateway.http, &format!("drain{round}"), 4);
        let mut population = Population::new(round, &format!("half{round}"), 100, 10);
        let mut halves = Vec::new();
        for _ in 0..HALVES {
            halves.push(Half::begin(&gateway.http, population.events(10, now_ms())).await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        gateway.signal(Signal::TERM);
        tokio::time::sleep(Duration::from_millis(100)).await;
        for half in halves {
            let events = half.events.clone();
            let (status, answer) = half.end().await;
            assert!(["200", "503"].contains(&status.as_str()), "{status} {answer}");
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            let reason = answer["error"]["reason"].as_str().unwrap_or_default();
            *statuses.entry(format!("{status} {reason}")).or_default() += 1;
            let mut book = sender.book();
            for event in events {
                if status == "200" {
                    book.accepted.insert(event.id.clone(), 1);
                }
                book.posted.insert(event.id.clone(), event);
            }
        }
        let ended = gateway.wait(Duration::from_secs(20)).expect("within the deadline");
        assert_eq!(ended.code(), Some(0), "{}", gateway.said());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(!data.path().join("addresses.json").exists(), "addresses of nobody");
        let next = start.run().expect("starts again");
        crowd.turn_to(&next.http);
        crowd.finish().await.expect("delivered in the end");
        settled(sender.client(), &next.admin).await.expect("settles");
        let counted = check_book(&sender, &next.http, false).await.expect("exact");
        println!("drain {round}: {} events, lost 0, counted twice 0, {statuses:?}", counted.len());
        assert!(next.stop(), "a drain ends cleanly");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut gateway = Start::new(Path::new(BIN), data.path()).run().expect("starts");
    let events = Population::new(1, "half", 10, 10).events(3, now_ms());
    // Its body never comes: a drain would wait for it.
    let half = Half::begin(&gateway.http, events).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(gateway.wait(Duration::ZERO).is_none() && half.stream.peer_addr().is_ok());
    let begun = Instant::now();
    gateway.signal(Signal::TERM);
    let ended = gateway.wait(Duration::from_secs(5)).expect("at once");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(ended.code(), Some(1), "{}", gateway.said());
    assert!(gateway.said().contains("second signal"), "{}", gateway.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_data_is_refused_and_told_who_has_it() {
    let data = tempfile::tempdir().expect("temp dir");
    let start = Start::new(Path::new(BIN), data.path());
    let gateway = start.run().expect("starts");
    let addresses = std::fs::read(data.path().join("addresses.json")).expect("addresses");
    let Err(error) = start.run() else { panic!("two owners of one directory") };
    assert!(error.contains(&format!("in use by process {}", gateway.pid())), "{error}");
    assert!(error.contains("exit status: 1"), "{error}");
    let kept = std::fs::read(data.path().join("addresses.json")).expect("addresses");
    assert_eq!(kept, addresses, "the owner's addresses stay");
    let sender = Sender::new();
    let events = Population::new(1, "owner", 10, 10).events(10, now_ms());
    sender.post(&gateway.http, &events, now_ms()).await.expect("the owner goes on");
    assert!(gateway.stop(), "a drain ends cleanly");
}

/// Status of a post with this key, once it is `wanted` or time is up.
async fn status_with(client: &reqwest::Client, http: &str, key: &str, wanted: u16) -> u16 {
    let begun = Instant::now();
    loop {
        let events = Population::new(1, key, 10, 10).events(1, now_ms());
        let request = client.post(format!("{http}/v1/events"));
        let request = request.bearer_auth(key).body(body(&events, now_ms()));
        let status = request.send().await.expect("answered").status().as_u16();
        if status == wanted || begun.elapsed() > Duration::from_secs(10) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_are_reloaded_live_and_a_bad_file_keeps_the_old_ones() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (config, secret) = (dir.path().join("sluice.toml"), dir.path().join("second.key"));
    let app = |keys: &str| format!("[apps.shop]\nwrite_keys = [{keys}]\n");
    let both = "'first-write-key', { file = 'second.key' }";
    std::fs::write(&secret, "second-write-key\n").expect("write");
    std::fs::write(&config, app("'first-write-key'")).expect("write");
    let data_dir = dir.path().join("data");
    let start = Start::new(Path::new(BIN), &data_dir).flag("--config", config.display());
    let gateway = start.run().expect("starts");
    let (http, client) = (gateway.http.clone(), Sender::new().client().clone());
    assert_eq!(status_with(&client, &http, "first-write-key", 200).await, 200);
    assert_eq!(status_with(&client, &http, "second-write-key", 401).await, 401);

    std::fs::write(&config, app(both)).expect("write");
    assert_eq!(status_with(&client, &http, "second-write-key", 200).await, 200, "by file watch");

    std::fs::write(&config, "[apps.shop]\nwrite_kyes = ['x']\n").expect("write");
    let begun = Instant::now();
    while !gateway.said().contains("write_kyes") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", gateway.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = gateway.said();
    assert!(said.contains("the old one stays") && said.contains("`write_keys`"), "{said}");
    for key in ["first-write-key", "second-write-key"] {
        assert_eq!(status_with(&client, &http, key, 200).await, 200, "{key} stays");
    }

    // The file that holds a secret is not watched: SIGHUP.
    std::fs::write(&config, app(both)).expect("write");
    tokio::time::sleep(Duration::from_millis(600)).await;
    std::fs::write(&secret, "third-write-key\n").expect("write");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(status_with(&client, &http, "third-write-key", 401).await, 401);
    gateway.signal(Signal::HUP);
    assert_eq!(status_with(&client, &http, "third-write-key", 200).await, 200, "by SIGHUP");
    assert_eq!(status_with(&client, &http, "second-write-key", 401).await, 401);
    assert!(gateway.stop(), "a drain ends cleanly");
}

async fn count(sender: &Sender, http: &str) -> Result<Value, String> {
    let question = json!({ "metrics": ["event_count"], "date_range": { "last": "7d" } });
    Ok(ask(sender.client(), http, &question).await?["results"][0]["metrics"][0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_its_part_on_the_same_data() {
    let data = tempfile::tempdir().expect("temp dir");
    let start = |role| Start::new(Path::new(BIN), data.path()).role(role).run().expect(role);
    let (sender, mut population) = (Sender::new(), Population::new(5, "role", 50, 5));
    let batch = population.events(200, now_ms());

    let collect = start("collect");
    sender.post(&collect.http, &batch, now_ms()).await.expect("taken");
    let error = count(&sender, &collect.http).await.expect_err("no questions here");
    assert!(error.contains("404"), "{error}");
    assert!(collect.stop(), "a drain ends cleanly");

    let query = start("query");
    assert_eq!(count(&sender, &query.http).await, Ok(json!(0)), "nothing is filed yet");
    assert!(query.stop(), "a drain ends cleanly");

    let fan_out = start("fan-out");
    let refused = sender.post(&fan_out.http, &batch, now_ms()).await.expect_err("takes none");
    assert!(refused.contains("`serve` or `collect`"), "{refused}");
    settled(sender.client(), &fan_out.admin).await.expect("settles");
    assert!(fan_out.stop(), "a drain ends cleanly");

    let query = start("query");
    assert_eq!(count(&sender, &query.http).await, Ok(json!(200)));
    assert!(sender.post(&query.http, &batch, now_ms()).await.is_err(), "takes none");
    assert!(query.stop(), "a drain ends cleanly");

    let serve = start("serve");
    sender.post(&serve.http, &batch, now_ms()).await.expect("known since the restart");
    assert_eq!(sender.book().duplicate.len(), 200, "remembered by reading the log's tail");
    sender.post(&serve.http, &population.events(50, now_ms()), now_ms()).await.expect("taken");
    settled(sender.client(), &serve.admin).await.expect("settles");
    assert_eq!(check_book(&sender, &serve.http, true).await.map(|all| all.len()), Ok(250));
    assert!(serve.stop(), "a drain ends cleanly");
}
