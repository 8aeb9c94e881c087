//! Delivers one chunk: posts it, waits as told, sends again what is wanted again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluice_telemetry::{Clock, SystemClock};

use super::Failure;
use super::source::Chunk;

/// Longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Posts to one gateway.
pub struct Client {
    client: reqwest::Client,
    url: String,
    key: String,
    platform: String,
    attempts_max: u32,
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Newly durable.
    pub accepted: u64,
    /// Known before.
    pub duplicates: u64,
    /// Never taken.
    pub rejects: Vec<Reject>,
}

/// One event never taken.
#[derive(Debug)]
pub struct Reject {
    /// Index in the chunk.
    pub index: usize,
    /// Reason and detail.
    pub text: String,
}

#[derive(Serialize)]
struct Body<'a> {
    platform: &'a str,
    sdk: Sdk,
    sent_at: i64,
    attempt: u32,
    events: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Sdk {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    accepted: u64,
    duplicates: u64,
    results: Vec<ReplyResult>,
    retry_after_ms: u64,
    error: Option<ReplyError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplyResult {
    index: usize,
    outcome: String,
    reason: String,
    detail: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplyError {
    reason: String,
    detail: String,
}

/// What one post led to.
enum Posted {
    Answered(Reply),
    Again { after: Option<Duration>, why: String },
}

// === impl Client ===

impl Client {
    /// A client for one gateway and key.
    pub fn new(url: &str, key: &str, platform: &str, attempts_max: u32) -> Result<Self, Failure> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .map_err(|error| Failure::Failed(format!("no HTTP client: {error}")))?;
        if !url.starts_with("http://") {
            let text = format!("--url {url}: must begin with http://; TLS is not spoken here");
            return Err(Failure::Usage(text));
        }
        Ok(Self {
            client,
            url: format!("{}/v1/events", url.trim_end_matches('/')),
            key: key.to_owned(),
            platform: platform.to_owned(),
            attempts_max,
        })
    }

    /// Sends until every event of the chunk has a final fate.
    pub async fn deliver(
        &self,
        chunk: &Chunk,
        mut waiting: impl FnMut(Duration, &str),
    ) -> Result<Delivery, Failure> {
        let mut delivery = Delivery::default();
        let mut pending: Vec<usize> = (0..chunk.lines.len()).collect();
        let mut why = String::new();
        for attempt in 1..=self.attempts_max {
            let mut wait = backoff(attempt);
            match self.post(chunk, &pending, attempt).await? {
                Posted::Answered(reply) => {
                    let after = Duration::from_millis(reply.retry_after_ms);
                    let (again, text) = settle(reply, &pending, &mut delivery);
                    if again.is_empty() {
                        return Ok(delivery);
                    }
                    (pending, why, wait) = (again, text, wait.max(after));
                }
                Posted::Again { after, why: text } => {
                    (why, wait) = (text, wait.max(after.unwrap_or_default()));
                }
            }
            let wait = wait.min(WAIT_MAX);
            waiting(wait, &why);
            tokio::time::sleep(wait).await;
        }
        Err(Failure::Failed(format!("gave up after {} tries: {why}", self.attempts_max)))
    }

    async fn post(
        &self,
        chunk: &Chunk,
        pending: &[usize],
        attempt: u32,
    ) -> Result<Posted, Failure> {
        let body = Body {
            platform: &self.platform,
            sdk: Sdk { name: "sluice-send", version: env!("CARGO_PKG_VERSION") },
            sent_at: SystemClock.now_ms(),
            attempt,
            events: pending.iter().map(|&index| &*chunk.lines[index].event).collect(),
        };
        let request = self.client.post(&self.url).bearer_auth(&self.key).json(&body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Posted::Again { after: None, why: chain(&error) }),
        };
        let status = response.status();
        let after = response.headers().get("retry-after");
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(Duration::from_secs);
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return Ok(Posted::Again { after, why: chain(&error) }),
        };
        let reply: Reply = serde_json::from_str(&text).unwrap_or_default();
        match status.as_u16() {
            200 => Ok(Posted::Answered(reply)),
            408 | 429 | 500..=599 => {
                let why = reply.error.map_or(text, |error| error.detail);
                Ok(Posted::Again { after, why: format!("{status}: {why}") })
            }
            _ => {
                let error = reply.error.unwrap_or_default();
                Err(Failure::Failed(format!("{status}: {}: {}", error.reason, error.detail)))
            }
        }
    }
}

/// Takes the final fates out of a reply; what is left is to be sent again.
fn settle(reply: Reply, pending: &[usize], delivery: &mut Delivery) -> (Vec<usize>, String) {
    delivery.accepted += reply.accepted;
    delivery.duplicates += reply.duplicates;
    let (mut again, mut why) = (Vec::new(), String::new());
    for result in reply.results {
        let Some(&index) = pending.get(result.index) else { continue };
        match result.outcome.as_str() {
            "rejected" => {
                let text = format!("{}: {}", result.reason, result.detail);
                delivery.rejects.push(Reject { index, text });
            }
            "retry" => {
                again.push(index);
                why = result.reason;
            }
            _ => {}
        }
    }
    (again, why)
}

/// Doubles from a quarter of a second. One sender, one batch at a time: no
/// crowd to spread out, so no jitter.
fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(250).saturating_mul(1 << attempt.min(8).saturating_sub(1))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_again_is_sent_again() {
        let reply = r#"{"accepted":1,"duplicates":1,"rejected":1,"retry":1,"results":[
            {"index":0,"outcome":"duplicate"},
            {"index":1,"outcome":"rejected","reason":"name_invalid","detail":"events[1].name"},
            {"index":3,"outcome":"retry","reason":"log_unavailable"}]}"#;
        let reply = serde_json::from_str(reply).expect("reply");
        let mut delivery = Delivery::default();
        let (again, why) = settle(reply, &[10, 11, 12, 13], &mut delivery);
        assert_eq!((again, why.as_str()), (vec![13], "log_unavailable"));
        assert_eq!((delivery.accepted, delivery.duplicates), (1, 1));
        assert_eq!(delivery.rejects[0].index, 11);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        assert_eq!(backoff(1), Duration::from_millis(250));
        assert_eq!(backoff(4), Duration::from_secs(2));
        assert!(backoff(u32::MAX) <= Duration::from_secs(32));
    }
}
