//! The DataRangers dialect's acknowledgement and identity: what makes that SDK
//! keep a batch, and what it sends again.

mod common;

use std::sync::atomic::Ordering;

use common::{Answer, Server, config, start, start_with};
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_event::{Limits, Parsed, Reason};
use sluice_wire::dialects::{Dialect, datarangers::DataRangers};
use sluice_wire::{Fallback, Head, Inflater, WireConfig};

fn event(name: &str, time: i64, params: &Value) -> Value {
    json!({
        "event": name, "local_time_ms": time, "session_id": "s", "params": params.to_string(),
    })
}

fn packet(events: &[Value]) -> Value {
    json!({
        "events": events, "user": {"web_id": "7", "user_unique_id": "7"},
        "header": {"app_id": 10001},
    })
}

async fn send(server: &Server, path: &str, packets: &[Value]) -> Answer {
    server.post(path, "", &serde_json::to_vec(packets).expect("JSON")).await
}

fn head(path: &str) -> Head {
    Head::new(http::Request::post(path).body(()).expect("valid").into_parts().0, None)
}

/// Everything that the dialect does with bytes from outside.
fn exercise(body: &[u8]) {
    let limits = Limits::default();
    for head in [head("/list/"), head("/webid/")] {
        DataRangers.presented_in_body(&head, body);
        if let Ok(payload) = DataRangers.unwrap(&head, body, &limits, &mut Inflater::default()) {
            DataRangers.decode(&head, &payload, &limits).ok();
        }
    }
}

fn ids(body: &Value) -> Vec<String> {
    let text = body.to_string();
    let batch =
        DataRangers.decode(&head("/list/"), text.as_bytes(), &Limits::default()).expect("a batch");
    let id = |parsed: &Parsed<'_>| match parsed {
        Parsed::Event(event) => event.id.to_string(),
        Parsed::Bad { id, .. } => id.clone(),
    };
    batch.events.iter().map(id).collect()
}

#[test]
fn a_retry_regroups_and_composes_anew_and_is_still_the_same() {
    let (one, two) = (event("a", 1, &json!({"n": 1})), event("a", 2, &json!({"n": 1})));
    let first = ids(&json!([packet(&[one, two.clone()])]));
    assert_ne!(first[0], first[1]);
    assert_eq!(ids(&json!([packet(&[two])])), first[1..]);
    // Events of before the SDK's start are composed twice: these members come then.
    let later = json!({"n": 1, "$current_path": "p", "$current_query": "{}"});
    let mut later = packet(&[event("a", 1, &later)]);
    later["header"]["access"] = "4g".into();
    later["user"]["user_unique_id"] = "user-42".into();
    assert_eq!(ids(&json!([later])), first[..1]);
}

