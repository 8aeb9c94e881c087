//! `peers.md`, as it is written.

use super::bodies::BATCH_EVENTS;
use super::build::version;
use super::line::CONNECTIONS;
use super::row::Measured;
use super::system::{Kind, MODULES};

/// The whole page.
pub fn page(rows: &[Measured], rounds: u8) -> String {
    let mut text = String::from(
        "# Peers\n\nThe same events into other collectors, measured in one run with ours. Written \
         by `load-tests peers`; do not edit.\n\n\
         | system | what it does with a batch | bytes an event in | events/CPU-s: min | median | \
         max | acknowledged | read back | ours, JSON, against it | ours, same body, against it |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&line(row, rows));
    }
    text.push_str(&notes(rows));
    let (peers, machine) = (versions(), machine());
    text.push_str(&format!(
        "\n## The rule\n\n\
         - Batches of {BATCH_EVENTS} events over HTTP/1.1, {CONNECTIONS} connections with one \
         request under way each. Every id is new; the same users, pages and properties for all, in \
         the form that the system takes.\n\
         - 200 only after the broker has acknowledged: `acks=all`, idempotent producer, lz4, one \
         broker, topics of 8 partitions. The Collector's sending queue is off.\n\
         - One core for the collector (`GOMAXPROCS=1`), another for the generator. CPU time, user and \
         system, is that of the collector's process.\n\
         - Rounds are interleaved: one that warms up, then {rounds}. *Against it* is median by \
         median.\n\
         - A figure is void unless, read back from its topic, each event is there exactly once.\n\n\
         Only Sluice checks events, answers for each and remembers ids; the others move them. \
         `Collector, OTLP text` and `Bento, forwarded` are for what does not need to be looked \
         at: whoever reads the topic has the parsing still to do.\n\n\
         ## Again\n\n\
         ```sh\ncargo run --release -p load-tests -- peers\n```\n\n\
         Needs Go 1.26 or later, and what `storage-adapters/services` needs for Kafka. Sources and configs of the \
         peers are in [`peers/`](peers/).\n\n\
         ## This run\n\n{peers}\n\n{machine}\n"
    ));
    text
}

fn line(row: &Measured, rows: &[Measured]) -> String {
    let name = row.system.name;
    let (does, bytes) = (row.system.does, row.event_bytes);
    let sent = count(row.acknowledged as f64);
    let Ok((spread, read)) = &row.value else {
        return format!("| {name} | {does} | {bytes:.0} | void | void | void | {sent} | | | |\n");
    };
    let against = |ours: Option<&Measured>| {
        let ours = ours.filter(|_| row.system.kind != Kind::Sluice);
        let ratio = ours.and_then(|ours| {
            let (ours, _) = ours.value.as_ref().ok()?;
            Some(times(ours.median / spread.median))
        });
        ratio.unwrap_or_default()
    };
    let ours = |same: bool| {
        let mut all = rows.iter().filter(|other| other.system.kind == Kind::Sluice);
        all.find(|other| !same || other.system.form == row.system.form)
    };
    let [min, median, max] = [spread.min, spread.median, spread.max].map(count);
    let (json, same) = (against(ours(false)), against(ours(true)));
    let read = count(*read as f64);
    format!(
        "| {name} | {does} | {bytes:.0} | {min} | {median} | {max} | {sent} | {read} | {json} | \
         {same} |\n"
    )
}

/// Why figures are void.
fn notes(rows: &[Measured]) -> String {
    let void = |row: &Measured| {
        let why = row.value.as_ref().err()?.replace('\n', "\n    ");
        Some(format!("\nVoid, {}:\n\n    {why}\n", row.system.name))
    };
    rows.iter().filter_map(void).collect()
}

/// Two digits, or all before the point.
fn times(ratio: f64) -> String {
    match ratio {
        _ if ratio >= 10.0 => format!("{ratio:.0} ×"),
        _ if ratio >= 1.0 => format!("{ratio:.1} ×"),
        _ => format!("{ratio:.2} ×"),
    }
}

/// With commas.
fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn versions() -> String {
    let of = |(peer, module): (&str, &str)| format!("{module} {}", version(peer, module));
    let peers = MODULES.map(of).join(", ");
    let profile = if cfg!(debug_assertions) { ", **a debug build**" } else { "" };
    format!("Sluice {}{profile}; {peers}.", env!("CARGO_PKG_VERSION"))
}

/// What kind of machine this is, as Linux tells it.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let model = value(&cpus, "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let kib =
        value(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    format!("{cores} cores of {model}, {:.0} GiB.", kib.unwrap_or_default() / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::super::row::Spread;
    use super::super::system::SYSTEMS;
    use super::*;

    fn row(at: usize, median: Option<f64>) -> Measured {
        let value = median.ok_or_else(|| "one lost".to_owned());
        let value = value.map(|median| (Spread { min: 0.5 * median, median, max: 2e6 }, 1_050));
        Measured { system: SYSTEMS[at], event_bytes: 457.3, acknowledged: 12_345, value }
    }

    #[test]
    fn each_row_is_held_against_ours_of_the_run() {
        // JSON of ours, Bento with the same, OTLP of ours, the Collector with the same.
        let rows = [(0, 1e6), (1, 4e4), (4, 5e5), (5, 1e5)].map(|(at, it)| row(at, Some(it)));
        let text = page(&rows, 5);
        let ends = |name: &str, end: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("| {name} |")));
            let line = line.unwrap_or_else(|| panic!("no {name}: {text}"));
            assert!(line.ends_with(end), "{line}");
        };
        ends("sluice, JSON", "| 457 | 500,000 | 1,000,000 | 2,000,000 | 12,345 | 1,050 |  |  |");
        ends("Bento, JSON", "| 12,345 | 1,050 | 25 × | 25 × |");
        ends("Collector, OTLP", "| 12,345 | 1,050 | 10 × | 5.0 × |");
        assert!(text.contains("then 5."), "{text}");
        assert_eq!(times(0.256), "0.26 ×");
    }

    #[test]
    fn what_is_void_has_no_figure_and_says_why() {
        let text = page(&[row(0, Some(1e6)), row(2, None)], 5);
        assert!(text.contains("| void | void | void | 12,345 |"), "{text}");
        assert!(text.contains("Void, Bento, lines:\n\n    one lost\n"), "{text}");
    }

    #[test]
    fn a_form_that_ours_does_not_take_has_no_ratio_of_the_same_body() {
        let text = page(&[row(0, Some(1e6)), row(2, Some(1e5))], 5);
        assert!(text.contains("| 10 × |  |\n"), "{text}");
    }
}
