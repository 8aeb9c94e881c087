//! The generator and the check of its ledger, against a real gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use load_tests::check::against_log;
use load_tests::check::readback::Place;
use load_tests::drive::forge::Mix;
use load_tests::drive::kind::Kind;
use load_tests::drive::{Outcome, Plan};
use load_tests::gateway::{Gateway, Start};

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
const KINDS: [Kind; 5] = [Kind::Json, Kind::JsonGzip, Kind::Protobuf, Kind::Grpc, Kind::GrpcStream];

async fn drive(gateway: &Gateway, kind: Kind, ledger: PathBuf) -> Outcome {
    let plan = Plan {
        rate: Some(1_000.0),
        time: Duration::from_secs(1),
        connections: 4,
        batch: 10,
        mix: Mix { resent: 200, ..Mix::REAL },
        ledger: Some(ledger),
        ..Plan::saturating(kind, u64::MAX)
    };
    let target = gateway.http.parse().expect("an address");
    plan.run(&target, |_, _| ()).await.expect("a ledger can be written")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_log_whatever_it_was_sent_as() {
    let dir = tempfile::tempdir().expect("temp dir");
    let data_dir = dir.path().join("data");
    let gateway = Start::new(Path::new(BIN), &data_dir).run().expect("starts");
    let ledgers = KINDS.map(|kind| dir.path().join(kind.name()));
    for (kind, ledger) in KINDS.into_iter().zip(&ledgers) {
        let Outcome { counts, .. } = drive(&gateway, kind, ledger.clone()).await;
        let name = kind.name();
        assert_eq!((counts.lost, counts.refused.len()), (0, 0), "{name}: {counts:?}");
        let all = counts.accepted + counts.duplicates + counts.rejected;
        assert_eq!(all, counts.batches * 10, "{name}: each event has one fate: {counts:?}");
        assert!(counts.duplicates > 0, "{name}: resends are known: {counts:?}");
        assert!(counts.rejected > 0, "{name}: bad events are refused: {counts:?}");
    }
    assert!(tokio::task::block_in_place(|| gateway.stop()), "ends cleanly");
    let place = Place::Embedded(data_dir);
    for (verdict, kind) in against_log(&ledgers, &place).await.expect("readable").iter().zip(KINDS)
    {
        assert!(verdict.clean(), "{}: {}", kind.name(), verdict.words());
    }
    // A gateway that acknowledged what it never wrote would be seen.
    let text = ledgers[0].join("ledger.txt");
    let told = std::fs::read_to_string(&text).expect("a ledger") + "told 999 10A\n";
    std::fs::write(&text, told).expect("written");
    let verdicts = against_log(&ledgers[..1], &place).await.expect("readable");
    assert_eq!(verdicts[0].lost, 10, "{}", verdicts[0].words());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_not_there_is_told_and_not_waited_for() {
    let plan = Plan {
        rate: Some(1_000.0),
        time: Duration::from_millis(300),
        connections: 2,
        ..Plan::saturating(Kind::Json, u64::MAX)
    };
    let target = "http://127.0.0.1:1".parse().expect("an address");
    let outcome = plan.run(&target, |_, _| ()).await.expect("runs");
    assert!(outcome.counts.lost > 0 && outcome.counts.lost_why.is_some(), "{:?}", outcome.counts);
    assert_eq!(outcome.counts.accepted, 0);
}
