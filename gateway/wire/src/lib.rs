//! The wire: connections, time-outs, sizes, encodings, dialects, and the
//! mapping of a reason to an answer. It decides no policy and touches no store.
//!
//! ```text
//! Listener ── conn (TLS, HTTP/1.1, HTTP/2) ── Edge ──┬─ dialect's path ── stack ── Collector
//!                                                    ├─ gRPC health, reflection
//!                                                    └─ Fallback (query routes)
//! ```
//!
//! Generic over [`sluice_event::Collector`]: who takes the batches is not known
//! here. The order of work for a batch is one function, in `edge/stack.rs`.

mod config;
mod conn;
pub mod dialects;
mod edge;
mod head;
mod inflate;
mod json;
mod listener;
mod metrics;
mod protobuf;
mod reply;
mod tls;

pub use config::{TlsConfig, WireConfig};
pub use edge::{Fallback, RequestId};
pub use head::Head;
pub use inflate::{Encoding, Inflater};
pub use listener::{BindError, Drained, Listener, ServeHandle};
pub use reply::{Body, BoxError};
