//! Config that cannot be meant: the process refuses to start, names the place
//! and says what is allowed.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::BIN;

/// Exit status for a command line or config that is wrong (`EX_USAGE`).
const USAGE: i32 = 64;

/// Runs `serve` with a config file and variables until it ends by itself.
fn refused(file: Option<&str>, vars: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut command = Command::new(BIN);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(dir.path().join("data"));
    if let Some(text) = file {
        let path = dir.path().join("sluice.toml");
        std::fs::write(&path, text).expect("written");
        command.arg("--config").arg(path);
    }
    command.envs(vars.iter().copied()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let begun = Instant::now();
    while child.try_wait().expect("waits").is_none() {
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().expect("ends");
            panic!("{file:?} {vars:?}: was not refused");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let Output { status, stderr, .. } = child.wait_with_output().expect("ended");
    let text = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(USAGE), "{file:?} {vars:?}: {text}");
    assert!(!dir.path().join("data").exists(), "nothing may be made before the config is right");
    text
}

#[test]
fn unknown_keys_are_refused_with_place_and_nearest() {
    for (file, parts) in [
        ("[log]\npartitons = 4\n", &["sluice.toml", "line 2", "did you mean `partitions`?"][..]),
        ("lisen = '127.0.0.1:0'\n", &["line 1", "did you mean `listen`?"]),
        ("[wir]\n", &["line 1", "did you mean `wire`?"]),
        ("[apps.shop]\nwrite_key = 'a'\n", &["line 2", "did you mean `write_keys`?"]),
        ("[apps.shop.limits]\nbatch_event_max = 1\n", &["did you mean `batch_events_max`?"]),
    ] {
        let text = refused(Some(file), &[]);
        assert!(parts.iter().all(|part| text.contains(part)), "{file}: {text}");
    }
    let text = refused(None, &[("SLUICE_WIRE__HEADER_TIMOUT_MS", "5")]);
    assert!(text.contains("env SLUICE_WIRE__HEADER_TIMOUT_MS"), "{text}");
    assert!(text.contains("did you mean `header_timeout_ms`?"), "{text}");
    // Without the check these would silently change nothing.
    for (name, meant) in [
        ("SLUICE_DATADIR", "`SLUICE_DATA_DIR`?"),
        ("SLUICE_WIRE_HEADER_TIMEOUT_MS", "`SLUICE_WIRE__HEADER_TIMEOUT_MS`?"),
    ] {
        let text = refused(None, &[(name, "5")]);
        assert!(text.contains(name) && text.contains(meant), "{text}");
    }
}

#[test]
fn bad_values_are_refused_with_place_and_range() {
    for (file, parts) in [
        ("[log]\npartitions = 0\n", &["log.partitions = 0", "1 to 1024"][..]),
        ("[log]\npartitions = 'four'\n", &["line 2", "partitions", "expected u32"]),
        ("[apps.shop]\nwrite_keys = ['a b']\n", &["apps.shop.write_keys[0]", "visible ASCII"]),
        ("[apps.shop]\npast_max_ms = 1\n", &["apps.shop.past_max_ms", "60000 to 31622400000"]),
        ("[apps.'a b']\n", &["apps.a b", "A-Z a-z 0-9"]),
        ("[apps.a]\nwrite_keys=['k']\n[apps.b]\nwrite_keys=['k']\n", &["is the same as"]),
        ("[log\n", &["line 1", "unclosed table"]),
        ("[apps.a]\nwrite_keys = [{ env = 'NOBODY_SETS_THIS' }]\n", &["NOBODY_SETS_THIS"]),
        (
            "[apps.a]\nwrite_keys = [{ env = 'PATH' }]\npast_max_ms = 'x'\n",
            &["past_max_ms", "sluice.toml", "expected i64"],
        ),
    ] {
        let text = refused(Some(file), &[]);
        assert!(parts.iter().all(|part| text.contains(part)), "{file}: {text}");
    }
    let text = refused(None, &[("SLUICE_WIRE__HEADER_TIMEOUT_MS", "soon")]);
    for part in ["wire.header_timeout_ms", "SLUICE_WIRE__HEADER_TIMEOUT_MS", "soon"] {
        assert!(text.contains(part), "{text}");
    }
    let text = refused(None, &[("SLUICE_WIRE__HEADER_TIMEOUT_MS", "0")]);
    assert!(text.contains("wire.header_timeout_ms") && text.contains("at least 1"), "{text}");
}
