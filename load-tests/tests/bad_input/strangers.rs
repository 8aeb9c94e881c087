//! Requests without a known key: answered, then slowed down by address, and
//! nobody with a key feels it.

use serde_json::json;

use crate::Target;
use crate::raw::{post, request, send, send_from};

/// The limits that the gateway is started with.
pub const PER_S: u32 = 5;
/// See [`PER_S`].
pub const BURST: u32 = 50;

pub async fn run(target: &Target<'_>) {
    let unknown =
        request("POST", "/v1/events", &[("x-sluice-key", "guess"), ("content-length", "0")], b"");
    let (mut refused, mut limited) = (0, 0);
    for _ in 0..4 * BURST {
        let answer = send_from([127, 0, 0, 9], &target.address, &unknown).await;
        let reply = answer.json();
        match answer.status {
            401 => {
                assert_eq!(reply["error"]["reason"], "key_unknown", "{reply}");
                assert!(!answer.headers.contains_key("retry-after"));
                refused += 1;
            }
            429 => {
                assert_eq!(reply["error"]["reason"], "rate_limited", "{reply}");
                assert_eq!(reply["error"]["limit"], json!(PER_S), "{reply}");
                let detail = reply["error"]["detail"].as_str().unwrap_or_default();
                assert!(detail.contains("check the key"), "{reply}");
                assert_eq!(answer.headers["retry-after"], "1");
                assert!(reply["retry_after_ms"].as_u64().is_some_and(|ms| ms <= 1_000), "{reply}");
                limited += 1;
            }
            other => panic!("{other}: {reply}"),
        }
    }
    assert!(refused >= BURST && limited > BURST, "{refused} refused, {limited} limited");
    // Another address has a bucket of its own, a known key needs none.
    let elsewhere = send_from([127, 0, 0, 10], &target.address, &unknown).await;
    assert_eq!(elsewhere.status, 401);
    let known = post("/v1/events", &[], b"{\"events\":[]}");
    assert_eq!(send_from([127, 0, 0, 9], &target.address, &known).await.status, 200);
    // The Sensors SDK forgets a batch on any status: what passes is no answer.
    let sensors = request("GET", "/sa?project=no-such&data=e30", &[], b"");
    assert_eq!(send_from([127, 0, 0, 9], &target.address, &sensors).await.status, 0);
    assert_eq!(send(&target.address, &known).await.status, 200);
}
