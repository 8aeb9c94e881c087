//! Where `wire` hands over: what it presents, and who takes it.
//!
//! `wire` is generic over [`Collector`]; the server plugs the real one in. A
//! request goes `authenticate` (before its body is read) → `admit_bytes` (before
//! it is inflated) → decode → `collect`.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use crate::batch::Batch;
use crate::limits::Limits;
use crate::outcome::Receipt;
use crate::reason::Refusal;

/// The protocol that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// `POST /v1/events`.
    Native,
    /// gRPC `Collect` and `CollectStream`.
    Grpc,
    /// Sensors `/sa`, `/sa.gif`.
    Sensors,
    /// CloudEvents `/cloudevents`.
    CloudEvents,
    /// Segment and Rudder `/v1/batch` and its single calls.
    Segment,
    /// OpenTelemetry logs, over HTTP and gRPC.
    Otlp,
    /// DataRangers `/list/`, `/profile/list`, `/webid/`.
    DataRangers,
}

/// What a request presents to be let in.
#[derive(Debug, Clone, Default)]
pub struct Presented<'r> {
    /// A key: `Authorization: Bearer`, `X-Sluice-Key` or `?key=`.
    pub key: Option<&'r str>,
    /// A Sensors project and its token (empty where none), in place of a key.
    pub sensors_project: Option<(&'r str, &'r str)>,
    /// A DataRangers `app_id`, in place of a key.
    pub datarangers_app_id: Option<&'r str>,
    /// `X-Sluice-Timestamp` (milliseconds) and `X-Sluice-Signature` (hex).
    pub signature: Option<(&'r str, &'r str)>,
    /// `Referer`, a weak signal for write keys.
    pub referer: Option<&'r str>,
    /// Address of the peer.
    pub peer: Option<IpAddr>,
}

/// Which keys may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Ships in a package: may report.
    Write,
    /// Kept on a server: may report, also without a device.
    Server,
}

/// A request that was let in: whose it is and under what terms.
#[derive(Clone)]
pub struct Grant {
    /// The verified app.
    pub app_id: Arc<str>,
    /// The kind of key.
    pub kind: KeyKind,
    /// Limits of this app.
    pub limits: Limits,
    /// The collector's own state for this app; opaque here.
    pub tenant: Arc<dyn std::any::Any + Send + Sync>,
}

/// Settings that `GET /v1/config` gives to an SDK.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SdkConfig {
    /// Whether SDKs report at all: the kill switch.
    pub enabled: bool,
    /// Share of devices that report, 0.0..=1.0.
    pub sample_rate: f64,
    /// How often an SDK sends, milliseconds.
    pub flush_interval_ms: u64,
    /// Events in one batch.
    pub batch_events_max: usize,
}

/// Takes batches. Implemented by the collector, called by `wire`.
///
/// `collect` does all of its synchronous work (checks, encoding, reservations)
/// in the call and returns a future that owns what is left, so that `batch` may
/// borrow from the body. The caller spawns or awaits it; **dropping it does not
/// take back an append already handed over**.
pub trait Collector: Send + Sync + 'static {
    /// Lets a request in, or not, by what its head presents.
    fn authenticate(&self, presented: &Presented<'_>) -> Result<Grant, Refusal>;

    /// Checks the body as it came over the wire: its signature, the app's bytes
    /// per second, the bytes in flight. The bytes count as in flight until the
    /// returned permit is dropped.
    fn admit_bytes(
        &self,
        grant: &Grant,
        presented: &Presented<'_>,
        body: &[u8],
    ) -> Result<InFlight, Refusal>;

    /// Takes a decoded batch. `Err`: the batch as a whole is refused (events per
    /// second, app mismatch); none of its events has a fate.
    fn collect(
        &self,
        grant: &Grant,
        dialect: Dialect,
        batch: Batch<'_>,
    ) -> Result<impl Future<Output = Receipt> + Send + 'static, Refusal>;

    /// Verdicts only; nothing is stored, counted or limited by rate.
    fn validate(&self, grant: &Grant, batch: Batch<'_>) -> Result<Receipt, Refusal>;

    /// The settings for this app's SDKs.
    fn sdk_config(&self, grant: &Grant) -> SdkConfig;

    /// Counts a request that ended without a receipt.
    fn refused(&self, app_id: Option<&str>, dialect: Dialect, refusal: &Refusal);

    /// Why nothing is taken now; `None` when it is. Checked before a body is read.
    fn unready(&self) -> Option<Refusal>;
}

/// Bytes counted as in flight until this is dropped.
pub struct InFlight(Option<Box<dyn FnOnce() + Send + Sync>>);

// === impl Dialect ===

impl Dialect {
    /// The word in records and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Grpc => "grpc",
            Self::Sensors => "sensors",
            Self::CloudEvents => "cloudevents",
            Self::Segment => "segment",
            Self::Otlp => "otlp",
            Self::DataRangers => "datarangers",
        }
    }
}

// === impl Grant ===

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app_id, kind, .. } = self;
        f.debug_struct("Grant").field("app_id", app_id).field("kind", kind).finish_non_exhaustive()
    }
}

// === impl SdkConfig ===

impl Default for SdkConfig {
    fn default() -> Self {
        Self { enabled: true, sample_rate: 1.0, flush_interval_ms: 5_000, batch_events_max: 50 }
    }
}

// === impl InFlight ===

impl InFlight {
    /// Runs `release` when dropped.
    pub fn new(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(release)))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}
