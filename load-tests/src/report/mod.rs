//! `load-tests report`: every figure beside its limit, measured in one run.

mod by_hand;
pub(crate) mod context;
mod door;
mod elasticsearch;
mod fan_out;
pub mod figure;
mod hot_path;
mod kafka;
mod latency;
mod log;
mod overload;
mod question;
mod remembered;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use context::Context;
use figure::{Figure, table};

use crate::measure::on_cores;

/// Measures everything and prints one table.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Write the figures there as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small rounds, to see that all of it works: the figures say little
    #[arg(long)]
    quick: bool,
    /// Only sections whose name holds this: door, latency, kafka, log, remembered, hot-path,
    /// overload, fan-out, question, elasticsearch
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Without Kafka and Elasticsearch: that their figures are missing is no failure
    #[arg(long)]
    embedded: bool,
}

/// A part of the report that is measured at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Door,
    Kafka,
    Latency,
    Log,
    Remembered,
    HotPath,
    Overload,
    FanOut,
    Question,
    Elasticsearch,
}

// === impl Section ===

impl Section {
    const ALL: [Self; 10] = [
        Self::Door,
        Self::Latency,
        Self::Kafka,
        Self::Log,
        Self::Remembered,
        Self::HotPath,
        Self::Overload,
        Self::FanOut,
        Self::Question,
        Self::Elasticsearch,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Door => "door",
            Self::Kafka => "kafka",
            Self::Latency => "latency",
            Self::Log => "log",
            Self::Remembered => "remembered",
            Self::HotPath => "hot-path",
            Self::Overload => "overload",
            Self::FanOut => "fan-out",
            Self::Question => "question",
            Self::Elasticsearch => "elasticsearch",
        }
    }

    fn needs_kafka(self) -> bool {
        matches!(self, Self::Kafka | Self::Latency)
    }

    fn needs_engines(self) -> bool {
        self.needs_kafka() || self == Self::Elasticsearch
    }

    async fn measure(self, context: &Context) -> Result<Vec<Figure>, String> {
        match self {
            Self::Door => door::measure(context).await,
            Self::Kafka => kafka::measure(context).await,
            Self::Latency => latency::measure(context).await,
            Self::Log => on_cores(&context.all_cores(), log::measure(context)),
            Self::Remembered => remembered::measure(context),
            Self::HotPath => hot_path::measure(context).await,
            Self::Overload => overload::measure(context).await,
            Self::FanOut => fan_out::measure(context).await,
            Self::Question => on_cores(&context.all_cores(), question::measure(context)),
            Self::Elasticsearch => elasticsearch::measure(context).await,
        }
    }
}

// === impl ReportArgs ===

impl ReportArgs {
    /// Measures, prints the table, writes the JSON; gateways run on `other`.
    ///
    /// # Errors
    /// Where a figure is missing or void. Missing a goal is no error.
    pub async fn run(self, other: Option<usize>) -> Result<(), String> {
        let wanted = |section: &Section| section.name().contains(&self.only);
        let sections: Vec<Section> = Section::ALL.into_iter().filter(wanted).collect();
        if sections.is_empty() {
            let names = Section::ALL.map(Section::name).join(", ");
            return Err(format!("--only {}: there are {names}", self.only));
        }
        let kafka = !self.embedded && sections.iter().any(|section| section.needs_kafka());
        let context = Context::new(self.quick, other, kafka)?.embedded(self.embedded);
        let (mut figures, mut missing) = (Vec::new(), 0);
        for section in sections {
            // What the last one left to be written is not to slow this one's disk.
            tokio::task::block_in_place(rustix::fs::sync);
            let begun = Instant::now();
            eprintln!("{}: measuring", section.name());
            let measured = section.measure(&context).await;
            let excused = self.embedded && section.needs_engines();
            let measured =
                measured.unwrap_or_else(|why| vec![Figure::not_run(section.name(), &why)]);
            if !excused {
                missing += measured.iter().filter(|figure| !figure.counts()).count();
            }
            figures.extend(measured);
            eprintln!("{}: {:.0} s", section.name(), begun.elapsed().as_secs_f64());
        }
        print!("{}", table(&figures));
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&json!({ "figures": figures }));
            let text = text.map_err(|error| error.to_string())?;
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        match missing {
            0 => Ok(()),
            _ => Err(format!("{missing} figures are missing or void; the notes say why")),
        }
    }
}
