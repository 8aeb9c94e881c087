//! Builds a peer from its Go modules, once: the binary is kept outside the source,
//! under a name that changes with what it is built from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::population::Random;

/// What a binary is built from.
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];

/// The folder that holds the sources and configs of the peers.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The binary of a peer, built where it is not in `build_dir` yet.
///
/// # Errors
/// What is missing, or what the Go compiler said.
pub fn binary(peer: &str, build_dir: &Path) -> Result<PathBuf, String> {
    let source = sources().join(peer);
    let mut all = Vec::new();
    for name in SOURCES {
        let path = source.join(name);
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        all.extend(text);
    }
    let binary = build_dir.join(format!("{peer}-{:016x}", digest(&all)));
    if binary.is_file() {
        return Ok(binary);
    }
    eprintln!("{peer}: building {} (minutes, once)", binary.display());
    std::fs::create_dir_all(build_dir)
        .map_err(|error| format!("{}: {error}", build_dir.display()))?;
    // What was broken off has another name.
    let unfinished = binary.with_extension(format!("{}.part", std::process::id()));
    let output = Command::new("go")
        .args(["build", "-trimpath", "-o"])
        .arg(&unfinished)
        .arg(".")
        .current_dir(&source)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("go: {error}: peers are built with Go 1.26 or later"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{peer}: go build: {}\n{said}", output.status));
    }
    std::fs::rename(&unfinished, &binary)
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    Ok(binary)
}

/// The version of a module in a peer's `go.mod`; `?` where it is not required.
pub fn version(peer: &str, module: &str) -> String {
    let text = std::fs::read_to_string(sources().join(peer).join("go.mod")).unwrap_or_default();
    required(&text, module).unwrap_or("?").to_owned()
}

fn required<'t>(go_mod: &'t str, module: &str) -> Option<&'t str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next()? == module).then(|| words.next())?
    })
}

/// Tells sources apart; nobody forges them.
fn digest(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        Random::new(state ^ u64::from_le_bytes(word)).bits()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_are_required() {
        let text = "module m\n\nrequire a.b/c v1.2.3\nrequire (\n\ta.b/d v0.4.0 // indirect\n)\n";
        assert_eq!(required(text, "a.b/c"), Some("v1.2.3"));
        assert_eq!(required(text, "a.b/d"), Some("v0.4.0"));
        assert_eq!(required(text, "a.b"), None);
    }

    #[test]
    fn a_changed_source_is_another_binary() {
        assert_eq!(digest(b"package main"), digest(b"package main"));
        assert_ne!(digest(b"package main"), digest(b"package Main"));
        assert_ne!(digest(b"a"), digest(b"a\0"));
    }

    #[test]
    fn every_peer_says_its_version() {
        for (peer, module) in super::super::system::MODULES {
            assert!(version(peer, module).starts_with('v'), "{peer}: {module}");
        }
    }
}
