//! The command line from the outside: what it says, what it does, how it ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use load_tests::crowd::now_ms;
use load_tests::gateway::{Start, settled};
use load_tests::population::{Population, Sent};
use load_tests::sender::Sender;
use load_tests::verdict::{check_book, counted_by_id};

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");

/// Runs a command to its end; exit code, and all that it said.
fn sluice(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(BIN).args(arguments).stdin(Stdio::null()).output().expect("runs");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.code(), said.concat())
}

/// Must succeed; what it said.
#[track_caller]
fn good(arguments: &[&str]) -> String {
    let (code, said) = tokio::task::block_in_place(|| sluice(arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn ndjson(path: &Path, events: &[Sent], bad_line: usize) {
    let mut file = std::fs::File::create(path).expect("create");
    for (at, event) in events.iter().enumerate() {
        let mut event = event.json();
        if at + 1 == bad_line {
            event["name"] = "no such name".into();
        }
        writeln!(file, "{event}").expect("write");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_goes_on_after_an_interruption_and_names_what_was_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let data_dir = dir.path().join("data");
    let gateway = Start::new(Path::new(BIN), &data_dir).run().expect("starts");
    let file = dir.path().join("events.ndjson");
    let events = Population::new(3, "send", 100, 10).events(6_000, now_ms());
    let bad_line = 5_900;
    ndjson(&file, &events, bad_line);
    let arguments = [
        "send",
        text(&file),
        "--url",
        &gateway.http,
        "--key",
        "demo-write-key",
        "--batch-events-max",
        "20",
    ];
    let place = PathBuf::from(format!("{}.sluice-sent", file.display()));
    let mut interrupted =
        Command::new(BIN).args(arguments).stdout(Stdio::null()).spawn().expect("runs");
    let begun = Instant::now();
    while !place.exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing was sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    interrupted.kill().expect("still at work");
    interrupted.wait().expect("ended");
    assert!(place.exists(), "it was not finished yet");

    let said = good(&arguments);
    assert!(said.contains("going on from byte "), "{said}");
    let refused = format!("{}:{bad_line}: rejected: name_invalid", file.display());
    assert!(said.contains(&refused), "{said}");
    assert!(said.contains("rejected 1"), "{said}");
    assert!(!place.exists(), "all is sent");
    let again = good(&arguments);
    assert!(again.contains("accepted 0, duplicates 5999, rejected 1"), "{again}");
    settled(Sender::new().client(), &gateway.admin).await.expect("settles");
    let counted = counted_by_id(Sender::new().client(), &gateway.http).await.expect("answers");
    assert_eq!(counted.len(), 5_999);
    assert!(counted.values().all(|count| *count == 1), "counted twice");
    assert!(gateway.stop(), "a drain ends cleanly");

    let wrong_key = tokio::task::block_in_place(|| {
        sluice(&[
            "send",
            text(&file),
            "--url",
            "http://127.0.0.1:1",
            "--key",
            "k",
            "--attempts-max",
            "1",
        ])
    });
    assert_eq!(wrong_key.0, Some(1), "{}", wrong_key.1);
    assert!(wrong_key.1.contains("run the same command again"), "{}", wrong_key.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_works_beside_a_running_process_and_without_one() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (sender, start) = (Sender::new(), Start::new(Path::new(BIN), dir.path()));
    let gateway = start.run().expect("starts");
    let events = Population::new(4, "replay", 50, 5).events(400, now_ms());
    for events in events.chunks(40) {
        sender.post(&gateway.http, events, now_ms()).await.expect("taken");
    }
    settled(sender.client(), &gateway.admin).await.expect("settles");
    let command =
        |store| ["replay", "--data-dir", text(dir.path()), "--store", store, "--from", "start"];
    let beside = good(&command("documents"));
    assert!(beside.contains("documents: up to date, "), "{beside}");
    check_book(&sender, &gateway.http, true).await.expect("exact");
    assert!(gateway.stop(), "a drain ends cleanly");

    for store in ["documents", "rows"] {
        let alone = good(&command(store));
        assert!(alone.contains(&format!("{store}: up to date, ")), "{alone}");
        assert!(!alone.contains("up to date, 0 records"), "{alone}");
    }
    assert!(!dir.path().join("addresses.json").exists());
    let (code, said) = tokio::task::block_in_place(|| sluice(&command("dokuments")));
    assert!(code != Some(0) && said.contains("documents") && said.contains("rows"), "{said}");
    let gateway = start.run().expect("starts again");
    settled(sender.client(), &gateway.admin).await.expect("settles");
    check_book(&sender, &gateway.http, true).await.expect("exact");
    assert!(gateway.stop(), "a drain ends cleanly");
    let none = dir.path().join("none");
    let nowhere = ["replay", "--data-dir", text(&none), "--store", "rows", "--from", "start"];
    let (code, said) = tokio::task::block_in_place(|| sluice(&nowhere));
    assert!(code == Some(64) && said.contains("is not a data directory"), "{code:?} {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_listed_shown_and_handed_in_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let sender = Sender::new();
    let start = Start::new(Path::new(BIN), dir.path());
    let letters = |rest: &[&str]| {
        good(&[&["dead-letters"], rest, &["--data-dir", text(dir.path())]].concat())
    };
    let gateway = start.clone().env("SLUICE_FAULT", "refuse:letter-7").run().expect("starts");
    assert!(letters(&["list"]).contains("no dead letters"));
    let events = Population::new(5, "letter", 50, 5).events(30, now_ms());
    sender.post(&gateway.http, &events, now_ms()).await.expect("taken");
    settled(sender.client(), &gateway.admin).await.expect("a refused event holds up nothing");
    let counted = counted_by_id(sender.client(), &gateway.http).await.expect("answers");
    assert!(counted.len() == 29 && !counted.contains_key("letter-7"), "{}", counted.len());

    let listed = letters(&["list"]);
    let line = listed.lines().find(|line| line.contains("documents")).expect("a letter");
    assert!(line.contains("injected: refused"), "{listed}");
    let id = line.split_whitespace().next().expect("an id");
    let shown = letters(&["show", id]);
    assert!(shown.contains("\"letter-7\"") && shown.contains("injected: refused"), "{shown}");
    assert!(letters(&["replay", id]).contains("replayed 0, refused again 1"));
    assert!(gateway.stop(), "a drain ends cleanly");

    assert!(!letters(&["list"]).contains("(replayed)"), "kept, and readable without a process");
    let gateway = start.run().expect("starts without the fault");
    assert!(letters(&["replay", "--all"]).contains("replayed 1, refused again 0"));
    assert!(letters(&["list"]).contains("(replayed)"));
    assert!(letters(&["replay", "--all"]).contains("replayed 0, refused again 0"));
    settled(sender.client(), &gateway.admin).await.expect("settles");
    assert_eq!(check_book(&sender, &gateway.http, true).await.map(|all| all.len()), Ok(30));
    assert!(gateway.stop(), "a drain ends cleanly");
}

/// Flips one byte in the middle of the log's only segment.
fn flip_a_byte(data_dir: &Path) {
    let folder = std::fs::read_dir(data_dir.join("log/p-0000")).expect("a partition");
    let mut segments = folder.flatten().map(|entry| entry.path());
    let segment = segments.find(|path| path.extension().is_some_and(|it| it == "seg"));
    let segment = segment.expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("records");
    bytes[used / 2] ^= 0x10;
    std::fs::write(&segment, bytes).expect("write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_refused_named_repaired_and_the_rest_is_counted() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (data_dir, config) = (dir.path().join("data"), dir.path().join("sluice.toml"));
    let ports = "listen = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\n[log]\npartitions = 1\n";
    std::fs::write(&config, ports).expect("write");
    let start = |role| {
        let start = Start::new(Path::new(BIN), &data_dir).role(role);
        start.flag("--config", config.display()).run()
    };
    let (sender, collect) = (Sender::new(), start("collect").expect("starts"));
    let events = Population::new(6, "damage", 50, 5).events(400, now_ms());
    for events in events.chunks(10) {
        sender.post(&collect.http, events, now_ms()).await.expect("taken");
    }
    assert!(collect.stop(), "a drain ends cleanly");
    let doctor = ["doctor", "--config", text(&config), "--data-dir", text(&data_dir)];
    let said = good(&doctor);
    assert!(said.lines().count() > 5 && !said.contains("BAD"), "{said}");

    flip_a_byte(&data_dir);
    let Err(refused) = start("serve") else { panic!("serves a damaged log") };
    let repair = format!("sluice doctor --repair-log --data-dir {}", data_dir.display());
    assert!(refused.contains(&repair) && refused.contains("damaged at byte"), "{refused}");
    let arguments: Vec<&str> = repair.split(' ').skip(1).collect();
    let said = good(&arguments);
    let lost = said.lines().find(|line| line.contains(" records lost")).expect("told");
    let lost: usize = lost
        .split(" records lost")
        .next()
        .and_then(|text| text.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    let again = good(&arguments);
    assert!(again.contains("no damage"), "{again}");

    let gateway = start("serve").expect("serves again");
    settled(sender.client(), &gateway.admin).await.expect("settles");
    let counted = counted_by_id(sender.client(), &gateway.http).await.expect("answers");
    assert!(lost >= 1 && counted.len() == 400 - 10 * lost, "{lost} lost, {}", counted.len());
    assert!(counted.values().all(|count| *count == 1), "counted twice");
    // What was lost can be sent again: its ids are not known any more.
    for events in events.chunks(10) {
        sender.post(&gateway.http, events, now_ms()).await.expect("taken");
    }
    settled(sender.client(), &gateway.admin).await.expect("settles");
    assert_eq!(check_book(&sender, &gateway.http, true).await.map(|all| all.len()), Ok(400));
    assert!(gateway.stop(), "a drain ends cleanly");
}

#[test]
fn config_tells_origins_and_no_secret_and_refuses_unknown_keys() {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("sluice.toml");
    let config = "[drain]\ndeadline_ms = 5000\n[apps.shop]\nwrite_keys = ['w-secret-0123']\n\
                  read_tokens = ['r-secret-0123']\n[[apps.shop.server_keys]]\n\
                  key = 's-secret-0123'\nhmac_secret = 'h-secret-0123'\n";
    std::fs::write(&file, config).expect("write");
    let output = Command::new(BIN)
        .args(["config", "--listen", "127.0.0.1:9", "--config", text(&file)])
        .env("SLUICE_LOG__PARTITIONS", "2")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("secret-0123") && said.contains("***"), "{said}");
    let origin = |key: &str| {
        let line = said.lines().find(|line| line.starts_with(key)).expect("every value is shown");
        line.split_once('#').expect("with its origin").1.trim().to_owned()
    };
    assert_eq!(origin("listen = "), "flag --listen");
    assert_eq!(origin("partitions = 2"), "env SLUICE_LOG__PARTITIONS");
    assert_eq!(origin("deadline_ms = 5000"), format!("file {}", file.display()));
    assert_eq!(origin("segment_bytes_max = "), "default");

    std::fs::write(&file, "[log]\npartitons = 2\n").expect("write");
    for command in ["config", "serve"] {
        let (code, said) = sluice(&[command, "--config", text(&file)]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains("sluice.toml") && said.contains("line 2"), "{said}");
        assert!(said.contains("did you mean `partitions`?"), "{said}");
    }
}
