//! A gateway as a process: started, asked, stopped, killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::measure::process_cpu;

/// Longest wait for a gateway to be ready.
const READY_MAX: Duration = Duration::from_secs(30);

/// A running gateway. Killed when dropped.
pub struct Gateway {
    child: Child,
    log: PathBuf,
    /// `http://…` of the main listener.
    pub http: String,
    /// `http://…` of the admin listener.
    pub admin: String,
}

/// How a gateway is started.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// The binary.
    pub bin: &'a Path,
    /// Arguments before the role.
    pub before: Vec<String>,
    /// Its data directory; made where it is missing.
    pub data_dir: &'a Path,
    /// `serve`, `collect`, `fan-out` or `query`.
    pub role: &'a str,
    /// Variables over the environment.
    pub env: Vec<(String, String)>,
    /// Flags after the role.
    pub flags: Vec<String>,
}

// === impl Start ===

impl<'a> Start<'a> {
    /// `serve` on free loopback ports.
    pub fn new(bin: &'a Path, data_dir: &'a Path) -> Self {
        Self {
            bin,
            before: Vec::new(),
            data_dir,
            role: "serve",
            env: Vec::new(),
            flags: Vec::new(),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// Arguments before the role, where the binary is another than `sluice`.
    #[must_use]
    pub fn before(mut self, arguments: Vec<String>) -> Self {
        self.before = arguments;
        self
    }

    /// Another role than `serve`.
    #[must_use]
    pub fn role(mut self, role: &'a str) -> Self {
        self.role = role;
        self
    }

    /// Adds a flag and its value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: impl ToString) -> Self {
        self.flags.extend([name.to_owned(), value.to_string()]);
        self
    }

    /// Starts it and waits until its addresses stand in the data directory. What
    /// it says on stderr is added to `process.log` there.
    pub fn run(&self) -> Result<Gateway, String> {
        let log = self.data_dir.join("process.log");
        let stderr = std::fs::create_dir_all(self.data_dir)
            .and_then(|()| std::fs::File::options().create(true).append(true).open(&log))
            .map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(self.bin);
        command
            .args(&self.before)
            .args([self.role, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(self.data_dir)
            .args(&self.flags)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let child = command.spawn().map_err(|error| format!("{}: {error}", self.bin.display()))?;
        let mut gateway = Gateway { child, log, http: String::new(), admin: String::new() };
        let file = self.data_dir.join("addresses.json");
        let begun = Instant::now();
        while begun.elapsed() < READY_MAX {
            if let Ok(Some(status)) = gateway.child.try_wait() {
                let said = gateway.said();
                let lines: Vec<&str> = said.lines().rev().take(8).collect();
                let lines: Vec<&str> = lines.into_iter().rev().collect();
                return Err(format!("ended before it was ready: {status}\n{}", lines.join("\n")));
            }
            if let Some((http, admin)) = read_addresses(&file, gateway.child.id()) {
                (gateway.http, gateway.admin) = (http, admin);
                return Ok(gateway);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("not ready within {READY_MAX:?}"))
    }
}

fn read_addresses(file: &PathBuf, pid: u32) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let at = |name: &str| Some(format!("http://{}", value[name].as_str()?));
    (value["pid"] == json!(pid)).then(|| Some((at("http")?, at("admin")?)))?
}

// === impl Gateway ===

impl Gateway {
    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stderr, and its predecessors on the same data directory.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Resident memory, bytes, as the kernel has it; 0 once it has ended.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let line = status.ok().and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        line.unwrap_or(0) * 1024
    }

    /// CPU time that the process has used, user and system, of all threads.
    pub fn cpu(&self) -> Duration {
        process_cpu(self.pid())
    }

    /// SIGTERM, then waits for the end; `false` where it did not end cleanly.
    pub fn stop(mut self) -> bool {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().is_ok_and(|status| status.success())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        // Dropping would do it too; here the caller says so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Ended already: nothing to signal.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self, at_most: Duration) -> Option<std::process::ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < at_most {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Ended already, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks one question of the demo app; `Err` holds status and body.
pub async fn ask(client: &reqwest::Client, http: &str, question: &Value) -> Result<Value, String> {
    let request = client.post(format!("{http}/v1/apps/demo/query"));
    let response = request.bearer_auth("demo-read-token").json(question).send().await;
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("{status}: {text}"));
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// Waits until every lane has taken everything in the log.
pub async fn settled(client: &reqwest::Client, admin: &str) -> Result<(), String> {
    let begun = Instant::now();
    let mut last = Value::Null;
    while begun.elapsed() < Duration::from_secs(60) {
        let status = client.get(format!("{admin}/status")).send().await;
        let status = status.map_err(|error| error.to_string())?.json::<Value>().await;
        last = status.map_err(|error| error.to_string())?;
        let lanes = last["fan_out"]["lanes"].as_array().cloned().unwrap_or_default();
        let behind = lanes.iter().any(|lane| lane["committed"] != lane["end"]);
        if !lanes.is_empty() && !behind {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("lanes still behind after 60 s: {last}"))
}
