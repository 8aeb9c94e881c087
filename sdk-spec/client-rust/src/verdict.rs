//! What an answer means for the batch: the table of `sdk-spec/spec.md`, §6.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// What is to become of the batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Event by event.
    Listed {
        /// What the reply lists.
        results: Vec<Listed>,
        /// Whether an event that is not listed is to be sent again (503), or done with (200).
        rest_again: bool,
        /// The wait that the reply asks for.
        wait: Duration,
    },
    /// All of it is done with (SDK-RETRY-10).
    Taken,
    /// All of it is to be sent again (SDK-RETRY-3).
    Again {
        /// The wait that the answer asks for.
        wait: Duration,
    },
    /// Fewer events at a time (SDK-RETRY-6).
    Halve {
        /// Why, where an event alone is too large.
        refusal: Refusal,
    },
    /// None of it, ever (SDK-RETRY-7).
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) detail: String,
}

/// The fate of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) index: usize,
    pub(crate) outcome: Outcome,
    pub(crate) refusal: Refusal,
}

/// Outcomes that a reply lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Known before.
    Duplicate,
    /// Never taken.
    Rejected,
    /// Wanted again.
    Retry,
}

#[derive(Deserialize)]
struct Reply {
    accepted: Option<u64>,
    #[serde(default)]
    results: Vec<Value>,
    #[serde(default)]
    retry_after_ms: Value,
    error: Option<Value>,
}

// === impl Verdict ===

impl Verdict {
    /// No answer at all.
    pub(crate) const NO_ANSWER: Self = Self::Again { wait: Duration::ZERO };

    /// Of an HTTP answer. `retry_after` is that of the header.
    pub(crate) fn of(status: u16, retry_after: Duration, body: &[u8]) -> Self {
        let reply: Option<Reply> = serde_json::from_slice(body).ok();
        let asked = reply.as_ref().and_then(|reply| reply.retry_after_ms.as_f64());
        let asked = Duration::try_from_secs_f64(asked.unwrap_or_default() / 1_000.0);
        // SDK-RETRY-4: the longer of the two.
        let wait = asked.unwrap_or_default().max(retry_after);
        match status {
            200 | 503 => match reply {
                Some(Reply { accepted: Some(_), results, .. }) => {
                    let results = results.iter().filter_map(listed).collect();
                    Self::Listed { results, rest_again: status == 503, wait }
                }
                // SDK-RETRY-9: 200 of a captive portal is no answer.
                _ => Self::Again { wait },
            },
            201..=299 => Self::Taken,
            408 | 429 | 500..=599 => Self::Again { wait },
            400..=499 => {
                let refusal = refusal(status, reply);
                if status == 413 { Self::Halve { refusal } } else { Self::Refused(refusal) }
            }
            // A redirect is not followed (SDK-PRIVACY-5) and no answer, like all else.
            _ => Self::Again { wait },
        }
    }
}

fn refusal(status: u16, reply: Option<Reply>) -> Refusal {
    let error = reply.and_then(|reply| reply.error);
    let said: Refusal =
        error.and_then(|error| serde_json::from_value(error).ok()).unwrap_or_default();
    let reason = if said.reason.is_empty() { format!("status_{status}") } else { said.reason };
    Refusal { reason, ..said }
}