#[test]
fn only_what_is_the_same_in_all_is_one_event() {
    let base = packet(&[event("a", 1, &json!({"n": 1, "m": "2"}))]);
    let id = ids(&json!([base])).remove(0);
    let mut seen = vec![id.clone()];
    for (pointer, other) in [
        ("/events/0/event", json!("b")),
        ("/events/0/local_time_ms", json!(2)),
        ("/events/0/session_id", json!("t")),
        ("/events/0/params", json!(r#"{"n":2,"m":"2"}"#)),
        ("/events/0/params", json!(r#"{"n":1,"m":2}"#)),
        ("/events/0/params", json!(r#"{"n":1}"#)),
        ("/events/0/params", json!(r#"{"n":1,"m":"2","scene":1}"#)),
        ("/user/web_id", json!("8")),
        ("/header/app_id", json!(10002)),
    ] {
        let mut changed = base.clone();
        *changed.pointer_mut(pointer).expect(pointer) = other;
        let id = ids(&json!([changed])).remove(0);
        assert!(!seen.contains(&id), "{pointer}");
        seen.push(id);
    }
    // The same in all of these twice: nothing tells the two apart.
    let twice = packet(&[base["events"][0].clone(), base["events"][0].clone()]);
    assert_eq!(ids(&json!([twice])), [id.clone(), id]);
}

proptest! {
    /// Events that differ in anything the SDK fixes when they happen stay apart.
    #[test]
    fn different_events_have_different_ids(
        events in proptest::collection::hash_set(("[ab]{1,2}", 0..3_i64, "[ab]{0,2}", 0..3), 1..40),
    ) {
        let body: Vec<_> = events
            .iter()
            .map(|(name, time, text, n)| event(name, *time, &json!({"t": text, "n": n})))
            .collect();
        let mut found = ids(&json!([packet(&body)]));
        found.sort();
        found.dedup();
        prop_assert_eq!(found.len(), events.len());
    }
}

/// Every prefix of every vector's body, and every byte of it wrong: all of it
/// ends in a batch or a refusal.
#[test]
fn cut_and_broken_bodies_never_panic() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk-spec/vectors/datarangers");
    let mut bodies = 0;
    for entry in std::fs::read_dir(folder).expect("vectors") {
        let bytes = std::fs::read(entry.expect("readable").path()).expect("readable");
        let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let mut body = bytes[at + 4..].to_vec();
        bodies += 1;
        for at in 0..body.len() {
            exercise(&body[..at]);
            body[at] ^= 0x20;
            exercise(&body);
            body[at] ^= 0x20;
        }
    }
    assert!(bodies >= 8);
}

#[tokio::test]
async fn whatever_should_come_again_gets_no_answer() {
    let config = WireConfig { body_rate_grace_ms: 200, ..config() };
    let server = start_with(config, Fallback::not_found());
    let packets = [packet(&[event("a", 1, &json!({}))])];
    for path in ["/list/", "/profile/list"] {
        server.fake.broken.store(true, Ordering::SeqCst);
        assert_eq!(send(&server, path, &packets).await.status, 0, "nothing durable");
        server.fake.broken.store(false, Ordering::SeqCst);
        server.fake.unready.store(true, Ordering::SeqCst);
        assert_eq!(send(&server, path, &packets).await.status, 0, "unready");
        server.fake.unready.store(false, Ordering::SeqCst);
    }
    let slow = b"POST /list/ HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[";
    assert_eq!(server.raw(slow).await.status, 0, "too slow");
    let expected = [Reason::Overloaded, Reason::Overloaded, Reason::BodyTooSlow];
    assert_eq!(*server.fake.refusals.lock(), expected);
    let answer = send(&server, "/list/", &packets).await.json();
    let again = send(&server, "/list/", &packets).await.json();
    assert_eq!((&answer["e"], &answer["accepted"]), (&json!(0), &json!(1)), "it all comes later");
    assert_eq!((&again["e"], &again["duplicates"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn what_is_final_gets_its_status_and_says_why() {
    let server = start();
    let unknown = json!([{"events": [], "header": {"app_id": 404}}]).to_string();
    assert_eq!(server.post("/list/", "", unknown.as_bytes()).await.status, 401);
    let many: Vec<_> = (0..501).map(|time| event("a", time, &json!({}))).collect();
    assert_eq!(send(&server, "/list/", &[packet(&many)]).await.status, 413);
    let sm2 = "content-type: application/octet-stream;tt-data=gm_sm2\r\n";
    let hidden = server.post("/profile/list", sm2, b"04ab12").await;
    assert_eq!((hidden.status, hidden.reason().as_str()), (400, "event_unsupported"));
    let increment = [packet(&[event("__profile_increment", 1, &json!({"n": 1}))])];
    let refused = send(&server, "/profile/list", &increment).await.json();
    assert_eq!((&refused["e"], &refused["rejected"]), (&json!(0), &json!(1)));
    assert_eq!(refused["results"][0]["reason"], "event_unsupported");
}

#[tokio::test]
async fn browsers_may_call_all_of_its_paths() {
    let server = start();
    for path in ["/list/", "/list", "/profile/list", "/profile/list/", "/webid/", "/webid"] {
        let asked = format!("OPTIONS {path} HTTP/1.1\r\nhost: x\r\norigin: https://h\r\n\r\n");
        let answer = server.raw(asked.as_bytes()).await;
        let origin = answer.header("access-control-allow-origin");
        assert_eq!((answer.status, origin.as_deref()), (204, Some("*")), "{path}");
    }
}
