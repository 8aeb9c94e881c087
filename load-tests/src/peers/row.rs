//! One system under load, round by round.

use std::path::Path;
use std::time::Duration;

use super::bodies::{BATCH_EVENTS, Bodies};
use super::build::{binary, sources};
use super::carried::Rounds;
use super::line::Post;
use super::process::{Launch, Process};
use super::system::{Kind, System};
use crate::crowd::now_ms;
use crate::gateway::Gateway;
use crate::limits::produce::make_topic;
use crate::report::context::{Context, target};
use crate::report::figure::median;

/// A round in brief is so much smaller, and still seen by the clock of CPU time.
const QUICK_PART: u64 = 5;

/// A system that runs.
pub struct Row {
    system: System,
    running: Running,
    post: Post,
    topic: String,
    rounds: Rounds,
    /// Events per CPU-second, of each round but the first.
    values: Vec<f64>,
    acknowledged: u64,
    event_bytes: f64,
    fault: Option<String>,
}

enum Running {
    Sluice(Gateway),
    Peer(Process),
}

/// Events per CPU-second of some rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Of the worst round.
    pub min: f64,
    /// Of the middle one.
    pub median: f64,
    /// Of the best.
    pub max: f64,
}

/// What was measured of a system.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The system.
    pub system: System,
    /// Bytes of a body by its events.
    pub event_bytes: f64,
    /// Events that were acknowledged, the first round's too.
    pub acknowledged: u64,
    /// Events per CPU-second, and events that were read back; or why it is void.
    pub value: Result<(Spread, u64), String>,
}

// === impl Row ===

impl Row {
    /// Starts the system, with a topic of its own.
    ///
    /// # Errors
    /// What it said.
    pub async fn start(
        system: System,
        context: &Context,
        build_dir: &Path,
    ) -> Result<Self, String> {
        let named = |error: String| format!("{}: {error}", system.name);
        let (running, topic, authority) = match system.kind {
            Kind::Sluice => {
                let started = context.kafka_gateway().map_err(named)?;
                let authority = target(&started.gateway)?.authority;
                (Running::Sluice(started.gateway), started.topic, authority)
            }
            Kind::Bento(config) | Kind::Otel(config) => {
                let peer = system.kind.folder().ok_or("a peer without a source")?;
                let topic = format!("peers-{peer}-{}", now_ms());
                let brokers = context.brokers()?;
                make_topic(brokers, &topic).await?;
                let launch = Launch {
                    binary: &binary(peer, build_dir)?,
                    flag: if peer == "bento" { "-c" } else { "--config" },
                    config: &sources().join(peer).join(config),
                    brokers,
                    topic: &topic,
                    folder: &context.folder(peer)?,
                };
                let start = || launch.run(context.other);
                let process = tokio::task::block_in_place(start).map_err(named)?;
                let authority = process.authority();
                (Running::Peer(process), topic, authority)
            }
        };
        let (path, media, key) = (system.path(), system.form.media(), system.key());
        let post = Post { authority, path, media, key, taken: system.taken() };
        Ok(Self {
            system,
            running,
            post,
            topic,
            rounds: Rounds::default(),
            values: Vec::new(),
            acknowledged: 0,
            event_bytes: 0.0,
            fault: None,
        })
    }

    /// One round; the first warms up. A system that did not acknowledge everything
    /// is not asked again.
    pub async fn round(&mut self, round: u8, quick: bool) {
        if self.fault.is_some() {
            return;
        }
        let batches = self.system.batches / if quick { QUICK_PART } else { 1 };
        let prefix = format!("p{:x}n{round:x}", now_ms());
        let bodies = Bodies::new(self.system.form, &prefix, 7);
        self.event_bytes = bodies.event_bytes();
        self.rounds.begin(&prefix, batches);
        let before = self.running.cpu();
        let posted = self.post.all(bodies, batches).await;
        let spent = self.running.cpu().saturating_sub(before);
        self.acknowledged += posted.acknowledged * BATCH_EVENTS as u64;
        self.fault = posted.fault.map(|fault| match &self.running {
            Running::Sluice(_) => fault,
            Running::Peer(process) => format!("{fault}\n{}", process.said()).trim_end().to_owned(),
        });
        if spent.is_zero() && self.fault.is_none() {
            self.fault = Some("no CPU time that can be seen: too short a round".to_owned());
        }
        if round > 0 && self.fault.is_none() {
            let events = batches * BATCH_EVENTS as u64;
            self.values.push(events as f64 / spent.as_secs_f64());
        }
    }

    /// Stops the system and reads its topic back; blocks for that.
    pub fn finish(self, brokers: &str) -> Measured {
        drop(self.running);
        let read = match self.fault {
            Some(fault) => Err(fault),
            None => self.rounds.read(self.system.carried, brokers, &self.topic),
        };
        let value = read.and_then(|events| {
            let spread = Spread::of(&self.values).ok_or("no round was measured")?;
            Ok((spread, events))
        });
        let (system, event_bytes) = (self.system, self.event_bytes);
        Measured { system, event_bytes, acknowledged: self.acknowledged, value }
    }
}

// === impl Running ===

impl Running {
    fn cpu(&self) -> Duration {
        match self {
            Self::Sluice(gateway) => gateway.cpu(),
            Self::Peer(process) => process.cpu(),
        }
    }
}

// === impl Spread ===

impl Spread {
    /// Of at least one round.
    pub fn of(rounds: &[f64]) -> Option<Self> {
        let min = rounds.iter().copied().reduce(f64::min)?;
        let max = rounds.iter().copied().reduce(f64::max)?;
        Some(Self { min, median: median(rounds), max })
    }
}
