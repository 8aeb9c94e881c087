//! What every fuzz target does with its input, and what must hold; shared with
//! `gateway/wire/tests/fuzz_corpus.rs`, which replays the kept inputs.
//!
//! An input for a dialect is a request as it goes over the wire, like the files of
//! `sdk-spec/vectors`: so those are the seeds, the head is fuzzed along with the
//! body, and a find can be sent to a gateway with `nc`. It goes the way that
//! `edge/stack.rs` takes it: what it presents, inflating, unwrapping, decoding, and
//! the wording of an answer.

use std::borrow::Cow;
use std::cell::RefCell;

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use sluice_event::{
    Batch, Dialect as Kind, EventResult, Limits, Outcome, Parsed, Reason, Receipt, Refusal,
};
use sluice_wire::dialects::{self, Dialect};
use sluice_wire::{Encoding, Head, Inflater};

/// Fields of a head that are looked at.
const HEADERS_MAX: usize = 32;
/// The cap of the `inflate` target: small, so that bombs are cheap to find.
const INFLATED_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Kept between inputs, as the gateway keeps it between requests: what one body
    /// leaves in it must not change how another is read.
    static INFLATER: RefCell<Inflater> = RefCell::default();
}

/// One target: a dialect, and a form of it where it has several.
pub struct Target {
    /// Its name, that of its file in `targets/`.
    pub name: &'static str,
    /// The dialect; `None`: the inflater alone.
    pub kind: Option<Kind>,
    /// The `Content-Type` that every input gets, where the target is of one form.
    pub media: Option<&'static str>,
    /// The path that every input gets, where the target is of one form or the input's
    /// own is not of the dialect.
    pub path: &'static str,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "inflate", kind: None, media: None, path: "" },
    Target {
        name: "native_json",
        kind: Some(Kind::Native),
        media: Some("application/json"),
        path: "/v1/events",
    },
    Target {
        name: "native_protobuf",
        kind: Some(Kind::Native),
        media: Some("application/x-protobuf"),
        path: "/v1/events",
    },
    Target {
        name: "grpc",
        kind: Some(Kind::Grpc),
        media: Some("application/grpc"),
        path: "/sluice.v1.Collector/Collect",
    },
    Target { name: "sensors", kind: Some(Kind::Sensors), media: None, path: "/sa" },
    Target { name: "datarangers", kind: Some(Kind::DataRangers), media: None, path: "/list/" },
    Target {
        name: "cloudevents",
        kind: Some(Kind::CloudEvents),
        media: None,
        path: "/cloudevents",
    },
    Target { name: "segment", kind: Some(Kind::Segment), media: None, path: "/v1/batch" },
    Target {
        name: "otlp_json",
        kind: Some(Kind::Otlp),
        media: Some("application/json"),
        path: "/v1/logs",
    },
    Target {
        name: "otlp_protobuf",
        kind: Some(Kind::Otlp),
        media: Some("application/x-protobuf"),
        path: "/v1/logs",
    },
    Target {
        name: "otlp_grpc",
        kind: Some(Kind::Otlp),
        media: Some("application/grpc"),
        path: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    },
];

/// Runs the target of this name on an input; whether it was read. Panics where
/// something does not hold.
pub fn exercise(name: &str, input: &[u8]) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of the table");
    match target.kind {
        None => inflate(input),
        Some(kind) => request(target, kind, input),
    }
}

/// The first byte picks the encoding, the rest is the body. Twice with one inflater:
/// what a body leaves in it must not change the next.
fn inflate(input: &[u8]) -> bool {
    let Some((first, body)) = input.split_first() else { return false };
    let encodings = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd, Encoding::Identity];
    let encoding = encodings[usize::from(*first) % encodings.len()];
    let mut inflater = Inflater::default();
    let mut results = Vec::new();
    for _ in 0..2 {
        let mut out = Vec::new();
        let done = inflater.inflate(encoding, body, &mut out, INFLATED_BYTES_MAX);
        let refused = done.as_ref().err().map(|refusal| refusal.reason);
        match &refused {
            None => assert!(out.len() <= INFLATED_BYTES_MAX, "{} bytes", out.len()),
            Some(reason) => {
                let known = [Reason::InflatedTooLarge, Reason::EncodingInvalid];
                assert!(known.contains(reason), "{reason}");
                out.clear();
            }
        }
        assert!(out.capacity() <= INFLATED_BYTES_MAX + 64 * 1024, "{} bytes", out.capacity());
        results.push((refused, out));
    }
    assert_eq!(results[0], results[1]);
    results[0].0.is_none()
}

fn request(target: &Target, kind: Kind, input: &[u8]) -> bool {
    let Some((head, body)) = parse(target, kind, input) else { return false };
    let (dialect, _) = dialects::find(head.parts.uri.path()).expect("a path of the dialect");
    dialect.presented(&head);
    dialect.presented_in_body(&head, body);
    let query = head.parts.uri.query().unwrap_or_default();
    let body = if head.parts.method == Method::GET { query.as_bytes() } else { body };
    let outcome = read(dialect, &head, body);
    match &outcome {
        Ok((batch_id, receipt)) => dialect.answer(&head, batch_id, Ok(receipt)),
        Err(refusal) => dialect.answer(&head, "", Err(refusal)),
    };
    outcome.is_ok()
}

