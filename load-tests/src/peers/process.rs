//! A peer as a process: on the core of gateways, with one thread of Go code, at a
//! port of its own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::{pin_where, process_cpu};

/// Longest wait for a peer to listen.
const READY_MAX: Duration = Duration::from_secs(30);
/// Ports that are tried: one may be taken between being found and being used.
const TRIES: usize = 3;

/// How a peer is started. Its config reads `PEER_LISTEN`, `PEER_BROKERS` and
/// `PEER_TOPIC` from the environment.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The binary.
    pub binary: &'a Path,
    /// What stands before the config on its command line.
    pub flag: &'a str,
    /// Its config.
    pub config: &'a Path,
    /// `host:port` of the brokers.
    pub brokers: &'a str,
    /// Where it is to write.
    pub topic: &'a str,
    /// For what it says.
    pub folder: &'a Path,
}

/// A running peer. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    address: SocketAddr,
}

// === impl Launch ===

impl Launch<'_> {
    /// Starts it and waits until it listens; blocks for that.
    ///
    /// # Errors
    /// What it said.
    pub fn run(&self, core: Option<usize>) -> Result<Process, String> {
        let mut told = String::new();
        for _ in 0..TRIES {
            match self.once(core) {
                Ok(process) => return Ok(process),
                Err(error) => told = error,
            }
        }
        Err(told)
    }

    fn once(&self, core: Option<usize>) -> Result<Process, String> {
        let address = free_address().map_err(|error| format!("no free port: {error}"))?;
        let log = self.folder.join("process.log");
        let failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let out = File::create(&log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let mut command = Command::new(self.binary);
        command
            .arg(self.flag)
            .arg(self.config)
            .env("PEER_LISTEN", address.to_string())
            .env("PEER_BROKERS", self.brokers)
            .env("PEER_TOPIC", self.topic)
            .env("GOMAXPROCS", "1")
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = spawn(command, core)?;
        Process { child, log, address }.ready()
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A process may run where the thread may that starts it.
fn spawn(mut command: Command, core: Option<usize>) -> Result<Child, String> {
    let starting = std::thread::spawn(move || {
        pin_where(core)?;
        let binary = command.get_program().to_owned();
        command.spawn().map_err(|error| format!("{}: {error}", binary.display()))
    });
    starting.join().map_err(|_| "the thread that starts a peer panicked".to_owned())?
}

// === impl Process ===

impl Process {
    fn ready(mut self) -> Result<Self, String> {
        let begun = Instant::now();
        while begun.elapsed() < READY_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended before it listened: {status}\n{}", self.said()));
            }
            if TcpStream::connect(self.address).is_ok() {
                return Ok(self);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("does not listen after {READY_MAX:?}\n{}", self.said()))
    }

    /// `host:port` where it takes batches.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        process_cpu(self.child.id())
    }

    /// The last lines of what it said.
    pub fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_ends_at_once_says_why() {
        let dir = tempfile::tempdir().expect("temp dir");
        let launch = Launch {
            binary: Path::new("/bin/sh"),
            flag: "-c",
            config: Path::new("echo $PEER_TOPIC is not there; exit 3"),
            brokers: "127.0.0.1:1",
            topic: "topic-7",
            folder: dir.path(),
        };
        let error = launch.run(None).expect_err("it ended");
        assert!(error.contains("topic-7 is not there") && error.contains('3'), "{error}");
    }
}
