//! Clocks of 1970 and 2090, with and without the clock at sending.

use serde_json::json;

use crate::raw::{post, send};
use crate::{Target, now_ms};

/// 1970-01-01T00:16:40Z.
const EPOCH_MS: i64 = 1_000_000;
/// 2090-01-01T00:00:00Z.
const FUTURE_MS: i64 = 3_786_912_000_000;
const DAY_MS: i64 = 86_400_000;

/// The year of a moment, by the mean length of a year: good enough for "near".
pub fn year(time_ms: i64) -> i64 {
    1970 + time_ms / 31_556_952_000
}

fn batch(id: &str, time_ms: i64, sent_at_ms: Option<i64>) -> Vec<u8> {
    let event = json!({"id": id, "name": "clock_event", "time": time_ms, "device_id": "d-clock"});
    let mut batch = json!({ "events": [event] });
    if let Some(sent_at_ms) = sent_at_ms {
        batch["sent_at"] = json!(sent_at_ms);
    }
    post("/v1/events", &[], batch.to_string().as_bytes())
}

pub async fn run(target: &Target<'_>) {
    refused(target).await;
    corrected(target).await;
}

/// Nothing says when it really happened.
async fn refused(target: &Target<'_>) {
    let now = now_ms();
    for (time_ms, sent_at_ms) in [
        (EPOCH_MS, None),
        (FUTURE_MS, None),
        (EPOCH_MS, Some(now)),
        (FUTURE_MS, Some(now)),
        (EPOCH_MS, Some(FUTURE_MS)),
        (now - 8 * DAY_MS, None),
        (now + 2 * DAY_MS, None),
        (i64::MAX, None),
        (i64::MIN, Some(i64::MAX)),
        (0, Some(i64::MIN)),
    ] {
        let answer = send(&target.address, &batch("clock-bad", time_ms, sent_at_ms)).await;
        let reply = answer.json();
        assert_eq!((answer.status, &reply["rejected"]), (200, &json!(1)), "{time_ms}: {reply}");
        let found = &reply["results"][0];
        assert_eq!(found["reason"], "time_out_of_range", "{time_ms}: {reply}");
        let detail = found["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(&format!("events[0].time: {time_ms} ")), "{detail}");
    }
}

/// A clock that is wrong by the same amount all the time is put right, and the
/// event is filed under the day of its receipt.
async fn corrected(target: &Target<'_>) {
    for (id, clock_ms) in [("clock-1970", EPOCH_MS), ("clock-2090", FUTURE_MS)] {
        let bytes = batch(id, clock_ms - 60_000, Some(clock_ms));
        let received_ms = now_ms();
        let reply = send(&target.address, &bytes).await.json();
        assert_eq!(reply["accepted"], 1, "{id}: {reply}");
        let found = target.ledger(id).await;
        assert_eq!(found["times"]["device"]["ms"], clock_ms - 60_000, "{found}");
        let corrected_ms = found["times"]["corrected"]["ms"].as_i64().expect("a time");
        let off_ms = corrected_ms - (received_ms - 60_000);
        assert!((0..5_000).contains(&off_ms), "{found}");
        let flags = found["event"]["flags"].to_string();
        assert!(flags.contains("time_corrected") && flags.contains("day_of_receipt"), "{flags}");
        let again = send(&target.address, &bytes).await.json();
        assert_eq!(again["duplicates"], 1, "{id}: {again}");
    }
}
