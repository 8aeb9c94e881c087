//! The fate of each event by status and outcome: the table of `spec.md`, §6, row
//! by row, against a gateway that answers so.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Gateway, PATIENCE, Say, push};
use parking_lot::Mutex;
use serde_json::json;
use sluice_client::{Builder, Problem};

fn told(builder: Builder) -> (Builder, Arc<Mutex<Vec<Problem>>>) {
    let problems = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&problems);
    (builder.on_problem(move |problem| into.lock().push(problem.clone())), problems)
}

fn listed() -> serde_json::Value {
    json!({"accepted": 1, "duplicates": 1, "rejected": 1, "retry": 1, "results": [
        {"index": 1, "outcome": "duplicate"},
        {"index": 2, "outcome": "rejected", "reason": "name_invalid", "detail": "fix it"},
        {"index": 3, "outcome": "retry", "reason": "log_unavailable"},
    ], "retry_after_ms": 300})
}

/// SDK-RETRY-1, SDK-RETRY-2, SDK-ID-3, SDK-QUEUE-4.
#[tokio::test]
async fn event_by_event() {
    let gateway = Gateway::start([Say::json(200, listed())]).await;
    let (builder, problems) = told(gateway.builder());
    let client = builder.build().expect("valid");
    push(&client, &["fine", "known", "bad", "again"]);
    client.flush(PATIENCE).await.expect("all final");
    let seen = gateway.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].names(), ["again"]);
    assert_eq!(seen[1].batch["events"][0], seen[0].batch["events"][3]);
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(300));
    assert_eq!((seen[0].batch["attempt"].clone(), seen[1].dropped()), (json!(1), 0));
    let stats = client.stats();
    assert_eq!((stats.accepted, stats.duplicates, stats.rejected, stats.lost), (2, 1, 1, 0));
    let problem = Problem { reason: "name_invalid".into(), detail: "fix it".into(), events: 1 };
    assert_eq!(*problems.lock(), [problem]);
}

/// SDK-RETRY-3: a 503 with a list keeps what it does not list.
#[tokio::test]
async fn unavailable_with_a_list() {
    let body = json!({"accepted": 0, "retry": 1, "results": [
        {"index": 0, "outcome": "rejected", "reason": "name_invalid"},
        {"index": 1, "outcome": "retry", "reason": "log_unavailable"},
    ]});
    let gateway = Gateway::start([Say::json(503, body)]).await;
    let client = gateway.builder().build().expect("valid");
    push(&client, &["bad", "listed", "not_listed"]);
    client.flush(PATIENCE).await.expect("all final");
    assert_eq!(gateway.seen()[1].names(), ["listed", "not_listed"]);
    assert_eq!(client.stats().rejected, 1);
}

/// SDK-RETRY-3, SDK-RETRY-9, SDK-TIME-2, SDK-BATCH-6: everything that is passing,
/// and everything that is no answer of a gateway.
#[tokio::test]
async fn passing_answers_bring_the_whole_batch_again() {
    let passing = [
        Say::status(408),
        Say::status(429),
        Say::status(500),
        Say::status(502),
        Say::status(503),
        Say::status(504),
        Say::Answer(302, vec![("location", "/elsewhere".into())], String::new()),
        Say::Answer(200, vec![], "<html>please log in</html>".into()),
        Say::json(200, json!({})),
        Say::Cut,
        Say::Hang,
    ];
    let each = passing.map(|say| {
        tokio::spawn(async move {
            let said = format!("{say:?}");
            let gateway = Gateway::start([say]).await;
            let builder = gateway.builder().request_timeout(Duration::from_secs(3));
            let client = builder.build().expect("valid");
            push(&client, &["a", "b"]);
            client.flush(PATIENCE).await.expect("all final");
            let seen = gateway.seen();
            assert_eq!(seen.len(), 2, "{said}");
            assert_eq!(seen[0].batch["events"], seen[1].batch["events"], "{said}");
            assert_eq!(seen[1].batch["attempt"], 2, "{said}");
            let sent_at = |at: usize| seen[at].batch["sent_at"].as_i64().expect("a time");
            assert!(sent_at(1) >= sent_at(0), "{said}");
            assert_eq!((client.stats().accepted, client.stats().lost), (2, 0), "{said}");
        })
    });
    for one in each {
        one.await.expect("as it should be");
    }
}

/// SDK-RETRY-10.
#[tokio::test]
async fn another_success_is_a_success() {
    let gateway = Gateway::start([Say::status(204)]).await;
    let client = gateway.builder().build().expect("valid");
    client.count_lost(3);
    push(&client, &["a"]);
    client.flush(PATIENCE).await.expect("all final");
    push(&client, &["b"]);
    client.flush(PATIENCE).await.expect("all final");
    let dropped: Vec<_> = gateway.seen().iter().map(|seen| seen.dropped()).collect();
    assert_eq!((dropped, client.stats().accepted), (vec![3, 0], 2));
}

