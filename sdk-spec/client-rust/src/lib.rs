//! Reports events of servers to a Sluice gateway, over HTTP or gRPC.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use sluice_client::{Client, Event};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:7080", "demo-server-key")
//!     .platform("server")
//!     .app_version(env!("CARGO_PKG_VERSION"))
//!     .build()?;
//! let order = Event::new("order").id("order-7001-paid").user_id("user-42");
//! client.track(order.property("amount_cny", 129.9)).await?;
//! client.close(Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Three ways in, by what is to happen when the queue is full:
//!
//! | | no room |
//! |---|---|
//! | [`Client::track`] | waits |
//! | [`Client::try_track`] | hands the event back |
//! | [`Client::push`] | pushes out the oldest, and counts it |
//!
//! Each event gets its id (a UUIDv7, unless the app gives one) and its time once,
//! and is sent, the same each time, until a reply calls it final: `retry`, 408, 429,
//! 5xx and no answer are tried again for as long as the process lives, after the
//! wait that the gateway asks for and a random one that grows; 413 halves; other 4xx
//! drop the batch and tell [`Builder::on_problem`]. The rules are the clauses of
//! `sdk-spec/spec.md`, which comments cite.
//!
//! What is absent: a queue on disk. What must outlive the process belongs into the
//! app's own database, to be reported again under the same id; the gateway counts it
//! once. Sampling and the kill switch of the app's settings hold here too; events
//! without a device are always in the sample.
//!
//! Features: `grpc` (protobuf bodies and gRPC), `tls` (`https://`); both on by default.

mod builder;
mod check;
mod client;
mod clock;
mod encode;
mod error;
mod event;
mod limits;
mod pace;
mod queue;
mod random;
mod sender;
mod settings;
mod shared;
mod sign;
mod transport;
mod verdict;

pub use builder::Builder;
pub use client::{Client, Stats};
pub use error::{BuildError, Invalid, Problem, TrackError, Unsent};
pub use event::{Event, Kind, Page};
pub use transport::Transport;
