//! `sluice dead-letters`: what a store refused for good.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::remote::{self, Admin};
use super::{Failure, TargetArgs};
use crate::admin::api::{DeadLetterReplayRequest, DeadLetterReplayed};

/// Arguments of `sluice dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List dead letters, oldest first
    List {
        #[command(flatten)]
        target: TargetArgs,
        /// Begin after this id
        #[arg(long, default_value_t = 0, value_name = "ID")]
        from: u64,
        /// At most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show one dead letter with its event
    Show {
        #[command(flatten)]
        target: TargetArgs,
        /// Id, as listed
        id: u64,
    },
    /// Hand dead letters in again; what succeeds is marked as replayed
    Replay {
        #[command(flatten)]
        target: TargetArgs,
        /// Ids, as listed
        #[arg(required_unless_present = "all")]
        ids: Vec<u64>,
        /// All that are not yet replayed
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

/// Runs the subcommand.
pub fn run(args: DeadLettersArgs) -> Result<(), Failure> {
    match args.command {
        DeadLettersCommand::List { target, from, limit } => {
            remote::with_admin(&target, async move |admin: Admin| {
                let path = format!("/dead-letters?from={from}&limit={limit}");
                list(&admin.get::<Vec<Value>>(&path).await?);
                Ok(())
            })
        }
        DeadLettersCommand::Show { target, id } => {
            remote::with_admin(&target, async move |admin: Admin| {
                let letter: Value = admin.get(&format!("/dead-letters/{id}")).await?;
                println!("{letter:#}");
                Ok(())
            })
        }
        DeadLettersCommand::Replay { target, ids, all } => {
            remote::with_admin(&target, async move |admin: Admin| {
                let request = DeadLetterReplayRequest { ids, all };
                let done: DeadLetterReplayed = admin.post("/dead-letters/replay", &request).await?;
                println!("replayed {}, refused again {}", done.replayed, done.refused);
                Ok(())
            })
        }
    }
}

fn list(letters: &[Value]) {
    if letters.is_empty() {
        println!("no dead letters");
    }
    for letter in letters {
        let text = |key: &str| letter[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| letter[key].as_u64().unwrap_or_default();
        println!(
            "{:>8}  {:<10} {:<16} {}/{}/{}  {} {}",
            number("id"),
            text("lane"),
            text("reason"),
            number("partition"),
            number("offset"),
            number("index"),
            text("detail"),
            if letter["replayed"].as_bool() == Some(true) { "(replayed)" } else { "" },
        );
    }
}
