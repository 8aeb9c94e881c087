//! What a measurement runs as processes of their own, so that CPU time is
//! counted for them alone: this same binary, told to be something else.

mod gateway;
mod sink;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::drive::Target;
use crate::gateway::{Gateway, Start};
use crate::measure::process_cpu;

pub use gateway::{GatewayArgs, LogKind, PARTITIONS};
pub use sink::SinkArgs;

/// A running bare server. Killed when dropped.
pub struct Sink {
    child: Child,
    /// Where it listens.
    pub target: Target,
}

/// This binary.
///
/// # Errors
/// Where the system does not tell.
pub fn binary() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("which binary is this? {error}"))
}

/// Starts a gateway over a log; `flags` are those of the role.
///
/// # Errors
/// What it said, where it does not get ready.
pub fn gateway(
    role: &str,
    log: LogKind,
    core: Option<usize>,
    data_dir: &Path,
    flags: &[(&str, String)],
) -> Result<Gateway, String> {
    gateway_on(role, (log, PARTITIONS), core.as_slice(), data_dir, flags)
}

/// The same on some cores, with so many partitions where the log keeps nothing.
///
/// # Errors
/// What it said, where it does not get ready.
pub fn gateway_on(
    role: &str,
    (log, partitions): (LogKind, u32),
    cores: &[usize],
    data_dir: &Path,
    flags: &[(&str, String)],
) -> Result<Gateway, String> {
    let bin = binary()?;
    let partitions = partitions.to_string();
    let words = ["gateway", "--log", log.name(), "--partitions", &partitions];
    let mut before: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if !cores.is_empty() {
        let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
        before.extend(["--core".to_owned(), cores.join(",")]);
    }
    before.push("--".to_owned());
    let mut start = Start::new(&bin, data_dir).before(before).role(role);
    for (name, value) in flags {
        start = start.flag(name, value);
    }
    start.run()
}

// === impl Sink ===

impl Sink {
    /// Starts one.
    ///
    /// # Errors
    /// Where it does not say where it listens.
    pub fn start(core: Option<usize>) -> Result<Self, String> {
        let mut command = Command::new(binary()?);
        command.arg("sink").stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(core) = core {
            command.args(["--core", &core.to_string()]);
        }
        let mut child = command.spawn().map_err(|error| format!("the sink: {error}"))?;
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            // What it did not say is seen below.
            let _ = BufReader::new(said).read_line(&mut line);
        }
        match line.trim().parse() {
            Ok(target) => Ok(Self { child, target }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("the sink does not listen: {error}"))
            }
        }
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        process_cpu(self.child.id())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Ended already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
