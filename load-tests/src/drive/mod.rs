//! An open-loop generator of load: batches are due by a schedule that does not
//! wait for answers, as phones do not.

pub mod answer;
pub mod body;
pub mod command;
pub mod forge;
pub mod grpc;
pub mod http;
pub mod kind;
pub mod ledger;
pub mod plot;
mod run;
pub mod schedule;
pub mod shape;
pub mod tally;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::crowd::now_ms;
use body::Form;
use forge::{Forge, Mix};
use kind::Kind;
use ledger::{Ledger, Naming};
use run::Shared;
use schedule::Schedule;
use shape::Shape;
use tally::{Counts, Latency, Second, Tally};

/// Between two looks at a run.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Each stencil is made anew about once a minute.
const RENEW_INTERVAL: Duration = Duration::from_millis(250);

/// A gateway, and who asks.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`.
    pub authority: String,
    /// Write key.
    pub key: String,
    /// What stands in its place for Sensors: `?project=`.
    pub sensors_project: String,
    /// What stands in its place for DataRangers: `header.app_id`.
    pub datarangers_app_id: u64,
}

/// What a run does.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// In which form.
    pub kind: Kind,
    /// Events a second; absent: as fast as answers come.
    pub rate: Option<f64>,
    /// How long batches are due, seconds.
    pub time: Duration,
    /// Batches at most.
    pub batches_max: u64,
    /// Connections; over HTTP each has one request under way.
    pub connections: usize,
    /// Events of a batch.
    pub batch: usize,
    /// How untidy they are.
    pub mix: Mix,
    /// The same seed gives the same users, pages and faults.
    pub seed: u64,
    /// How large they are, whose, and of how many apps.
    pub shape: Shape,
    /// Where intents and answers are written down.
    pub ledger: Option<PathBuf>,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What was asked for.
    pub plan: Plan,
    /// What its ids begin with.
    pub prefix: String,
    /// From the first batch to the last answer, seconds.
    pub took_s: f64,
    /// What was answered.
    pub counts: Counts,
    /// Latency over all, from when batches were due.
    pub latency: Latency,
    /// Second by second.
    pub seconds: Vec<Second>,
}

// === impl Target ===

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let wanted = || format!("{url}: must be http://HOST:PORT; TLS is not spoken here");
        let authority = url.strip_prefix("http://").ok_or_else(wanted)?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(wanted)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wanted());
        }
        Ok(Self {
            authority: authority.to_owned(),
            key: "demo-write-key".to_owned(),
            sensors_project: "default".to_owned(),
            datarangers_app_id: 10_001,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

// === impl Plan ===

impl Plan {
    /// As fast as answers come, `batches` clean batches of 50: with enough of them under
    /// way that the gateway is never without work, and not so many that they fall out of
    /// its caches.
    pub fn saturating(kind: Kind, batches: u64) -> Self {
        // A stream has many batches under way.
        let connections = if kind == Kind::GrpcStream { 4 } else { 64 };
        Self {
            kind,
            rate: None,
            time: Duration::from_secs(600),
            batches_max: batches,
            connections,
            batch: 50,
            mix: Mix::CLEAN,
            seed: 7,
            shape: Shape::USUAL,
            ledger: None,
        }
    }

    fn interval(&self) -> Option<Duration> {
        let rate = self.rate?;
        Some(Duration::from_secs_f64(self.batch as f64 / rate).max(Duration::from_nanos(1)))
    }

    /// Runs it against a gateway; `look` sees it once a second.
    ///
    /// # Errors
    /// Where the ledger cannot be written. What a gateway answers is no error.
    pub async fn run(
        &self,
        target: &Target,
        mut look: impl FnMut(&Counts, Option<&Second>),
    ) -> Result<Outcome, String> {
        // Unique among runs, so that no id was ever sent before.
        let prefix = format!("r{:x}{:x}", now_ms(), self.seed & 0xffff);
        let naming = Naming { prefix: prefix.clone(), batch: self.batch as u64 };
        let form = Form {
            kind: self.kind,
            prefix: prefix.clone(),
            datarangers_app_id: target.datarangers_app_id,
        };
        let begun = self.ledger.as_ref().map(|dir| Ledger::begin(dir, &naming)).transpose()?;
        let (ledger, writer) = begun.unzip();
        let shared = Arc::new(Shared {
            target: target.clone(),
            forge: Forge::shaped(form, self.batch, self.mix, self.seed, self.shape),
            shape: self.shape,
            prefix: prefix.clone(),
            schedule: Schedule::begin(self.interval(), self.time, self.batches_max),
            tally: Tally::new(self.batch),
            ledger,
        });
        let renewing = tokio::spawn(renew(Arc::clone(&shared)));
        let connections = futures::future::join_all(run::connections(self, &shared));
        tokio::pin!(connections);
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.tick().await;
        let ended = loop {
            tokio::select! {
                ended = &mut connections => break ended,
                _ = looks.tick() => {
                    let (counts, second) = shared.tally.look();
                    look(&counts, second.as_ref());
                }
            }
        };
        renewing.abort();
        // Whether it had ended or was told to makes no difference.
        let _ = renewing.await;
        if let Some(Err(error)) = ended.into_iter().find(Result::is_err) {
            return Err(format!("a connection panicked: {error}"));
        }
        let shared = Arc::into_inner(shared).ok_or("a connection has not ended")?;
        drop(shared.ledger);
        writer.map_or(Ok(()), ledger::Writer::finish)?;
        let (counts, latency, seconds, took) = shared.tally.finish();
        let took_s = took.as_secs_f64();
        Ok(Outcome { plan: self.clone(), prefix, took_s, counts, latency, seconds })
    }
}

async fn renew(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(RENEW_INTERVAL).await;
        shared.forge.renew_one();
    }
}
