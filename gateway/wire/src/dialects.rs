//! Dialects: one per protocol that SDKs speak, each in its own folder.
//!
//! A dialect claims paths, says what a request presents, reads a body into a
//! batch and words the answer. The order of the steps and every limit are the
//! stack's, the same for all. A new dialect is a folder here, its line in
//! [`ALL`], and its vectors under `sdk-spec/vectors/`.

pub mod cloudevents;
pub mod datarangers;
pub mod grpc;
mod identity;
mod members;
mod names;
pub mod native;
pub mod otlp;
pub mod segment;
pub mod sensors;
mod time;

use std::borrow::Cow;

use http::Response;
use sluice_event::{Batch, Limits, Presented, Receipt, Refusal};

use crate::head::Head;
use crate::inflate::{Encoding, Inflater};
use crate::reply::Body;

/// Every dialect.
pub const ALL: &[&dyn Dialect] = &[
    &native::Native,
    &sensors::Sensors,
    &datarangers::DataRangers,
    &grpc::Grpc,
    &cloudevents::CloudEvents,
    &segment::Segment,
    &otlp::Otlp,
];

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Takes a batch.
    Collect,
    /// Takes a stream of batches.
    CollectStream,
    /// Says what would become of a batch.
    Validate,
    /// Gives the settings of an app's SDKs.
    SdkConfig,
}

/// A path that a dialect claims.
#[derive(Debug)]
pub struct Route {
    /// The whole path.
    pub path: &'static str,
    /// Methods it takes, besides `OPTIONS` where browsers may call.
    pub methods: &'static [&'static str],
    /// What it is for.
    pub action: Action,
    /// Whether any web origin may call it.
    pub cors: bool,
}

/// How a request ends.
pub enum Answer {
    /// With a response.
    Reply(Response<Body>),
    /// With a closed connection (HTTP/2: a reset stream) and no response, for
    /// clients that take any status for success.
    HangUp,
}

/// One protocol.
pub trait Dialect: Send + Sync + 'static {
    /// The word for it.
    fn kind(&self) -> sluice_event::Dialect;

    /// The paths it claims.
    fn routes(&self) -> &'static [Route];

    /// What a request presents to be let in.
    fn presented<'h>(&self, head: &'h Head) -> Presented<'h> {
        head.presented()
    }

    /// Whether the app is named in the body alone. Such a body is read before it is
    /// known whose it is, out of one budget for all that are.
    fn names_app_in_body(&self) -> bool {
        false
    }

    /// What a request presents whose app is named in its body, as it came over the wire.
    fn presented_in_body<'h>(&self, head: &'h Head, body: &'h [u8]) -> Presented<'h> {
        let _ = body;
        self.presented(head)
    }

    /// Checks the head before anything is spent on the body.
    fn check_head(&self, head: &Head) -> Result<(), Refusal>;

    /// How the body as a whole is encoded.
    fn encoding(&self, head: &Head) -> Result<Encoding, Refusal> {
        Encoding::of(&head.parts.headers)
    }

    /// Bytes of a body on the wire.
    fn wire_bytes_max(&self, limits: &Limits) -> usize {
        limits.wire_bytes_max
    }

    /// Takes the dialect's own wrapping off the inflated body.
    fn unwrap<'b>(
        &self,
        head: &Head,
        body: &'b [u8],
        limits: &Limits,
        inflater: &mut Inflater,
    ) -> Result<Cow<'b, [u8]>, Refusal>;

    /// Reads a batch. Never panics, whatever the bytes.
    fn decode<'b>(
        &self,
        head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal>;

    /// Words the answer; `batch_id` is empty where none was read.
    fn answer(&self, head: &Head, batch_id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer;
}

/// Who claims a path.
pub fn find(path: &str) -> Option<(&'static dyn Dialect, &'static Route)> {
    ALL.iter().find_map(|dialect| {
        let route = dialect.routes().iter().find(|route| route.path == path)?;
        Some((*dialect, route))
    })
}

/// Refusal of a batch with too many events.
pub(crate) fn too_many_events(limits: &Limits) -> Refusal {
    let max = limits.batch_events_max;
    let detail = format!("a batch may carry {max} events at most; halve it");
    Refusal::new(sluice_event::Reason::TooManyEvents, detail).limit(max as u64)
}

/// Detail for an event that is too large.
pub(crate) fn too_large(place: &str, bytes: usize, limits: &Limits) -> String {
    let max = limits.event_bytes_max;
    format!("{place}: {bytes} bytes; an event may have {max} at most")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_dialects_claim_one_path() {
        let paths: Vec<_> =
            ALL.iter().flat_map(|dialect| dialect.routes()).map(|route| route.path).collect();
        let unique: HashSet<_> = paths.iter().collect();
        assert_eq!(unique.len(), paths.len());
        assert!(find("/v1/events").is_some() && find("/v1/events/").is_none());
    }
}
