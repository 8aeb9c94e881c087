//! What the answer to a bulk request says, item by item.

use serde::Deserialize;

use crate::client::{Cause, Reply, Unreached};

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Created, or replaced by a higher version.
    Created,
    /// There already, or there in a higher version.
    Existing,
    /// Never going to be taken.
    Refused(String),
    /// May be taken if it is sent again.
    Passing(String),
    /// Not taken until somebody sees to it; sending again at once is no use.
    Blocked(String),
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// A verdict for each item.
    Items(Vec<Verdict>),
    /// Too large, or something in it is not understood: smaller ones may be.
    Divide(String),
    /// May be taken if it is sent again; any of it may have been applied.
    Passing(String),
    /// Not taken until somebody sees to it.
    Blocked(String),
}

#[derive(Deserialize)]
struct BulkReply {
    items: Vec<ItemReply>,
}

/// One of the two actions that are sent.
#[derive(Deserialize)]
enum ItemReply {
    #[serde(rename = "create")]
    Create(ItemStatus),
    #[serde(rename = "index")]
    Index(ItemStatus),
}

#[derive(Deserialize)]
struct ItemStatus {
    status: u16,
    error: Option<Cause>,
}

// === impl Whole ===

impl Whole {
    /// Whether the engine asks for less.
    pub fn pushes_back(&self) -> bool {
        match self {
            Self::Items(verdicts) => verdicts.iter().any(|v| matches!(v, Verdict::Passing(_))),
            Self::Passing(_) | Self::Divide(_) => true,
            Self::Blocked(_) => false,
        }
    }
}

/// Reads an answer to a request of `sent` items.
pub fn judge(reply: Result<Reply, Unreached>, sent: usize) -> Whole {
    let reply = match reply {
        Ok(reply) => reply,
        Err(unreached) => return Whole::Passing(unreached.detail),
    };
    match reply.status {
        200..=299 => items(&reply, sent),
        400 | 413 => Whole::Divide(described(&reply)),
        401 | 403 | 404 | 405 => Whole::Blocked(described(&reply)),
        _ => Whole::Passing(described(&reply)),
    }
}

fn items(reply: &Reply, sent: usize) -> Whole {
    let read: Result<BulkReply, _> = reply.read();
    match read {
        Ok(BulkReply { items }) if items.len() == sent => {
            Whole::Items(items.into_iter().map(verdict).collect())
        }
        Ok(BulkReply { items }) => {
            Whole::Passing(format!("{}: {} answers to {sent} items", reply.node, items.len()))
        }
        Err(why) => Whole::Passing(why.to_string()),
    }
}

fn verdict(item: ItemReply) -> Verdict {
    let (ItemReply::Create(ItemStatus { status, error })
    | ItemReply::Index(ItemStatus { status, error })) = item;
    let cause = error.unwrap_or_default();
    match status {
        200 | 201 => Verdict::Created,
        409 => Verdict::Existing,
        400 if !cause.passes() => Verdict::Refused(cause.to_string()),
        // A closed or missing index, a block (read-only, full disk), no rights.
        400 | 401 | 403 | 404 => Verdict::Blocked(format!("{status} {cause}")),
        413 => Verdict::Refused(format!("{status} {cause}")),
        _ => Verdict::Passing(format!("{status} {cause}")),
    }
}

fn described(reply: &Reply) -> String {
    format!("{}: {} {}", reply.node, reply.status, reply.cause())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(status: u16, body: &str, sent: usize) -> Whole {
        let body = body.to_owned().into();
        judge(Ok(Reply { status, body, elastic: true, node: "n".into() }), sent)
    }

    fn one(status: u16, kind: &str) -> Verdict {
        let error = format!(r#"{{"type":"{kind}","reason":"r"}}"#);
        let body = format!(r#"{{"items":[{{"create":{{"status":{status},"error":{error}}}}}]}}"#);
        match whole(200, &body, 1) {
            Whole::Items(mut verdicts) => verdicts.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_has_its_fate() {
        assert_eq!(one(201, ""), Verdict::Created);
        assert_eq!(one(409, "version_conflict_engine_exception"), Verdict::Existing);
        assert!(matches!(one(429, "es_rejected_execution_exception"), Verdict::Passing(_)));
        assert!(matches!(one(503, "unavailable_shards_exception"), Verdict::Passing(_)));
        assert!(matches!(one(400, "document_parsing_exception"), Verdict::Refused(_)));
        assert!(matches!(one(400, "index_closed_exception"), Verdict::Blocked(_)));
        assert!(matches!(one(400, "validation_exception"), Verdict::Blocked(_)));
        assert!(matches!(one(403, "cluster_block_exception"), Verdict::Blocked(_)));
        assert!(matches!(one(404, "index_not_found_exception"), Verdict::Blocked(_)));
    }

    #[test]
    fn what_is_not_a_whole_answer_is_no_answer() {
        let one = r#"{"items":[{"create":{"status":201}}]}"#;
        assert!(matches!(whole(200, one, 2), Whole::Passing(_)), "one answer to two items");
        assert!(matches!(whole(200, &one[..20], 1), Whole::Passing(_)), "cut short");
        assert!(matches!(whole(200, "", 1), Whole::Passing(_)));
        assert!(matches!(whole(413, "", 1), Whole::Divide(_)));
        assert!(matches!(whole(502, "<html>", 1), Whole::Passing(_)));
        assert!(matches!(whole(401, "", 1), Whole::Blocked(_)));
        let away = Unreached { detail: "d".into(), timed_out: true };
        assert!(matches!(judge(Err(away), 1), Whole::Passing(_)));
    }
}
