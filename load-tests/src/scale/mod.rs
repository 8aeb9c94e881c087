//! `load-tests scale`: how figures change along one axis at a time: cores,
//! partitions, batches, events, apps, users, remembered ids, days, stored events.

mod apps;
mod asked;
mod batch;
mod context;
mod cores;
mod days;
mod load;
mod partitions;
mod remembered;
mod size;
mod stored;
mod table;
mod users;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use context::{Context, tell};
pub use cores::Cores;
use table::Table;

/// Measures along each axis and prints a table for each.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Only axes whose name holds this: cores, partitions, batch, size, apps, users, remembered,
    /// days, stored
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Rounds of each figure, after one that warms up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=100))]
    rounds: u16,
    /// Write all tables there as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small rounds and few values, to see that all of it works: the figures say little
    #[arg(long)]
    quick: bool,
    /// Partitions of Kafka too
    #[arg(long)]
    kafka: bool,
}

/// What is changed while the rest stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Cores,
    Partitions,
    Batch,
    Size,
    Apps,
    Users,
    Remembered,
    Days,
    Stored,
}

// === impl Axis ===

impl Axis {
    const ALL: [Self; 9] = [
        Self::Cores,
        Self::Partitions,
        Self::Batch,
        Self::Size,
        Self::Apps,
        Self::Users,
        Self::Remembered,
        Self::Days,
        Self::Stored,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Partitions => "partitions",
            Self::Batch => "batch",
            Self::Size => "size",
            Self::Apps => "apps",
            Self::Users => "users",
            Self::Remembered => "remembered",
            Self::Days => "days",
            Self::Stored => "stored",
        }
    }

    async fn measure(self, context: &Context) -> Result<Table, String> {
        match self {
            Self::Cores => cores::measure(context).await,
            Self::Partitions => partitions::measure(context).await,
            Self::Batch => batch::measure(context).await,
            Self::Size => size::measure(context).await,
            Self::Apps => apps::measure(context).await,
            Self::Users => users::measure(context).await,
            Self::Remembered => remembered::measure(context).await,
            Self::Days => context.on_all_cores(days::measure(context)),
            Self::Stored => context.on_all_cores(stored::measure(context)),
        }
    }
}

// === impl ScaleArgs ===

impl ScaleArgs {
    /// Measures, prints each table as it is done, writes the JSON.
    ///
    /// # Errors
    /// Where an axis has no rows, or not all.
    pub async fn run(self, cores: Cores) -> Result<(), String> {
        let wanted = |axis: &Axis| axis.name().contains(&self.only);
        let axes: Vec<Axis> = Axis::ALL.into_iter().filter(wanted).collect();
        if axes.is_empty() {
            let names = Axis::ALL.map(Axis::name).join(", ");
            return Err(format!("--only {}: there are {names}", self.only));
        }
        let kafka = self.kafka && axes.contains(&Axis::Partitions);
        let context = Context::new(self.quick, self.rounds.into(), cores, kafka)?;
        let mut tables: Vec<Table> = Vec::new();
        for axis in axes {
            let begun = Instant::now();
            tell(axis.name(), "measuring");
            let measured = axis.measure(&context).await;
            let mut table = measured.unwrap_or_else(|why| Table::not_run(axis.name(), &why));
            table.took_s = begun.elapsed().as_secs_f64();
            println!("{}", table.text());
            tables.push(table);
        }
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&json!({ "axes": tables }));
            let text = text.map_err(|error| error.to_string())?;
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let missing: Vec<&str> =
            tables.iter().filter(|table| !table.whole()).map(|table| table.axis).collect();
        match missing[..] {
            [] => Ok(()),
            _ => Err(format!("not measured: {}; the tables say why", missing.join(", "))),
        }
    }
}
