//! A disk that is full, and one that fails: the gateway says so and refuses in
//! the way that each client understands; nothing acknowledged is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use load_tests::crowd::{Crowd, now_ms};
use load_tests::gateway::{Gateway, Start, ask, settled};
use load_tests::population::{Population, body};
use load_tests::sender::Sender;
use load_tests::verdict::check_book;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");

/// `POST /sa` as the mini-program SDK sends it; what came back before the
/// connection was closed. Empty: no reply at all.
async fn sensors(http: &str, time_ms: i64) -> String {
    let event = json!([{
        "distinct_id": "sensors-device", "type": "track", "event": "$MPViewScreen",
        "time": time_ms, "_track_id": time_ms % 1_000_000, "_flush_time": time_ms,
        "lib": { "$lib": "MiniProgram", "$lib_version": "1.22.7" },
        "properties": { "eid": "from-sensors", "$url_path": "pages/index" },
    }]);
    let data = base64::engine::general_purpose::STANDARD.encode(event.to_string());
    let data = data.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let body = format!("data_list={data}");
    let request = format!(
        "POST /sa?project=default HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let address = http.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut reply));
    // A reset is a closed connection too.
    let _ = read.await.expect("the connection is closed");
    String::from_utf8_lossy(&reply).into_owned()
}

/// `/readyz`: whether ready, and the reasons.
async fn ready(sender: &Sender, admin: &str) -> Option<(bool, String)> {
    let response = sender.client().get(format!("{admin}/readyz")).send().await.ok()?;
    let status = response.status().as_u16();
    let answer: Value = response.json().await.ok()?;
    assert_eq!(answer["ready"], status == 200, "{status} {answer}");
    Some((status == 200, answer["reasons"].to_string()))
}

async fn becomes_ready(sender: &Sender, admin: &str) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if ready(sender, admin).await.is_some_and(|(ready, _)| ready) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not ready again by itself");
}

/// A refusal of the native dialect: status, Retry-After, reason.
async fn refusal(sender: &Sender, http: &str) -> (u16, Option<u64>, Value) {
    let events = Population::new(1, "refused", 10, 10).events(3, now_ms());
    let request = sender.client().post(format!("{http}/v1/events"));
    let request = request.bearer_auth("demo-write-key").body(body(&events, now_ms()));
    let response = request.send().await.expect("answered");
    let status = response.status().as_u16();
    let after = response.headers().get("retry-after");
    let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
    let answer: Value = response.json().await.expect("JSON");
    (status, after, answer["error"]["reason"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_refused_and_recovered_from() {
    let data = tempfile::tempdir().expect("temp dir");
    let full = data.path().join("full");
    let fault = format!("full:{}", full.display());
    let data_dir = data.path().join("data");
    let start = Start::new(Path::new(BIN), &data_dir).env("SLUICE_DISK_FAULT", fault);
    let gateway = start.run().expect("starts");
    let (http, admin) = (gateway.http.clone(), gateway.admin.clone());
    let sender = Sender::new();
    let mut early = Population::new(2, "early", 50, 5);
    sender.post(&http, &early.events(100, now_ms()), now_ms()).await.expect("taken");

    std::fs::write(&full, b"").expect("disk full");
    let (is_ready, reasons) = ready(&sender, &admin).await.expect("answers");
    assert!(!is_ready && reasons.contains("log: the disk below"), "{reasons}");
    let (status, after, reason) = refusal(&sender, &http).await;
    assert_eq!((status, reason), (503, json!("log_unavailable")));
    assert!(after.is_some_and(|after| after >= 1), "{after:?}");
    assert_eq!(sensors(&http, now_ms()).await, "", "any reply would lose the batch");
    settled(sender.client(), &admin).await.expect("settles");
    let question = json!({ "metrics": ["event_count"], "date_range": { "last": "7d" } });
    let answer = ask(sender.client(), &http, &question).await.expect("questions go on");
    assert_eq!(answer["results"][0]["metrics"], json!([100]));

    // Full and not full in turn, under load.
    std::fs::remove_file(&full).expect("room again");
    let crowd = Crowd::start(&sender, &http, "full", 4);
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        std::fs::write(&full, b"").expect("disk full");
        tokio::time::sleep(Duration::from_millis(150)).await;
        std::fs::remove_file(&full).expect("room again");
    }
    becomes_ready(&sender, &admin).await;
    crowd.finish().await.expect("delivered in the end");
    settled(sender.client(), &admin).await.expect("settles");
    let counted = check_book(&sender, &http, true).await.expect("exact");
    let reply = sensors(&http, now_ms()).await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    println!("disk full 7 times: {} events, lost 0, counted twice 0", counted.len());
    assert!(gateway.stop(), "a drain ends cleanly");
}

/// Runs into the fault under load; the process must end by itself. The reasons
/// that `/readyz` gave on the way.
async fn fails_and_ends(
    sender: &Sender,
    data_dir: &Path,
    role: &str,
    fault: &str,
) -> (Vec<String>, Crowd) {
    let start = Start::new(Path::new(BIN), data_dir).role(role).env("SLUICE_DISK_FAULT", fault);
    let mut gateway: Gateway = start.run().unwrap_or_else(|error| panic!("{fault}: {error}"));
    let before = gateway.said().len();
    let prefix = format!("{role}-{}", fault.replace(':', "-"));
    let crowd = Crowd::start(sender, &gateway.http, &prefix, 4);
    let (mut reasons, begun) = (Vec::new(), Instant::now());
    let status = loop {
        if let Some((false, why)) = ready(sender, &gateway.admin).await {
            reasons.push(why);
        }
        if let Some(status) = gateway.wait(Duration::from_millis(5)) {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{fault}: still running");
    };
    assert_eq!(status.code(), Some(1), "{fault}: {status}");
    let said = gateway.said();
    let last = said[before..].lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("sluice: ") && last.contains("log"), "{fault}: {last}");
    println!("{role}, {fault}: {last}");
    (reasons, crowd)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_ends_the_process_and_loses_nothing_acknowledged() {
    let data = tempfile::tempdir().expect("temp dir");
    let sender = Sender::new();
    let mut reasons = Vec::new();
    let serve = ["fsync:8", "fsync:21", "fsync:50", "write:12", "write:33", "write:60"];
    let faults = serve.map(|fault| ("serve", fault));
    for (role, fault) in faults.into_iter().chain([("collect", "fsync:30")]) {
        let (seen, crowd) = fails_and_ends(&sender, data.path(), role, fault).await;
        reasons.extend(seen);
        let healthy = Start::new(Path::new(BIN), data.path()).run().expect("starts again");
        crowd.turn_to(&healthy.http);
        crowd.finish().await.expect("delivered in the end");
        assert!(healthy.stop(), "a drain ends cleanly");
    }
    assert!(reasons.iter().any(|why| why.contains("log: ")), "never unready: {reasons:?}");
    let gateway = Start::new(Path::new(BIN), data.path()).run().expect("starts");
    settled(sender.client(), &gateway.admin).await.expect("settles");
    let counted = check_book(&sender, &gateway.http, true).await.expect("exact");
    println!("7 failing disks: {} events, lost 0, counted twice 0", counted.len());
    assert!(gateway.stop(), "a drain ends cleanly");
}
