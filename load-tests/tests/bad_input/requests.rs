//! Whole requests that are refused: one row each, with the exact answer.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::Target;
use crate::raw::{Answer, post, request, send};

const GZIP: (&str, &str) = ("content-encoding", "gzip");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const MIB: usize = 1 << 20;

/// A request and its documented answer.
pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub status: u16,
    /// Empty: an answer without a body, from below the endpoints.
    pub reason: &'static str,
    /// A part of `error.detail`.
    pub detail: &'static str,
    pub limit: Option<u64>,
}

fn case(
    name: &'static str,
    bytes: Vec<u8>,
    (status, reason, detail): (u16, &'static str, &'static str),
) -> Case {
    Case { name, bytes, status, reason, detail, limit: None }
}

// === impl Case ===

impl Case {
    fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// What differs from the documented answer; `None`: nothing.
    pub fn differs(&self, answer: &Answer) -> Option<String> {
        let body = answer.json();
        let error = &body["error"];
        let passing = matches!(self.status, 408 | 429 | 503);
        let shape = || {
            let known = ["reason", "detail", "limit"];
            error.as_object().is_some_and(|error| error.keys().all(|key| known.contains(&&**key)))
        };
        let right = answer.status == self.status
            && answer.headers.contains_key("retry-after") == passing
            && (self.reason.is_empty() && answer.body.is_empty()
                || error["reason"] == self.reason
                    && error["detail"].as_str().is_some_and(|text| text.contains(self.detail))
                    && error["limit"] == json!(self.limit)
                    && shape()
                    && answer.headers.get("content-type").is_some_and(|t| t == "application/json"));
        let wanted = format!("{} {} {} {:?}", self.status, self.reason, self.detail, self.limit);
        let headers = &answer.headers;
        (!right).then(|| {
            format!("{}: wanted {wanted}, got {} {headers:?} {body}", self.name, answer.status)
        })
    }
}

