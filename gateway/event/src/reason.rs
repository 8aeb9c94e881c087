//! Why something was not taken: one closed list, one table (GW-REPLY-5).
//!
//! Each reason maps to an HTTP status, a gRPC code, a class, a metric label and
//! an anchor in the SDK contract, all here and exhaustively, so that no two
//! edges can disagree. Pure: nothing logs here; the edge logs once.

use std::fmt;

use http::StatusCode;
use serde::{Serialize, Serializer};

/// What a reason means for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Final for this event or request: do not resend it unchanged.
    Final,
    /// Passing: resend later with the same ids.
    Passing,
}

/// gRPC status codes in use, by number (`google.rpc.Code`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum GrpcCode {
    /// The request is wrong.
    InvalidArgument = 3,
    /// The time ran out.
    DeadlineExceeded = 4,
    /// No such method.
    Unimplemented = 12,
    /// The key may not do this.
    PermissionDenied = 7,
    /// Over a rate or a size.
    ResourceExhausted = 8,
    /// Cannot be taken now.
    Unavailable = 14,
    /// No or unknown key.
    Unauthenticated = 16,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $grpc:ident, $class:ident;)+) => {
        /// Why an event or a request was not taken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// The closed list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word on the wire, the metric label, and the anchor in the
            /// SDK contract.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The status that a request refused for this reason gets.
            pub fn status(self) -> StatusCode {
                let code = match self { $(Self::$variant => $status,)+ };
                StatusCode::from_u16(code).expect("the table holds valid statuses")
            }

            /// The gRPC code that a request refused for this reason gets.
            pub fn grpc(self) -> GrpcCode {
                match self { $(Self::$variant => GrpcCode::$grpc,)+ }
            }

            /// Final or passing.
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }
        }
    };
}

reasons! {
    // --- one event ---
    /// `id` is missing or empty.
    IdMissing = "id_missing", 400, InvalidArgument, Final;
    /// `id` is not 1-64 visible ASCII characters in a string.
    IdInvalid = "id_invalid", 400, InvalidArgument, Final;
    /// `name` is missing or empty.
    NameMissing = "name_missing", 400, InvalidArgument, Final;
    /// `name` breaks its pattern.
    NameInvalid = "name_invalid", 400, InvalidArgument, Final;
    /// `time` is missing or not an integer.
    TimeInvalid = "time_invalid", 400, InvalidArgument, Final;
    /// `time`, corrected, is outside the acceptance window.
    TimeOutOfRange = "time_out_of_range", 400, InvalidArgument, Final;
    /// `device_id` is missing or empty.
    DeviceIdMissing = "device_id_missing", 400, InvalidArgument, Final;
    /// `type` is none of the known types.
    TypeUnknown = "type_unknown", 400, InvalidArgument, Final;
    /// Another field has the wrong type or is too long.
    FieldInvalid = "field_invalid", 400, InvalidArgument, Final;
    /// `properties` is not an object, too wide, too deep, or has a key too long.
    PropertiesInvalid = "properties_invalid", 400, InvalidArgument, Final;
    /// The event is larger than one event may be.
    EventTooLarge = "event_too_large", 413, InvalidArgument, Final;
    /// The event is encrypted or of a kind that is not taken.
    EventUnsupported = "event_unsupported", 400, InvalidArgument, Final;
    // --- one event or a whole request, passing ---
    /// The event log does not take records now.
    LogUnavailable = "log_unavailable", 503, Unavailable, Passing;
    /// Whether the event was appended is not known; the log will tell.
    OutcomeUnknown = "outcome_unknown", 503, Unavailable, Passing;
    /// Another copy is being appended and its fate is not known in time.
    InFlight = "in_flight", 503, Unavailable, Passing;
    // --- a whole request ---
    /// The body is not a batch.
    BodyInvalid = "body_invalid", 400, InvalidArgument, Final;
    /// The JSON is nested too deeply.
    BodyTooDeep = "body_too_deep", 400, InvalidArgument, Final;
    /// `Content-Encoding` promises what the body is not.
    EncodingInvalid = "encoding_invalid", 400, InvalidArgument, Final;
    /// The batch's `app_id` is not the key's app.
    AppMismatch = "app_mismatch", 403, PermissionDenied, Final;
    /// The body is larger than allowed on the wire.
    BodyTooLarge = "body_too_large", 413, ResourceExhausted, Final;
    /// The body inflates beyond what is allowed.
    InflatedTooLarge = "inflated_too_large", 413, ResourceExhausted, Final;
    /// More events than one batch may carry.
    TooManyEvents = "too_many_events", 413, ResourceExhausted, Final;
    /// `Content-Encoding` is none of identity, gzip, deflate, zstd.
    EncodingUnsupported = "encoding_unsupported", 415, InvalidArgument, Final;
    /// `Content-Type` is none of those taken here.
    ContentTypeUnsupported = "content_type_unsupported", 415, InvalidArgument, Final;
    /// No key was presented.
    KeyMissing = "key_missing", 401, Unauthenticated, Final;
    /// The key presented is not known.
    KeyUnknown = "key_unknown", 401, Unauthenticated, Final;
    /// The key is known but may not do this.
    KeyForbidden = "key_forbidden", 403, PermissionDenied, Final;
    /// The key demands a signature and the one presented is missing or wrong.
    SignatureInvalid = "signature_invalid", 401, Unauthenticated, Final;
    /// The signature's time is too far from the gateway's.
    SignatureExpired = "signature_expired", 401, Unauthenticated, Final;
    /// The body came too slowly.
    BodyTooSlow = "body_too_slow", 408, DeadlineExceeded, Passing;
    /// The app, or this address, is over its rate.
    RateLimited = "rate_limited", 429, ResourceExhausted, Passing;
    /// The gateway has too much in flight.
    Overloaded = "overloaded", 503, Unavailable, Passing;
    /// The gateway is shutting down.
    Draining = "draining", 503, Unavailable, Passing;
    /// There is nothing at this path.
    NotFound = "not_found", 404, Unimplemented, Final;
    /// The path does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, Unimplemented, Final;
}

/// A whole request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For the sender: what was wrong, where, what is allowed, what to do.
    /// Nothing that is ours alone to know.
    pub detail: String,
    /// The limit that was hit, in its own unit, where there is one.
    pub limit: Option<u64>,
    /// Wait at least this long before resending; only for passing reasons.
    pub retry_after_ms: Option<u64>,
}

// === impl Reason ===

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

// === impl Refusal ===

impl Refusal {
    /// A refusal without limit or wait.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), limit: None, retry_after_ms: None }
    }

    /// Names the limit that was hit.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Says how long to wait, milliseconds.
    #[must_use]
    pub fn retry_after_ms(mut self, wait_ms: u64) -> Self {
        self.retry_after_ms = Some(wait_ms);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_snake_case() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        }
    }

    /// A client that goes by status alone must do what the class says.
    #[test]
    fn class_agrees_with_status() {
        for reason in Reason::ALL {
            let passing = matches!(reason.status().as_u16(), 408 | 429 | 503);
            assert_eq!(passing, reason.class() == Class::Passing, "{reason}");
        }
    }
}