/// An entry of `results`; one that cannot be read changes nothing.
fn listed(result: &Value) -> Option<Listed> {
    let text = |name: &str| result.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let index = result.get("index")?.as_u64()?.try_into().ok()?;
    let outcome = match result.get("outcome")?.as_str()? {
        "retry" => Outcome::Retry,
        "rejected" => Outcome::Rejected,
        // SDK-RETRY-10: what is new is a success.
        _ => Outcome::Duplicate,
    };
    Some(Listed {
        index,
        outcome,
        refusal: Refusal { reason: text("reason"), detail: text("detail") },
    })
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date less `now_ms`; nothing where
/// it cannot be read. `date` is the answer's own `Date`, which is better than a clock
/// of ours that may be wrong.
pub(crate) fn retry_after(value: Option<&str>, date: Option<&str>, now_ms: i64) -> Duration {
    let Some(value) = value.map(str::trim) else { return Duration::ZERO };
    if let Ok(seconds) = value.parse::<u64>() {
        return Duration::from_secs(seconds);
    }
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok()).or_else(|| {
        let since = Duration::from_millis(u64::try_from(now_ms).ok()?);
        std::time::UNIX_EPOCH.checked_add(since)
    });
    let until = httpdate::parse_http_date(value).ok();
    until.zip(now).and_then(|(until, now)| until.duration_since(now).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn of(status: u16, body: &str) -> Verdict {
        Verdict::of(status, NONE, body.as_bytes())
    }

    /// Row by row: `sdk-spec/spec.md`, §6.
    #[test]
    fn each_status_has_its_verdict() {
        assert_eq!(of(204, ""), Verdict::Taken);
        assert_eq!(of(202, "<html>"), Verdict::Taken);
        for status in [0, 100, 301, 307, 408, 429, 500, 502, 503, 504, 599] {
            assert_eq!(of(status, "no JSON"), Verdict::NO_ANSWER, "{status}");
        }
        for status in [400, 401, 403, 404, 405, 415, 422, 451] {
            let reason = format!("status_{status}");
            let refusal = Refusal { reason, detail: String::new() };
            assert_eq!(of(status, ""), Verdict::Refused(refusal), "{status}");
        }
        let body = r#"{"error":{"reason":"too_many_events","detail":"halve it","limit":2}}"#;
        let refusal = Refusal { reason: "too_many_events".into(), detail: "halve it".into() };
        assert_eq!(of(413, body), Verdict::Halve { refusal });
    }

    #[test]
    fn a_portal_is_no_gateway() {
        for body in ["<html>log in</html>", "{}", "[]", r#"{"accepted":"3"}"#, ""] {
            assert_eq!(of(200, body), Verdict::NO_ANSWER, "{body}");
        }
    }

    #[test]
    fn results_are_read_event_by_event() {
        let body = r#"{"accepted":1,"new":[],"retry_after_ms":1500,"results":[
            {"index":0,"outcome":"duplicate"},{"index":"x"},{"index":9,"outcome":"archived"},
            {"index":2,"outcome":"rejected","reason":"name_invalid","detail":"d"},
            {"index":3,"outcome":"retry","reason":"log_unavailable"}]}"#;
        let Verdict::Listed { results, rest_again, wait } = of(503, body) else {
            panic!("a list");
        };
        let outcomes: Vec<_> = results.iter().map(|it| (it.index, it.outcome)).collect();
        use Outcome::{Duplicate, Rejected, Retry};
        assert_eq!(outcomes, [(0, Duplicate), (9, Duplicate), (2, Rejected), (3, Retry)]);
        assert_eq!((rest_again, wait), (true, Duration::from_millis(1_500)));
        assert_eq!(results[2].refusal.reason, "name_invalid");
    }

    #[test]
    fn the_longer_wait_counts() {
        let body = br#"{"retry_after_ms":2500}"#;
        let wait = |header| match Verdict::of(429, Duration::from_secs(header), body) {
            Verdict::Again { wait } => wait.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!((wait(1), wait(3)), (2_500, 3_000));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let now = 784_111_770_000; // seven seconds before
        assert_eq!(retry_after(date, None, now), Duration::from_secs(7));
        let answered = Some("Sun, 06 Nov 1994 08:49:30 GMT");
        assert_eq!(retry_after(date, answered, 0), Duration::from_secs(7));
        assert_eq!(retry_after(Some(" 12 "), None, now), Duration::from_secs(12));
        for odd in [None, Some("soon"), Some("-3"), Some("Sun, 06 Nov 1994 08:49:00 GMT")] {
            assert_eq!(retry_after(odd, None, now), NONE, "{odd:?}");
        }
    }
}
