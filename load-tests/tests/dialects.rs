//! Every kind of load against a gateway of its own: each event has one fate, the
//! gateway counts them as the run was told, and what was acknowledged is in the
//! embedded log once, whatever id the dialect gave it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use load_tests::check::readback::Place;
use load_tests::check::{Verdict, against_log};
use load_tests::drive::forge::Mix;
use load_tests::drive::kind::Kind;
use load_tests::drive::tally::Counts;
use load_tests::drive::{Outcome, Plan};
use load_tests::gateway::{Gateway, Start};

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
/// More than are written out, so that the rest differ by their ids alone.
const BATCHES: u64 = 300;
const BATCH: usize = 10;

/// A run that has ended, and its gateway too.
struct Ended {
    dir: tempfile::TempDir,
    counts: Counts,
    /// As the gateway counted them, by fate.
    fates: BTreeMap<String, u64>,
}

async fn run(kind: Kind) -> Ended {
    let dir = tempfile::tempdir().expect("temp dir");
    let data_dir = dir.path().join("data");
    let start = || Start::new(Path::new(BIN), &data_dir).run().expect("starts");
    let gateway = tokio::task::block_in_place(start);
    let plan = Plan {
        connections: 4,
        batch: BATCH,
        mix: Mix::REAL,
        ledger: Some(dir.path().join("ledger")),
        ..Plan::saturating(kind, BATCHES)
    };
    let target = gateway.http.parse().expect("an address");
    let Outcome { counts, .. } = plan.run(&target, |_, _| ()).await.expect("a ledger");
    let fates = fates(&gateway).await;
    assert!(tokio::task::block_in_place(|| gateway.stop()), "ends cleanly");
    Ended { dir, counts, fates }
}

/// `sluice_append_events_total` by fate.
async fn fates(gateway: &Gateway) -> BTreeMap<String, u64> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("{}/metrics", gateway.admin)).send().await;
    let text = answer.expect("answers").text().await.expect("text");
    let mut fates = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("sluice_append_events_total{")) {
        let (labels, value) = line.rsplit_once(' ').expect("a sample");
        let fate = labels.split("fate=\"").nth(1).and_then(|rest| rest.split('"').next());
        let value: u64 = value.parse().expect("a count");
        *fates.entry(fate.expect("a fate").to_owned()).or_default() += value;
    }
    fates
}

// === impl Ended ===

impl Ended {
    fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    async fn verdict(&self) -> Verdict {
        let place = Place::Embedded(self.dir.path().join("data"));
        against_log(&[self.ledger()], &place).await.expect("readable")[0]
    }

    /// All that holds of every kind.
    async fn holds(&self) {
        let Self { counts, fates, .. } = self;
        let fate = |name: &str| fates.get(name).copied().unwrap_or_default();
        let sent = BATCHES * BATCH as u64;
        assert_eq!((counts.batches, counts.lost, counts.refused.len()), (BATCHES, 0, 0));
        let told = counts.accepted + counts.duplicates + counts.rejected + counts.untold;
        assert_eq!((told, counts.retry), (sent, 0), "{counts:?}");
        let had = fate("accepted") + fate("duplicate") + fate("rejected");
        assert_eq!(had, sent, "{fates:?}");
        assert!(fate("duplicate") > 0, "whole batches are resent: {fates:?}");
        assert!((10..80).contains(&fate("rejected")), "one in a hundred is bad: {fates:?}");
        let verdict = self.verdict().await;
        assert!(verdict.clean(), "{}", verdict.words());
        assert_eq!(verdict.acknowledged, fate("accepted"), "{fates:?}");
    }
}

/// The dialect tells the fate of each event, or counts them.
async fn all_is_told(kind: Kind) -> Ended {
    let ended = run(kind).await;
    ended.holds().await;
    let Ended { counts, fates, .. } = &ended;
    assert_eq!(counts.untold, 0, "{counts:?}");
    for (name, count) in [
        ("accepted", counts.accepted),
        ("duplicate", counts.duplicates),
        ("rejected", counts.rejected),
    ] {
        assert_eq!(fates[name], count, "{name}: {counts:?}");
    }
    ended
}

/// The dialect tells how many were rejected, and no more.
async fn rejects_are_told(kind: Kind) {
    let ended = run(kind).await;
    ended.holds().await;
    let Ended { counts, fates, .. } = &ended;
    assert_eq!((counts.accepted, counts.duplicates), (0, 0), "{counts:?}");
    assert_eq!(fates["rejected"], counts.rejected, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sensors() {
    let ended = run(Kind::Sensors).await;
    ended.holds().await;
    assert_eq!(ended.counts.untold, BATCHES * BATCH as u64, "a 200 says nothing of events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datarangers() {
    all_is_told(Kind::DataRangers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudevents() {
    all_is_told(Kind::CloudEvents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segment() {
    all_is_told(Kind::Segment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_json() {
    rejects_are_told(Kind::OtlpJson).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_protobuf() {
    rejects_are_told(Kind::OtlpProtobuf).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_grpc() {
    rejects_are_told(Kind::OtlpGrpc).await;
}

/// An id that the gateway made is found again, or missed: a ledger that says more
/// than the log has, and one that says less, are both found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_lies_is_found_out() {
    let ended = run(Kind::Sensors).await;
    let text = ended.ledger().join("ledger.txt");
    let told = std::fs::read_to_string(&text).expect("a ledger");
    // Acknowledged, and nowhere.
    std::fs::write(&text, told.clone() + "sent 900\ntold 900 10K\n").expect("written");
    let verdict = ended.verdict().await;
    assert_eq!((verdict.lost, verdict.made_up), (10, 0), "{}", verdict.words());
    // Rejected, and there.
    let batch = told.lines().find_map(|line| line.strip_suffix(" 10K")?.strip_prefix("told "));
    let batch = batch.expect("a batch without a bad event");
    let fewer = told.lines().filter(|line| *line != format!("told {batch} 10K"));
    let fewer = fewer.collect::<Vec<_>>().join("\n") + &format!("\ntold {batch} 10R\n");
    std::fs::write(&text, fewer).expect("written");
    let verdict = ended.verdict().await;
    assert_eq!((verdict.lost, verdict.made_up), (0, 10), "{}", verdict.words());
}
