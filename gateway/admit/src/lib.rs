//! Lets requests in and checks what they carry: app keys, rate limits,
//! validation, time correction.
//!
//! A request passes [`Tenants::authenticate`] before its body is read,
//! [`Tenants::admit_bytes`] before the body is inflated,
//! [`Tenants::admit_events`] and [`Terms::check_envelope`] once it is decoded,
//! and each of its events passes [`Terms::check`].
//!
//! Constraints: never touches a store; reads neither environment nor files;
//! only verified apps become a metric label or a limiter's key; nothing that a
//! stranger sends makes memory grow without a bound.

mod addresses;
mod check;
pub mod config;
mod fingerprint;
mod in_flight;
mod keyring;
mod metrics;
mod rate;
mod secret;
mod signature;
mod tenant;
mod tenants;

pub use check::{Admitted, Bad, FLAG_CORRECTED, FLAG_DAY_OF_RECEIPT, FLAG_TRUNCATED};
pub use config::{AppConfig, AppsConfig, GlobalLimits, RateConfig, SensorsProject, ServerKey};
pub use fingerprint::fingerprint;
pub use rate::Ticks;
pub use secret::Secret;
pub use signature::{sign, signed_text};
pub use tenant::{Tenant, Terms};
pub use tenants::Tenants;
