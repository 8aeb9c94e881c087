//! Answers, and what kind of error they are: by status and by the type that the
//! engine names, never by searching text.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sluice_seams::StoreError;

/// How long a caller is told to wait after an answer that may pass.
const PASSING: Duration = Duration::from_millis(500);
/// How long after an answer that somebody has to see to.
const TO_BE_SEEN_TO: Duration = Duration::from_secs(5);
/// Longest reason quoted, characters.
const REASON_CHARS_MAX: usize = 300;
/// Deepest chain of causes that is read.
const CAUSES_MAX: usize = 16;

/// An answer of a node.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body, whole.
    pub body: Bytes,
    /// Whether the node says that it is Elasticsearch.
    pub elastic: bool,
    /// The node's address.
    pub node: String,
}

/// An error as the engine describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub reason: Option<String>,
    root_cause: Vec<Cause>,
    caused_by: Option<Box<Cause>>,
    failed_shards: Vec<FailedShard>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FailedShard {
    reason: Cause,
}

#[derive(Deserialize)]
struct Failure {
    error: Described,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Described {
    Cause(Box<Cause>),
    Text(String),
}

// === impl Reply ===

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Reads the body. A body that is cut short or is not what was asked for is
    /// a passing error: the request had an unknown outcome.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.body).map_err(|why| {
            let (node, bytes) = (&self.node, self.body.len());
            let detail =
                format!("elasticsearch: {node}: unreadable answer of {bytes} bytes: {why}");
            StoreError::retry(PASSING, detail)
        })
    }

    /// The cause that the body describes.
    pub fn cause(&self) -> Cause {
        match serde_json::from_slice::<Failure>(&self.body) {
            Ok(Failure { error: Described::Cause(cause) }) => *cause,
            Ok(Failure { error: Described::Text(text) }) => {
                Cause { reason: Some(text), ..Cause::default() }
            }
            Err(_) => Cause::default(),
        }
    }

    /// The error that a failed answer stands for, with its retry class.
    pub fn error(&self) -> StoreError {
        let cause = self.cause();
        let detail = format!("elasticsearch: {}: {} {cause}", self.node, self.status);
        match self.status {
            // The request itself: too long, or not understood.
            400 | 405 | 413 if !cause.passes() => StoreError::Refused(detail),
            400 | 401 | 403 | 404 | 405 | 413 => StoreError::retry(TO_BE_SEEN_TO, detail),
            _ => StoreError::retry(PASSING, detail),
        }
    }
}

// === impl Cause ===

impl Cause {
    /// Whether this or anything below it is of a type.
    pub fn is(&self, kind: &str) -> bool {
        self.any(&|cause| cause.kind == kind, CAUSES_MAX)
    }

    fn any(&self, test: &impl Fn(&Self) -> bool, depth: usize) -> bool {
        test(self)
            || (depth > 0
                && (self.root_cause.iter().any(|cause| cause.any(test, depth - 1))
                    || self.caused_by.iter().any(|cause| cause.any(test, depth - 1))
                    || self.failed_shards.iter().any(|s| s.reason.any(test, depth - 1))))
    }

    /// Whether an error with status 400 is one of the state of the cluster, not
    /// of the request: closed indices, blocks, no room for another shard.
    pub fn passes(&self) -> bool {
        self.any(
            &|cause| {
                matches!(
                    cause.kind.as_str(),
                    "index_closed_exception"
                        | "cluster_block_exception"
                        | "validation_exception"
                        | "index_not_found_exception"
                        | "search_context_missing_exception"
                        | "too_many_buckets_exception"
                        | "es_rejected_execution_exception"
                        | "rejected_execution_exception"
                        | "circuit_breaking_exception"
                )
            },
            CAUSES_MAX,
        )
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        let mut cause = Some(self);
        for _ in 0..CAUSES_MAX {
            let Some(one) = cause else { break };
            if let Some(reason) = &one.reason {
                let short: String = reason.chars().take(REASON_CHARS_MAX).collect();
                write!(f, ": {short}")?;
            }
            cause = one.caused_by.as_deref();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.to_owned().into(), elastic: true, node: "n".into() }
    }

    #[test]
    fn a_status_and_a_type_make_the_class() {
        let class = |status, kind: &str| {
            let body = format!(r#"{{"error":{{"type":"{kind}","reason":"r"}},"status":{status}}}"#);
            matches!(reply(status, &body).error(), StoreError::Retry { .. })
        };
        assert!(!class(400, "parsing_exception"));
        assert!(class(400, "index_closed_exception"), "somebody opens it again");
        assert!(class(400, "validation_exception"), "no room for another shard");
        assert!(class(403, "cluster_block_exception"), "the disk is full");
        assert!(class(401, "security_exception"), "somebody mends the key");
        assert!(class(503, "no_master"));
        assert!(class(500, "anything"));
    }

    #[test]
    fn causes_are_found_below() {
        let body = r#"{"error":{"type":"search_phase_execution_exception","failed_shards":[
            {"shard":0,"reason":{"type":"x","caused_by":{"type":"too_many_buckets_exception"}}}]}}"#;
        assert!(reply(503, body).cause().is("too_many_buckets_exception"));
        assert!(!reply(503, r#"{"error":"too_many_buckets_exception"}"#).cause().is("x"));
        assert!(matches!(reply(502, "<html>").error(), StoreError::Retry { .. }));
    }
}
