//! The inputs of the fuzz targets that are kept (finds, minimised), and their seeds
//! (the golden vectors), through the very function that the targets run.
//!
//! A crash that a fuzz run has just left in `fuzz/artifacts` is replayed too, so
//! that it is red here until it is mended.

#[path = "../fuzz/exercise.rs"]
mod exercise;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use exercise::TARGETS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files of a folder that may be missing, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// How many of them were read.
fn replay(target: &str, inputs: &[PathBuf]) -> usize {
    let mut read = 0;
    for path in inputs {
        let input = fs::read(path).expect("readable");
        // Shown only where it fails: which input it was.
        eprintln!("{target}: {}", path.display());
        read += usize::from(exercise::exercise(target, &input));
    }
    read
}

#[test]
fn seeds() {
    let vectors = root().join("sdk-spec/vectors");
    for target in TARGETS {
        let Some(kind) = target.kind else { continue };
        let folder = if target.name == "grpc" { "native" } else { kind.name() };
        let mut inputs = files(&vectors.join(folder));
        inputs.retain(|path| path.extension().is_some_and(|extension| extension == "http"));
        assert!(inputs.len() > 5, "{}: {} vectors", target.name, inputs.len());
        // gRPC's own framing is in no vector; its kept inputs have it.
        inputs.extend(files(&root().join("gateway/wire/fuzz/corpus-kept").join(target.name)));
        let read = replay(target.name, &inputs);
        assert!(read >= 1, "{}: {read} of {} seeds are read", target.name, inputs.len());
    }
}

#[test]
fn kept_and_crashes() {
    let fuzz = root().join("gateway/wire/fuzz");
    for target in TARGETS {
        for folder in ["corpus-kept", "artifacts"] {
            replay(target.name, &files(&fuzz.join(folder).join(target.name)));
        }
    }
}

/// Every encoding, whole, cut off at each byte, and with a byte changed.
#[test]
fn inflate() {
    let plain = br#"{"events":[{"id":"a","name":"b","time":1,"device_id":"c"}]}"#.repeat(9);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).and_then(|()| zlib.write_all(&plain)).expect("in memory");
    let bodies = [
        gzip.finish().expect("in memory"),
        zlib.finish().expect("in memory"),
        zstd::bulk::compress(&plain, 1).expect("in memory"),
        plain,
    ];
    for (which, body) in bodies.iter().enumerate() {
        let input = [&[which as u8], &body[..]].concat();
        assert!(exercise::exercise("inflate", &input));
        for at in 1..input.len() {
            exercise::exercise("inflate", &input[..at]);
            let mut changed = input.clone();
            changed[at] ^= 0x41;
            exercise::exercise("inflate", &changed);
        }
    }
}

#[test]
fn each_target_has_its_file_and_its_entry() {
    let fuzz = root().join("gateway/wire/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("text");
    let named: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let found: BTreeSet<_> = files(&fuzz.join("targets"))
        .iter()
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(named, found);
    for name in named {
        let text = fs::read_to_string(fuzz.join(format!("targets/{name}.rs"))).expect("text");
        assert!(text.contains(&format!("exercise(\"{name}\", input)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let all = sluice_wire::dialects::ALL.iter().map(|dialect| dialect.kind());
    let fuzzed: Vec<_> = TARGETS.iter().filter_map(|target| target.kind).collect();
    all.for_each(|kind| assert!(fuzzed.contains(&kind), "{kind:?} has no fuzz target"));
}
