//! The query API: typed questions, exact answers, their definitions.
//!
//! Constraints: it never writes; it turns metrics, time zones, sorting and
//! paging into [`Question`](sluice_seams::Question)s whose bucket edges are plain
//! milliseconds, so that every store counts the same; unique counts are never
//! summed; whatever is asked is bounded before it costs anything; a refusal
//! names the offending path and what is allowed there.
//!
//! `request` reads a question, `plan` shares out its metrics, `run` asks the
//! store, `answer` puts the rows together. What each metric means stands in
//! [`definitions`] and nowhere else.

mod answer;
pub mod api;
pub mod calendar;
pub mod config;
pub mod definitions;
mod event_json;
pub mod filter;
mod follows;
mod metrics;
pub mod openapi;
mod plan;
pub mod problem;
pub mod range;
pub mod request;
mod retention;
pub mod routes;
mod rows;
mod run;
mod seen;
mod sessions;

pub use api::{Access, AppTerms, FindFirst, QueryApi, QueryDeps, RecentFate, first_in};
pub use config::QueryConfig;
