//! From the bytes of a body to the collector: inflate, unwrap, decode, collect.
//!
//! Synchronous from end to end, so that a batch may borrow from the body and
//! the buffers of a thread serve one request after another.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use sluice_event::service::InFlight;
use sluice_event::{Collector, Grant, Reason, Receipt, Refusal};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::Edge;
use crate::dialects::{Action, Dialect};
use crate::head::Head;
use crate::inflate::{Encoding, Inflater};
use crate::metrics::observe;

/// A thread keeps its buffer up to this size.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Default)]
struct Scratch {
    inflater: Inflater,
    inflated: Vec<u8>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// A batch on its way.
pub(crate) struct Handed {
    /// As the client named it.
    pub batch_id: String,
    fate: Fate,
}

enum Fate {
    Known(Receipt),
    /// A task of its own: its end does not depend on this request's.
    Pending(JoinHandle<Receipt>),
}

/// A body and what is known of it.
pub(crate) struct Parcel<'r> {
    pub dialect: &'r dyn Dialect,
    pub action: Action,
    pub head: &'r Head,
    pub grant: &'r Grant,
    pub encoding: Encoding,
    pub body: &'r [u8],
}

/// Hands a body over. `permit` counts its bytes until its fate is known.
pub(crate) fn hand_over<C: Collector>(
    edge: &Arc<Edge<C>>,
    parcel: &Parcel<'_>,
    permit: InFlight,
) -> Result<Handed, Refusal> {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let handed = with_scratch(edge, parcel, permit, &mut scratch);
    scratch.inflated.clear();
    if scratch.inflated.capacity() <= KEPT_BYTES_MAX {
        SCRATCH.set(Some(scratch));
    }
    handed
}

fn with_scratch<C: Collector>(
    edge: &Arc<Edge<C>>,
    parcel: &Parcel<'_>,
    permit: InFlight,
    scratch: &mut Scratch,
) -> Result<Handed, Refusal> {
    let Parcel { dialect, action, head, grant, encoding, body } = *parcel;
    let Scratch { inflater, inflated } = scratch;
    let start = Instant::now();
    let body = if encoding == Encoding::Identity {
        body
    } else {
        inflater.inflate(encoding, body, inflated, grant.limits.inflated_bytes_max)?;
        inflated.as_slice()
    };
    let payload = dialect.unwrap(head, body, &grant.limits, inflater)?;
    let unwrapped = Instant::now();
    observe(&edge.metrics.inflate, unwrapped - start);
    edge.metrics.inflated_bytes.inc_by(payload.len() as u64);
    let batch = dialect.decode(head, &payload, &grant.limits)?;
    observe(&edge.metrics.decode, unwrapped.elapsed());
    let batch_id = batch.envelope.batch_id.to_string();
    if action == Action::Validate {
        let receipt = edge.collector.validate(grant, batch)?;
        return Ok(Handed { batch_id, fate: Fate::Known(receipt) });
    }
    let pending = edge.collector.collect(grant, dialect.kind(), batch)?;
    let pending = async move {
        let receipt = pending.await;
        drop(permit);
        receipt
    };
    let fate = Fate::Pending(edge.handed.spawn(pending.in_current_span()));
    Ok(Handed { batch_id, fate })
}

// === impl Handed ===

impl Handed {
    /// Waits for the fates. Dropping this loses only the answer.
    pub(crate) async fn receipt(self) -> Result<Receipt, Refusal> {
        match self.fate {
            Fate::Known(receipt) => Ok(receipt),
            Fate::Pending(task) => task.await.map_err(|failed| {
                tracing::error!(%failed, "a batch in work was lost sight of");
                let detail = "the outcome is not known; resend with the same ids";
                Refusal::new(Reason::OutcomeUnknown, detail)
            }),
        }
    }
}