/// Sends every row, some at a time.
pub async fn check(target: &Target<'_>, cases: Vec<Case>) {
    let wrong: Vec<String> = futures::stream::iter(&cases)
        .map(|case| async move { case.differs(&send(&target.address, &case.bytes).await) })
        .buffer_unordered(4)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

pub async fn run(target: &Target<'_>) {
    check(target, bodies()).await;
    check(target, encodings()).await;
    check(target, sizes()).await;
    check(target, heads()).await;
    dry_run(target).await;
    preflight(target).await;
}

/// A batch of one good event.
fn batch() -> Vec<u8> {
    let event = json!({"id": "b-1", "name": "click", "time": crate::now_ms(), "device_id": "d"});
    json!({ "events": [event] }).to_string().into_bytes()
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("into memory");
    encoder.finish().expect("into memory")
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("into memory");
    encoder.finish().expect("into memory")
}

fn bodies() -> Vec<Case> {
    let events = |body: &[u8]| post("/v1/events", &[], body);
    let invalid = |detail| (400, "body_invalid", detail);
    let whole = batch();
    let deep = format!("{{\"events\":{}", "[".repeat(100_000));
    let inside = format!("{{\"events\":[{{\"properties\":{}", "{\"a\":".repeat(50_000));
    let too_deep = (400, "body_too_deep", "nested deeper than 16");
    let mut named = whole.clone();
    named.splice(1..1, *b"\"app_id\":\"other\",");
    let protobuf = post("/v1/events", &[PROTOBUF], b"\x0a\xff\xff");
    let long = json!({"device": {"model": "m".repeat(9_000)}, "events": []}).to_string();
    vec![
        case("empty", events(b""), invalid("empty")),
        case("truncated JSON", events(&whole[..whole.len() - 9]), invalid("cut off at byte")),
        case("garbage after", events(&[&whole[..], b"]"].concat()), invalid("end of the body")),
        case("an array", events(b"[1]"), invalid("expected a batch (a JSON object), got an array")),
        case("no events", events(b"{}"), invalid("events: missing")),
        case("events no array", events(b"{\"events\":7}"), invalid("events: expected an array")),
        case("invalid UTF-8", events(b"{\"events\":[\"\xff\"]}"), invalid("not UTF-8 at byte 12")),
        case("bare NUL", events(b"{\"events\":[\"\0\"]}"), invalid("bare control character")),
        case("UTF-16", events(b"\xff\xfe{\0}\0"), invalid("not UTF-8 at byte 0")),
        case("truncated protobuf", protobuf, invalid("expected a sluice.v1.Batch")),
        case("JSON as protobuf", post("/v1/events", &[PROTOBUF], &whole), invalid("sluice.v1")),
        case("deep arrays", events(deep.as_bytes()), too_deep).limit(16),
        case("deep properties", events(inside.as_bytes()), too_deep).limit(16),
        case("another app", events(&named), (403, "app_mismatch", "the key is `demo`'s")),
        case("long envelope", events(long.as_bytes()), invalid("device.model")).limit(8_192),
    ]
}

fn encodings() -> Vec<Case> {
    let events =
        |encoding, body: &[u8]| post("/v1/events", &[("content-encoding", encoding)], body);
    let invalid = |detail| (400, "encoding_invalid", detail);
    let unknown = (415, "encoding_unsupported", "one of identity, gzip, deflate, zstd");
    let (whole, packed) = (batch(), gzip(&batch()));
    let cut = &packed[..packed.len() / 2];
    let mut flipped = packed.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    let frame = zstd::encode_all(&whole[..], 1).expect("into memory");
    let twice = [GZIP, GZIP];
    vec![
        case("plain as gzip", events("gzip", &whole), invalid("not a gzip header")),
        case("plain as deflate", events("deflate", &whole), invalid("compressed data")),
        case("plain as zstd", events("zstd", &whole), invalid("zstd")),
        case("truncated gzip", events("gzip", cut), invalid("cut off")),
        case("damaged gzip", events("gzip", &flipped), invalid("checksum")),
        case("truncated zstd", events("zstd", &frame[..frame.len() / 2]), invalid("cut off")),
        case("unknown encoding", events("br", &whole), unknown),
        case("stacked encoding", events("gzip, gzip", &whole), unknown),
        case("encoding twice", post("/v1/events", &twice, &packed), unknown),
        case("gzip unlabelled", post("/v1/events", &[], &packed), (400, "body_invalid", "UTF-8")),
        case(
            "a picture",
            post("/v1/events", &[("content-type", "image/png")], &whole),
            (415, "content_type_unsupported", "application/json or application/x-protobuf"),
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let head = |length: &str| {
        let key = ("authorization", "Bearer demo-write-key");
        request("POST", "/v1/events", &[key, ("content-length", length)], b"{\"events\":[")
    };
    let too_large = (413, "body_too_large", "1048576 bytes at most; halve the batch");
    let inflated = (413, "inflated_too_large", "8388608");
    let events: Vec<Value> = (0..501).map(|n| json!({"id": n.to_string()})).collect();
    let many = json!({ "events": events }).to_string();
    let small_bomb = vec![b' '; 9 * MIB];
    let packed =
        |encoding: &str, body: &[u8]| post("/v1/events", &[("content-encoding", encoding)], body);
    let frame = zstd::encode_all(&small_bomb[..], 1).expect("into memory");
    let full = post("/v1/events", &[], &vec![b' '; MIB + 1]);
    vec![
        case("a claim of a terabyte", head("999999999999"), too_large).limit(MIB as u64),
        case("one byte too many", full, too_large).limit(MIB as u64),
        case("chunks without end", chunked(), too_large).limit(MIB as u64),
        case("gzip of 9 MiB", packed("gzip", &gzip(&small_bomb)), inflated).limit(8 << 20),
        case("deflate of 9 MiB", packed("deflate", &deflate(&small_bomb)), inflated).limit(8 << 20),
        case("zstd of 9 MiB", packed("zstd", &frame), inflated).limit(8 << 20),
        case(
            "501 events",
            post("/v1/events", &[], many.as_bytes()),
            (413, "too_many_events", "500 events at most; halve it"),
        )
        .limit(500),
    ]
}

/// 2 MiB in chunks, with no length and no end.
fn chunked() -> Vec<u8> {
    let headers = [("authorization", "Bearer demo-write-key"), ("transfer-encoding", "chunked")];
    let mut bytes = request("POST", "/v1/events", &headers, b"");
    for _ in 0..32 {
        bytes.extend_from_slice(b"10000\r\n");
        bytes.extend_from_slice(&[b' '; 65_536]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn heads() -> Vec<Case> {
    let with = |key: &str| {
        let bearer = format!("Bearer {key}");
        request("POST", "/v1/events", &[("authorization", &*bearer), ("content-length", "0")], b"")
    };
    let long = "a".repeat(70_000);
    let many: Vec<_> = (0..200).map(|_| ("x-a", "b")).collect();
    let bare = |status| (status, "", "");
    let none = request("POST", "/v1/events", &[("content-length", "0")], b"");
    let sensors = request("GET", "/sa?project=no-such&data=e30", &[], b"");
    let base64 = request("GET", "/sa?data=!!!", &[], b"");
    let length = |value| request("POST", "/v1/events", &[("content-length", value)], b"");
    let lengths = [("content-length", "1"), ("content-length", "2")];
    vec![
        case("no key", none, (401, "key_missing", "Authorization: Bearer")),
        case("unknown key", with("nobody"), (401, "key_unknown", "write or server key")),
        case("read token", with("demo-read-token"), (403, "key_forbidden", "may ask questions")),
        case("unknown project", sensors, (401, "key_unknown", "?project=")),
        case("Sensors, no base64", base64, (400, "body_invalid", "data is not base64")),
        case(
            "wrong method",
            request("PUT", "/v1/events", &[("content-length", "0")], b""),
            (405, "method_not_allowed", "this path takes POST"),
        ),
        case("nothing there", post("/v1/event", &[], b""), (404, "not_found", "/openapi.json")),
        case("long header", post("/v1/events", &[("x-a", &long)], b""), bare(431)),
        case("many headers", post("/v1/events", &many, b""), bare(431)),
        case("no HTTP", b"HELO example.com\r\n\r\n".to_vec(), bare(400)),
        case("length no number", length("abc"), bare(400)),
        case("length beyond 64 bits", length("99999999999999999999999"), bare(400)),
        case("two lengths", request("POST", "/v1/events", &lengths, b"{}"), bare(400)),
    ]
}

/// The dry run refuses as the real one does.
async fn dry_run(target: &Target<'_>) {
    let answer = send(&target.address, &post("/v1/debug/validate", &[], b"[1]")).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["reason"].as_str()),
        (400, Some("body_invalid"))
    );
}

/// Browsers may call from anywhere, never with credentials; answers say so too.
async fn preflight(target: &Target<'_>) {
    let ask = [("origin", "https://shop.example.com"), ("access-control-request-method", "POST")];
    for path in ["/v1/events", "/v1/debug/validate", "/v1/config", "/sa", "/sa.gif"] {
        let answer = send(&target.address, &request("OPTIONS", path, &ask, b"")).await;
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{path}");
        let headers = &answer.headers["access-control-allow-headers"];
        assert!(headers.contains("authorization") && headers.contains("x-sluice-key"), "{headers}");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{path}");
    }
    let refused = send(&target.address, &post("/v1/events", &[], b"[1]")).await;
    assert_eq!(refused.headers["access-control-allow-origin"], "*");
    let allow = send(&target.address, &request("PUT", "/v1/events", &[], b"")).await;
    assert_eq!(allow.headers["allow"], "POST, OPTIONS");
    let none = send(&target.address, &request("POST", "/v1/events", &[], b"")).await;
    assert_eq!(none.headers["www-authenticate"], "Bearer");
}