/// SDK-RETRY-4: neither a flush nor new events shorten the wait; SDK-RETRY-5.
#[tokio::test]
async fn the_gateways_wait_is_kept() {
    let date = |seconds| {
        let now = std::time::UNIX_EPOCH + Duration::from_secs(1_795_190_400);
        httpdate::fmt_http_date(now + Duration::from_secs(seconds))
    };
    let dated = Say::Answer(503, vec![("retry-after", date(2)), ("date", date(0))], String::new());
    let gateway = Gateway::start([Say::wait(429, 1), dated]).await;
    let client = gateway.builder().build().expect("valid");
    push(&client, &["a"]);
    gateway.requests(1).await;
    for name in ["b", "c", "d"] {
        push(&client, &[name]);
        drop(client.flush(PATIENCE));
    }
    let seen = gateway.requests(3).await;
    let (first, second) = (seen[1].at - seen[0].at, seen[2].at - seen[1].at);
    assert!((1_000..2_600).contains(&first.as_millis()), "{first:?}");
    assert!((2_000..4_600).contains(&second.as_millis()), "{second:?}");
    assert_eq!(seen[2].names(), ["a", "b", "c", "d"]);
}

/// SDK-RETRY-6, SDK-QUEUE-3.
#[tokio::test]
async fn too_large_halves_and_alone_is_dropped() {
    let refusal = json!({"error": {"reason": "too_many_events", "detail": "halve it"}});
    let too_large = || Say::json(413, refusal.clone());
    // Of eight: eight, four, two, one alone.
    let gateway = Gateway::start([too_large(), too_large(), too_large(), too_large()]).await;
    let (builder, problems) = told(gateway.builder());
    let client = builder.linger(Duration::from_millis(200)).build().expect("valid");
    push(&client, &["a", "b", "c", "d", "e", "f", "g", "h"]);
    client.flush(PATIENCE).await.expect("all final");
    let seen = gateway.seen();
    let sizes: Vec<_> = seen.iter().map(|seen| seen.events()).collect();
    // Then they grow again.
    assert_eq!(sizes, [8, 4, 2, 1, 1, 2, 3, 1]);
    assert!(!seen[4..].iter().any(|seen| seen.names().contains(&"a".to_owned())));
    assert_eq!((seen[3].dropped(), seen[4].dropped(), seen[5].dropped()), (0, 1, 0));
    assert_eq!((client.stats().accepted, client.stats().lost), (7, 1));
    assert_eq!(problems.lock()[0].reason, "too_many_events");
}

/// SDK-RETRY-7: final, counted, told, and not at once again.
#[tokio::test]
async fn refused_batches_are_dropped_and_counted() {
    let each = [400, 401, 403, 404, 405, 415, 418].map(|status| {
        tokio::spawn(async move {
            let refusal = json!({"error": {"reason": "key_unknown", "detail": "check the key"}});
            let gateway = Gateway::start([Say::json(status, refusal)]).await;
            let (builder, problems) = told(gateway.builder());
            let builder = builder.linger(Duration::from_millis(400));
            let client = builder.batch_events_max(2).build().expect("valid");
            push(&client, &["a", "b", "c", "d"]);
            client.flush(PATIENCE).await.expect("all final");
            let seen = gateway.seen();
            assert_eq!((seen.len(), seen[1].names()), (2, vec!["c".into(), "d".into()]));
            assert_eq!((seen[0].dropped(), seen[1].dropped()), (0, 2), "{status}");
            assert!(seen[1].at - seen[0].at >= Duration::from_millis(400), "{status}");
            let detail = "check the key".to_owned();
            let problem = Problem { reason: "key_unknown".into(), detail, events: 2 };
            assert_eq!(*problems.lock(), [problem]);
            assert_eq!((client.stats().accepted, client.stats().lost), (2, 2));
        })
    });
    for one in each {
        one.await.expect("as it should be");
    }
}

/// SDK-EVENT-3: what the app's own code does ends nothing.
#[tokio::test]
async fn a_panic_of_the_apps_code_ends_nothing() {
    let gateway = Gateway::start([Say::status(400)]).await;
    let builder = gateway.builder().on_problem(|problem| panic!("{}", problem.reason));
    let client = builder.build().expect("valid");
    push(&client, &["a"]);
    client.flush(PATIENCE).await.expect("dropped");
    push(&client, &["b"]);
    client.flush(PATIENCE).await.expect("sent");
    assert_eq!(client.stats().accepted, 1);
}
