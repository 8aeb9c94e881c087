//! What an event costs besides time: allocations, and calls that write.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::context::{Context, target};
use super::figure::{Better, Figure};
use crate::children::LogKind;
use crate::drive::kind::Kind;
use crate::drive::{Plan, Target};
use crate::limits::bodies::BATCH_EVENTS;

/// Batches of a round.
const BATCHES: u64 = 4_000;
const BATCHES_QUICK: u64 = 200;
/// How long `strace` takes to take hold, at most.
const TRACE_WAIT: Duration = Duration::from_millis(500);

/// A gateway's listener and collector in a binary that counts allocations.
struct Counted {
    child: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
    target: Target,
}

/// Allocations, and the bytes of them, since the start.
#[derive(Clone, Copy)]
struct Count(f64, f64);

/// Measures it.
///
/// # Errors
/// What could not be built or started.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let mut figures = allocations(context).await?;
    figures.push(match writes(context).await {
        Ok(figure) => figure,
        Err(why) => Figure::not_run("write calls a request", &why),
    });
    Ok(figures)
}

async fn allocations(context: &Context) -> Result<Vec<Figure>, String> {
    let mut counted = tokio::task::block_in_place(Counted::start)?;
    let batches = context.size(BATCHES, BATCHES_QUICK);
    let plan = Plan::saturating(Kind::Json, batches);
    let body_bytes = context.bodies.json.iter().map(bytes::Bytes::len).sum::<usize>() as f64
        / context.bodies.json.len() as f64;
    let (mut each, mut copies) = (Vec::new(), Vec::new());
    for round in 0..=context.rounds() {
        let before = counted.count()?;
        let outcome = plan.run(&counted.target, |_, _| ()).await?;
        let after = counted.count()?;
        let events = outcome.counts.accepted as f64;
        if outcome.counts.accepted != batches * BATCH_EVENTS as u64 {
            return Err("not everything was accepted".to_owned());
        }
        // The first opens connections and fills tables.
        if round > 0 {
            each.push((after.0 - before.0) / events);
            copies.push((after.1 - before.1) / (batches as f64 * body_bytes));
        }
    }
    Ok(vec![
        Figure::new("allocations an event", "", Better::Smaller, &each, (0.1, 1.0))
            .note("the whole process over a log that keeps nothing, its listener included"),
        Figure::new("bytes allocated a byte of body", "", Better::Smaller, &copies, (2.0, 1.0))
            .note("each copy of a body into new memory is 1"),
    ])
}

/// Counts with `strace` what a gateway writes to sockets and files.
async fn writes(context: &Context) -> Result<Figure, String> {
    let gateway = context.gateway("collect", LogKind::Null, &context.folder("writes")?)?;
    let out = context.folder("strace")?.join("counts");
    let calls = "trace=write,writev,sendto,sendmsg,sendmmsg,pwrite64,pwritev";
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-c", "-S", "calls", "-e", calls, "-o"])
        .arg(&out)
        .args(["-p", &gateway.pid().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("strace: {error}"))?;
    tokio::time::sleep(TRACE_WAIT).await;
    let batches = context.size(BATCHES, BATCHES_QUICK);
    let outcome = Plan::saturating(Kind::Json, batches).run(&target(&gateway)?, |_, _| ()).await;
    let pid = i32::try_from(strace.id()).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or("strace has no process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::INT)
        .map_err(|error| format!("strace: {error}"))?;
    tokio::task::block_in_place(|| strace.wait()).map_err(|error| format!("strace: {error}"))?;
    let answered = outcome?.counts.batches as f64;
    let text = std::fs::read_to_string(&out).map_err(|error| format!("strace: {error}"))?;
    // Columns: % time, seconds, usecs/call, calls, [errors,] name.
    let calls = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let known = words.last().is_some_and(|name| *name != "total");
        known.then(|| words.get(3)?.parse::<f64>().ok())?
    };
    let all: f64 = text.lines().filter_map(calls).sum();
    if all == 0.0 {
        return Err("strace counted nothing: may it trace other processes?".to_owned());
    }
    let each = [all / answered];
    Ok(Figure::new("write calls a request", "", Better::Smaller, &each, (1.1, 1.0))
        .note("wake-ups of the runtime's own threads are among them"))
}

// === impl Counted ===

impl Counted {
    /// Builds it where that was not done, as `cargo run` builds one binary only.
    fn start() -> Result<Self, String> {
        let binary = built()?;
        let mut child = Command::new(&binary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (ask, told) = pipes.ok_or("no pipes to the counting gateway")?;
        let mut told = BufReader::new(told);
        let mut line = String::new();
        told.read_line(&mut line).map_err(|error| error.to_string())?;
        let target = line.trim().parse()?;
        Ok(Self { child, ask, told, target })
    }

    fn count(&mut self) -> Result<Count, String> {
        let mut line = String::new();
        self.ask.write_all(b"\n").map_err(|error| error.to_string())?;
        self.told.read_line(&mut line).map_err(|error| error.to_string())?;
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        let pair = numbers.next().zip(numbers.next());
        pair.map(|(count, bytes)| Count(count, bytes)).ok_or(format!("no counts: {line}"))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Ended already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn built() -> Result<PathBuf, String> {
    let own = crate::children::binary()?;
    let folder = own.parent().ok_or("the binary lies in no folder")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "load-tests", "--bin", "sluice-counted"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // `cargo run` says of which package this is; build scripts that look at it would take
    // their crates, and all that use them, for changed.
    let of_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_package) {
            cargo.env_remove(name);
        }
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let status = cargo.current_dir(root).stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("cargo: {error}"))?;
    match status.success() {
        true => Ok(folder.join("sluice-counted")),
        false => Err(format!("the counting gateway was not built: {status}")),
    }
}
