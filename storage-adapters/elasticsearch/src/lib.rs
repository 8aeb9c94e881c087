//! Event documents on Elasticsearch or OpenSearch.
//!
//! Implements [`sluice_seams::DocumentStore`]. Constraints: no scripts, no
//! delete-by-query, no index life-cycle plugin, no `flattened` fields, so that
//! one code and one layout serve both engines; answers are exact; whatever the
//! engine says is read from statuses and types, never searched for in text.
//!
//! The modules follow the way of a write and then that of a question:
//! `config`, `client` (nodes, time-outs, circuits), `layout` and `templates`,
//! `encode`, `bulk` and `refresh`; then `view`, `filter`, `groups`, `visits`.

mod bulk;
mod catalogue;
mod client;
mod config;
mod days;
mod encode;
mod figures;
mod health;
mod indices;
mod layout;
mod query;
mod refresh;
mod store;
mod templates;
mod write;

pub use config::{ConfigError, ElasticsearchConfig};
pub use encode::user_version;
pub use figures::{Figures, NodeFigures};
pub use layout::{PATH_SLOTS, SLOTS_OF_IDS};
pub use store::{Deps, ElasticsearchDocuments, Found};
