//! `sluice replay`: takes one store back and brings it up to date again.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::progress::Progress;
use super::remote::{self, Admin};
use super::{Failure, TargetArgs};
use crate::admin::api::{ReplayFrom, ReplayRequest, ReplayState};

/// Arguments of `sluice replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The store to bring up again: documents or rows
    #[arg(long, value_name = "STORE")]
    store: String,
    /// From where: `start`, an age such as `36h` or `7d`, or a time such as 2026-11-20T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = parse_from)]
    from: ReplayFrom,
}

/// Rewinds the lane, then watches it catch up.
pub fn run(args: ReplayArgs) -> Result<(), Failure> {
    let request = ReplayRequest { store: args.store, from: args.from };
    remote::with_admin(&args.target, async move |admin: Admin| {
        let begun: ReplayState = admin.post("/replay", &request).await?;
        watch(&admin, &request.store, &begun).await
    })
}

async fn watch(admin: &Admin, store: &str, begun: &ReplayState) -> Result<(), Failure> {
    let template = "{msg} {bar:30} {pos}/{len} records {eta}";
    let mut bar = Progress::new(store, begun.records_total, template, "records");
    let mut told = None;
    loop {
        let state: ReplayState = admin.get(&format!("/replay/{store}")).await?;
        if state.last_error.is_some() && state.last_error != told {
            told.clone_from(&state.last_error);
            bar.say(&format!("{store}: waiting: {}", told.as_deref().unwrap_or_default()));
        }
        if state.done {
            bar.at(begun.records_total);
            bar.finish();
            println!("{store}: up to date, {} records taken again", begun.records_total);
            return Ok(());
        }
        bar.at(state.records_done);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn parse_from(text: &str) -> Result<ReplayFrom, String> {
    if text == "start" {
        return Ok(ReplayFrom::Start);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(ReplayFrom::TimeMs(time.as_millisecond()));
    }
    let allowed = "allowed: `start`, an age such as `36h` or `7d`, or a time such as \
                   2026-11-20T00:00:00Z";
    let (number, unit_ms) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "m")) => (number, 60_000),
        Some((number, "h")) => (number, 3_600_000),
        Some((number, "d")) => (number, 86_400_000),
        _ => return Err(allowed.to_owned()),
    };
    let number: u32 = number.parse().map_err(|_| allowed.to_owned())?;
    Ok(ReplayFrom::AgeMs(u64::from(number) * unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ways_to_say_when() {
        assert_eq!(parse_from("start"), Ok(ReplayFrom::Start));
        assert_eq!(parse_from("36h"), Ok(ReplayFrom::AgeMs(36 * 3_600_000)));
        assert_eq!(parse_from("2026-11-20T00:00:00Z"), Ok(ReplayFrom::TimeMs(1_795_132_800_000)));
        assert!(parse_from("yesterday").is_err());
        assert!(parse_from("").is_err());
        assert!(parse_from("é").is_err());
    }
}
