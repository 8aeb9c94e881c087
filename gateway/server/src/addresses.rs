//! `DATA_DIR/addresses.json`: where a running process can be reached.
//!
//! Written atomically once ready, removed on a clean stop. A file left behind by
//! a killed process is recognised by its pid.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where a process can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// HTTP and gRPC: ingest and queries.
    pub http: SocketAddr,
    /// Health, readiness, metrics, operations.
    pub admin: SocketAddr,
    /// Process id.
    pub pid: u32,
}

/// The file on disk; removed when dropped.
#[derive(Debug)]
pub struct AddressFile(PathBuf);

// === impl Addresses ===

impl Addresses {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("addresses.json")
    }

    /// Writes the file: a temporary one is synced, then renamed over it.
    pub fn publish(&self, data_dir: &Path) -> io::Result<AddressFile> {
        let path = Self::path(data_dir);
        let temporary = path.with_extension("json.tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        Ok(AddressFile(path))
    }

    /// The addresses of the process that serves this directory now, if one does.
    pub fn of_running(data_dir: &Path) -> Option<Self> {
        let text = fs::read(Self::path(data_dir)).ok()?;
        let addresses: Self = serde_json::from_slice(&text).ok()?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(addresses.pid).ok()?)?;
        rustix::process::test_kill_process(pid).ok()?;
        Some(addresses)
    }
}

// === impl AddressFile ===

impl Drop for AddressFile {
    fn drop(&mut self) {
        // The process is ending: a file that cannot be removed is recognised as stale by its pid.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_there_while_held_and_not_after() {
        let dir = tempfile::tempdir().expect("temp dir");
        let addresses = Addresses {
            http: "127.0.0.1:7080".parse().expect("address"),
            admin: "127.0.0.1:7081".parse().expect("address"),
            pid: std::process::id(),
        };
        let file = addresses.publish(dir.path()).expect("written");
        let text = fs::read_to_string(dir.path().join("addresses.json")).expect("read");
        let pid = addresses.pid;
        let wanted = r#"{"http":"127.0.0.1:7080","admin":"127.0.0.1:7081","pid":"#;
        assert_eq!(text, format!("{wanted}{pid}}}"));
        assert_eq!(Addresses::of_running(dir.path()), Some(addresses));
        drop(file);
        assert_eq!(Addresses::of_running(dir.path()), None);
        assert!(!dir.path().join("addresses.json").exists());
    }

    #[test]
    fn a_dead_process_is_not_running() {
        let dir = tempfile::tempdir().expect("temp dir");
        let text = r#"{"http":"127.0.0.1:1","admin":"127.0.0.1:2","pid":2147483646}"#;
        fs::write(dir.path().join("addresses.json"), text).expect("write");
        assert_eq!(Addresses::of_running(dir.path()), None);
    }
}
