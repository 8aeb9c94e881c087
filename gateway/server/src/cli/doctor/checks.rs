//! The checks, each a small function of the config.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use sluice_embedded::log::{DiskIo, RealDisk};
use sluice_telemetry::{Clock, SystemClock};

use super::Finding::{self, Bad, Doubtful, Good};
use crate::addresses::Addresses;
use crate::config::{Config, DocumentsEngine, LogEngine, RowsEngine};

/// A clock before this moment was never set: 2026-01-01, milliseconds.
const CLOCK_MIN_MS: i64 = 1_767_225_600_000;
/// Files from the future by more than this betray a clock that was set back.
const CLOCK_BACK_MS: i64 = 60_000;
/// A sync slower than this limits a single client to a few batches a second.
const SYNC_SLOW_MS: u128 = 100;
const GIB: u64 = 1 << 30;
/// Longest wait for an engine to take a connection.
const REACH_WITHIN: Duration = Duration::from_secs(2);

/// Every check, by name.
pub(super) fn all(config: &Config, running: Option<&Addresses>) -> Vec<(&'static str, Finding)> {
    let mut checks = vec![
        ("config", Good(format!("{} apps", config.apps.len()))),
        ("data dir", data_dir(&config.data_dir)),
        ("process", process(running)),
        ("port", port("listen", config.listen, running)),
        ("admin port", port("admin_listen", config.admin_listen, running)),
        ("disk", disk(config)),
        ("sync", sync(&config.data_dir)),
        ("clock", clock(&config.data_dir, SystemClock.now_ms())),
        ("open files", open_files(config)),
    ];
    checks.extend(engines(config));
    checks
}

/// Whether somebody listens where the engines should be. What they hold is
/// verified when a role starts.
fn engines(config: &Config) -> Vec<(&'static str, Finding)> {
    let mut found = Vec::new();
    if config.log.engine == LogEngine::Kafka {
        found.extend(config.kafka.brokers.split(',').map(|at| ("kafka", reach("brokers", at))));
    }
    if config.documents.engine == DocumentsEngine::Elasticsearch {
        let nodes = config.elasticsearch.nodes.iter();
        found.extend(nodes.map(|node| ("elasticsearch", reach("nodes", node))));
    }
    if config.rows.engine == RowsEngine::Hbase {
        found.extend(config.hbase.servers.iter().map(|at| ("hbase", reach("servers", at))));
    }
    found
}

fn reach(key: &str, address: &str) -> Finding {
    let address = address.trim();
    let bare = address.trim_start_matches("http://").trim_start_matches("https://");
    let bare = bare.split('/').next().unwrap_or(bare);
    let found = match bare.to_socket_addrs() {
        Ok(found) => found,
        Err(error) => return Bad(format!("{address}: {error}; look at `{key}`")),
    };
    let mut last = "the name has no address".to_owned();
    for socket in found {
        match TcpStream::connect_timeout(&socket, REACH_WITHIN) {
            Ok(_) => return Good(format!("{address} takes connections")),
            Err(error) => last = error.to_string(),
        }
    }
    Bad(format!("{address} takes no connections: {last}; start it, or look at `{key}`"))
}

/// The directory, or the nearest folder above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."))
}

fn data_dir(path: &Path) -> Finding {
    let (at, shown) = (existing(path), path.display());
    let probe = at.join(format!(".sluice-doctor-{}", std::process::id()));
    if let Err(error) = fs::write(&probe, b"probe") {
        return Bad(format!("{shown}: cannot write there: {error}; give this user the right to"));
    }
    // Written a moment ago by this process.
    let _ = fs::remove_file(&probe);
    if path.is_dir() { Good(format!("{shown}")) } else { Good(format!("{shown} will be made")) }
}

fn process(running: Option<&Addresses>) -> Finding {
    match running {
        Some(running) => Good(format!("{} serves it on http://{}", running.pid, running.http)),
        None => Good("none serves it now".to_owned()),
    }
}

fn port(name: &str, address: SocketAddr, running: Option<&Addresses>) -> Finding {
    if running.is_some_and(|running| running.http == address || running.admin == address) {
        return Good(format!("{address}, in use by the running process"));
    }
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error) => Bad(format!("{name} = {address}: {error}; choose another with --{}", {
            name.replace('_', "-")
        })),
    }
}

