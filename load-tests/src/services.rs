//! The real engines, started by the project's own launcher.
//!
//! Where `SLUICE_SERVICES_DIR` names a set that is up, it is used and left
//! running; otherwise a set of its own is started in a temporary directory and
//! stopped when dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::measure::pin_to;

/// One engine.
pub struct Engine {
    /// Where it listens, as the set says it.
    pub address: String,
    /// Stopped when dropped, where it was started here.
    _services: Services,
}

/// A set of engines.
pub struct Services {
    dir: PathBuf,
    /// Held for its end: the set's data lies in it.
    own: Option<tempfile::TempDir>,
}

// === impl Engine ===

impl Engine {
    /// Starts one of `kafka` and `elasticsearch`, or uses that of the set that the
    /// environment names. Where cores are given it may run on all of them, whatever
    /// this thread keeps to.
    ///
    /// # Errors
    /// What the launcher said.
    pub fn up(name: &str, cores: &[usize]) -> Result<Self, String> {
        // What a thread starts keeps to the cores of that thread.
        let services = std::thread::scope(|scope| {
            let up = || pin_to(cores).and_then(|()| Services::up(name, &[]));
            scope.spawn(up).join().map_err(|_| format!("{name}: starting it panicked"))?
        })?;
        let endpoints = services.endpoints();
        let address = endpoints[name].as_str().map(str::to_owned);
        let address = address.ok_or_else(|| format!("no {name} in {endpoints}"))?;
        Ok(Self { address, _services: services })
    }
}

// === impl Services ===

impl Services {
    /// Starts `only` (such as `kafka,elasticsearch,hbase`), or uses the set that
    /// the environment names. `flags` are further ones of `services up`.
    ///
    /// # Errors
    /// What the launcher said.
    #[allow(clippy::disallowed_methods)] // a test's own switch
    pub fn up(only: &str, flags: &[&str]) -> Result<Self, String> {
        let named = std::env::var_os("SLUICE_SERVICES_DIR").map(PathBuf::from);
        let services = match named {
            Some(dir) => Self { dir, own: None },
            None => {
                let own = tempfile::tempdir().map_err(|error| error.to_string())?;
                Self { dir: own.path().join("services"), own: Some(own) }
            }
        };
        let only = ["--only", only];
        services.run("up", &[&only[..], flags].concat())?;
        Ok(services)
    }

    /// Runs `services COMMAND --dir DIR ARGUMENTS…`; what it printed.
    ///
    /// # Errors
    /// What it printed, where it failed.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        let launcher =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage-adapters/services/services");
        let output = Command::new(&launcher)
            .arg(command)
            .arg("--dir")
            .arg(&self.dir)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", launcher.display()))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(format!("services {command} {}: {}\n{said}", arguments.join(" "), output.status))
        }
    }

    /// Where the engines listen.
    pub fn endpoints(&self) -> Value {
        let text = std::fs::read(self.dir.join("endpoints.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if self.own.is_some()
            && let Err(error) = self.run("down", &[])
        {
            eprintln!("{error}");
        }
    }
}