/// Reads a body twice; gives the batch's name and a receipt with every outcome, or
/// the refusal.
fn read(dialect: &dyn Dialect, head: &Head, body: &[u8]) -> Result<(String, Receipt), Refusal> {
    let limits = Limits::default();
    dialect.check_head(head)?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let once = payload(dialect, head, body, &limits, &mut first);
    let again = payload(dialect, head, body, &limits, &mut second);
    assert_eq!(once, again, "unwrapped twice, it is different");
    let (once, again) = (once?, again?);
    let mut batch = dialect.decode(head, &once, &limits);
    let mut second = dialect.decode(head, &again, &limits);
    // A web id is made for whoever asks; the answer gets it by this way.
    let made = head.parts.uri.path().starts_with("/webid");
    let batch_id =
        batch.as_ref().map_or(String::new(), |batch| batch.envelope.batch_id.to_string());
    for batch in [&mut batch, &mut second].into_iter().flatten().filter(|_| made) {
        batch.envelope.batch_id = Cow::Borrowed("");
    }
    assert_eq!(batch, second, "read twice, it is different");
    let batch = batch?;
    check(dialect.kind(), &batch, &limits);
    Ok((batch_id, receipt(&batch)))
}

/// What a dialect decodes: inflated, and its own wrapping taken off.
fn payload<'b>(
    dialect: &dyn Dialect,
    head: &Head,
    body: &'b [u8],
    limits: &Limits,
    inflated: &'b mut Vec<u8>,
) -> Result<Cow<'b, [u8]>, Refusal> {
    INFLATER.with_borrow_mut(|inflater| {
        let body = match dialect.encoding(head)? {
            Encoding::Identity => body,
            encoding => {
                inflater.inflate(encoding, body, inflated, limits.inflated_bytes_max)?;
                assert!(inflated.len() <= limits.inflated_bytes_max);
                inflated
            }
        };
        let payload = dialect.unwrap(head, body, limits, inflater)?;
        let bound = limits.inflated_bytes_max.max(body.len());
        assert!(payload.len() <= bound, "unwrapped to {} bytes", payload.len());
        Ok(payload)
    })
}

/// What holds for every batch that was read.
fn check(kind: Kind, batch: &Batch<'_>, limits: &Limits) {
    let events_max = limits.batch_events_max_of(kind);
    assert!(batch.events.len() <= events_max, "{} events", batch.events.len());
    // Native events come as they are: `admit` judges their values.
    let composed = !matches!(kind, Kind::Native | Kind::Grpc);
    for event in &batch.events {
        let Parsed::Event(event) = event else { continue };
        assert!(event.bytes <= limits.event_bytes_max, "an event of {} bytes", event.bytes);
        if !composed {
            continue;
        }
        let id = event.id.as_bytes();
        let fine = (1..=64).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        assert!(fine, "the id of an event: {:?}", event.id);
        if !event.properties.is_empty() {
            let text = std::str::from_utf8(&event.properties).expect("properties are text");
            let object = text.starts_with('{');
            let whole = serde_json::from_str::<serde::de::IgnoredAny>(text);
            assert!(object && whole.is_ok(), "properties: {whole:?}: {text}");
        }
    }
}

/// A receipt with every outcome, so that each is worded.
fn receipt(batch: &Batch<'_>) -> Receipt {
    let mut receipt = Receipt { server_time_ms: 1, retry_after_ms: 1, ..Receipt::default() };
    for (index, event) in batch.events.iter().enumerate() {
        let (id, reason) = match event {
            Parsed::Event(event) => (event.id.to_string(), None),
            Parsed::Bad { id, reason, .. } => (id.clone(), Some(*reason)),
        };
        let outcome = match (index % 4, reason) {
            (_, Some(_)) => Outcome::Rejected,
            (0, None) => {
                receipt.accepted += 1;
                continue;
            }
            (1, None) => Outcome::Duplicate,
            (2, None) => Outcome::Rejected,
            _ => Outcome::Retry,
        };
        match outcome {
            Outcome::Duplicate => receipt.duplicates += 1,
            Outcome::Retry => receipt.retry += 1,
            _ => receipt.rejected += 1,
        }
        let reason = match outcome {
            Outcome::Rejected => reason.or(Some(Reason::NameInvalid)),
            Outcome::Retry => Some(Reason::LogUnavailable),
            _ => None,
        };
        let detail = String::from("as the target says");
        receipt.results.push(EventResult { index: index as u32, id, outcome, reason, detail });
    }
    receipt
}

/// A request's head and body; `None` where hyper would not hand such a head over.
fn parse<'i>(target: &Target, kind: Kind, input: &'i [u8]) -> Option<(Head, &'i [u8])> {
    let end = input.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (&input[..end], &input[end + 4..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.split(|byte| *byte == b' ');
    let method = Method::from_bytes(first.next()?).ok()?;
    let uri = Uri::try_from(first.next()?).ok()?;
    let claimed = dialects::find(uri.path()).is_some_and(|(found, _)| found.kind() == kind);
    let uri = if claimed && target.media.is_none() {
        uri
    } else {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", target.path).parse().ok()?
    };
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines.take(HEADERS_MAX) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        if !(name == http::header::CONTENT_TYPE && target.media.is_some()) {
            request = request.header(name, value);
        }
    }
    if let Some(media) = target.media {
        request = request.header(http::header::CONTENT_TYPE, media);
    }
    Some((Head::new(request.body(()).ok()?.into_parts().0, None), body))
}