fn disk(config: &Config) -> Finding {
    let space = match RealDisk.space(existing(&config.data_dir)) {
        Ok(space) => space,
        Err(error) => return Bad(format!("cannot tell the free space: {error}")),
    };
    let reserve = config.log.disk_reserve_bytes.unwrap_or(GIB.min(space.total_bytes / 20));
    let (free, reserve_gib) = (space.free_bytes / GIB, reserve as f64 / GIB as f64);
    if space.free_bytes <= reserve {
        return Bad(format!(
            "{free} GiB free, the log refuses events below {reserve_gib:.1} GiB; free some, or \
             lower log.disk_reserve_bytes"
        ));
    }
    let text = format!("{free} GiB free, {reserve_gib:.1} GiB kept in reserve");
    if space.free_bytes < reserve * 3 { Doubtful(text) } else { Good(text) }
}

/// Time of one write and sync: what the first client of a group waits.
fn sync(data_dir: &Path) -> Finding {
    let probe = existing(data_dir).join(format!(".sluice-doctor-sync-{}", std::process::id()));
    let timed = fs::File::create(&probe).and_then(|file| {
        RealDisk.write_all(&file, &probe, &[0; 4096])?;
        let begun = Instant::now();
        RealDisk.sync_data(&file, &probe)?;
        Ok(begun.elapsed())
    });
    // Written a moment ago by this process.
    let _ = fs::remove_file(&probe);
    match timed {
        Ok(took) if took.as_millis() > SYNC_SLOW_MS => {
            Doubtful(format!("a sync takes {took:.1?}: acknowledgements wait that long"))
        }
        Ok(took) => Good(format!("a sync takes {took:.1?}")),
        Err(error) => Bad(format!("cannot sync a file: {error}; nothing can be made durable here")),
    }
}

fn clock(data_dir: &Path, now_ms: i64) -> Finding {
    if now_ms < CLOCK_MIN_MS {
        return Bad("the clock is before 2026: set it; events are judged by it".to_owned());
    }
    let newest = newest_ms(data_dir, 3).unwrap_or(0);
    if newest > now_ms + CLOCK_BACK_MS {
        let ahead = (newest - now_ms) / 1000;
        return Bad(format!("data was written {ahead} s in the future: the clock went back"));
    }
    Good("plausible, and not behind the data".to_owned())
}

fn newest_ms(dir: &Path, depth: usize) -> Option<i64> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        if meta.is_dir() && depth > 0 {
            return newest_ms(&entry.path(), depth - 1);
        }
        let since = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    });
    times.max()
}

fn open_files(config: &Config) -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let wanted = config.wire.connections_max as u64 + 512;
    match limit {
        Some(limit) if limit < wanted => Doubtful(format!(
            "{limit} files may be open, {wanted} are needed for wire.connections_max; raise it \
             with `ulimit -n {wanted}`"
        )),
        _ => Good(format!("enough for {} connections", config.wire.connections_max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_bad_and_names_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = taken.local_addr().expect("address");
        let Bad(text) = port("admin_listen", address, None) else { panic!("must be bad") };
        assert!(text.contains("--admin-listen"), "{text}");
        drop(taken);
        assert!(matches!(port("listen", address, None), Good(_)));
    }

    #[test]
    fn an_engine_that_is_away_is_bad_and_names_the_key() {
        let here = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = here.local_addr().expect("address");
        assert!(matches!(reach("nodes", &format!("http://{address}")), Good(_)));
        drop(here);
        let Bad(text) = reach("nodes", &address.to_string()) else { panic!("must be bad") };
        assert!(text.contains("`nodes`"), "{text}");
        assert!(matches!(reach("brokers", "no such host:1"), Bad(_)));
    }

    #[test]
    fn a_clock_that_went_back_is_seen() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("f"), b"x").expect("write");
        let now_ms = SystemClock.now_ms();
        assert!(matches!(clock(dir.path(), now_ms), Good(_)));
        assert!(matches!(clock(dir.path(), now_ms - 3_600_000), Bad(_)));
        assert!(matches!(clock(dir.path(), 1_000), Bad(_)));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_bad() {
        assert!(matches!(data_dir(Path::new("/proc/sluice")), Bad(_)));
    }
}
