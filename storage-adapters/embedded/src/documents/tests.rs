//! The contract, and answers held against those of the memory store.

use proptest::prelude::*;
use sluice_memory::documents::MemoryDocuments;
use sluice_seams::contract::document_store::{ask, sorted, suite, survives_reopen};
use sluice_seams::contract::sample::{self, DAY, assorted, filters};
use sluice_seams::question::Ask;
use sluice_seams::{EventDocument, Field, Filter, GroupKey, Measure, NamedField};

use super::*;

fn open(dir: &std::path::Path) -> EmbeddedDocuments {
    let mut config = DocumentsConfig::new(dir);
    config.writer_heap_bytes = WRITER_HEAP_BYTES_MIN;
    config.open_writers_max = 2;
    EmbeddedDocuments::open(config).expect("a store opens")
}

#[tokio::test]
async fn keeps_the_contract() {
    suite(|| async {
        let dir = tempfile::tempdir().expect("a folder");
        (open(dir.path()), dir)
    })
    .await;
}

#[tokio::test]
async fn survives_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    survives_reopen(|| async { open(dir.path()) }).await;
}

#[tokio::test]
async fn a_value_too_long_for_a_column_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(schema::VALUE_BYTES_MAX + 1));
    let bad = sample::document("demo", "e-1", "e", 0, "d", "", |event, _| {
        sample::properties(event, &long);
    });
    let good = sample::page_view("demo", "e-2", 0, "d", "p");
    let writes = [bad, good].map(DocumentWrite::Event).to_vec();
    let report = store.write(writes).await.expect("a write");
    assert_eq!(report.refused.iter().map(|one| one.index).collect::<Vec<_>>(), [0]);
    assert!(report.refused[0].detail.contains("65535"), "{:?}", report.refused);
    assert_eq!(store.status().await.entries, Some(1));
    store.close().await.expect("close");
    let outcome = store.write(Vec::new()).await;
    assert!(matches!(outcome, Err(StoreError::Poisoned(_))), "closed: {outcome:?}");
}

#[tokio::test]
async fn many_small_writes_leave_few_segments() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for n in 0..60 {
        let one = sample::page_view("demo", &format!("e-{n}"), n, "d", "p");
        store.write(vec![DocumentWrite::Event(one)]).await.expect("a write");
    }
    store.close().await.expect("close");
    let views = store.0.days.searchers();
    let segments: usize = views.iter().map(|(_, view)| view.segment_readers().len()).sum();
    assert!(segments <= 12, "{segments} segments");
    assert_eq!(store.status().await.entries, Some(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_share_a_commit_and_keep_their_own_reports() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(schema::VALUE_BYTES_MAX + 1));
    let calls: Vec<_> = {
        let _turn = store.0.writing.lock();
        let calls = (0..4).map(|n| {
            let bad = sample::document("demo", &format!("bad-{n}"), "e", 0, "d", "", |event, _| {
                sample::properties(event, &long);
            });
            let own = sample::page_view("demo", &format!("own-{n}"), 0, "d", "p");
            let common = sample::page_view("demo", "common", 0, "d", "p");
            let (store, own_too) = (store.clone(), n % 2 == 0);
            let mut writes = vec![bad, common];
            writes.extend(own_too.then_some(own));
            let writes = writes.into_iter().map(DocumentWrite::Event).collect();
            tokio::spawn(async move { store.write(writes).await })
        });
        let calls = calls.collect();
        while store.0.waiting.len() < 4 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        calls
    };
    let mut existing = 0;
    for call in calls {
        let report = call.await.expect("no panic").expect("a write");
        assert_eq!(report.refused.iter().map(|one| one.index).collect::<Vec<_>>(), [0]);
        assert!(report.existing <= 1, "counted for the call that brought it");
        existing += report.existing;
    }
    assert_eq!(existing, 3, "one of four was first");
    assert_eq!(store.status().await.entries, Some(3));
    let views = store.0.days.searchers();
    assert_eq!(views[0].1.segment_readers().len(), 1, "one commit for all");
}

fn fields() -> Vec<Field> {
    use NamedField as F;
    let property = |path: &str| Field::Property(path.to_owned());
    [F::Name, F::User, F::DeviceId, F::Platform, F::PagePath, F::TzOffsetMin]
        .map(Field::Named)
        .into_iter()
        .chain([property("tags"), property("price"), property("deep.er"), property("none")])
        .chain([Field::Id("openid".to_owned())])
        .collect()
}

fn filter() -> impl Strategy<Value = Filter> {
    prop::sample::select(filters()).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
}

fn group_key() -> impl Strategy<Value = GroupKey> {
    let edges = prop::collection::btree_set(-10i64..80, 0..5).prop_map(|hours| {
        GroupKey::Time(hours.into_iter().map(|hour| DAY.start_ms() + hour * 3_600_000).collect())
    });
    prop_oneof![edges, prop::sample::select(fields()).prop_map(GroupKey::Field)]
}

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![
        filter().prop_map(Measure::Count),
        filter().prop_map(Measure::Users),
        (prop::sample::select(fields()), filter()).prop_map(|(f, pass)| Measure::Distinct(f, pass)),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let keys = prop::collection::vec(group_key(), 0..4);
    let groups = (keys, prop::collection::vec(measure(), 1..4), 0usize..200)
        .prop_map(|(by, measures, groups_max)| Ask::Groups { by, measures, groups_max });
    let visits = (prop::collection::vec(prop::sample::select(fields()), 0..3), 0usize..80)
        .prop_map(|(fields, visits_max)| Ask::Visits { fields, visits_max });
    let source = prop::sample::select(vec![Source::Events, Source::FirstSeen, Source::Follows]);
    (prop_oneof![3 => groups, 1 => visits], source, filter(), -5i64..70, 0i64..80).prop_map(
        |(kind, source, filter, from, hours)| {
            let mut question = ask(kind);
            question.source = source;
            question.filter = filter;
            question.from_ms = DAY.start_ms() + from * 3_600_000;
            question.to_ms = question.from_ms + hours * 3_600_000;
            question
        },
    )
}

/// Documents of two apps over some days, each possibly filed under another day.
fn documents() -> impl Strategy<Value = Vec<EventDocument>> {
    let one = (prop::sample::select(assorted()), 0i32..3, 0u8..5);
    let filed = one.prop_map(|(one, day, app)| {
        let one = sample::filed_under(one, Day(DAY.0 + day));
        if app > 0 {
            return one;
        }
        let (id, time) = (one.inner().id.clone(), one.time_ms());
        sample::document("other", &id, "pay", time, "d-1", "", |_, _| {})
    });
    prop::collection::vec(filed, 0..120)
}

/// The same answer, in an order that can be compared.
fn comparable(answer: Result<Table, StoreError>) -> Result<Table, bool> {
    match answer {
        Ok(Table::Groups(groups)) => Ok(Table::Groups(sorted(groups))),
        Ok(visits) => Ok(visits),
        Err(error) => Err(matches!(error, StoreError::Refused(_))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_the_memory_store_does(
        documents in documents(),
        questions in prop::collection::vec(question(), 60),
        parts in 1usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a folder");
            let (store, memory) = (open(dir.path()), MemoryDocuments::default());
            for part in documents.chunks(documents.len() / parts + 1) {
                let writes: Vec<_> = part
                    .iter()
                    .flat_map(|one| {
                        let (a, b, c) = (one.clone(), one.clone(), one.clone());
                        [DocumentWrite::Event(a), DocumentWrite::FirstSeen(b), DocumentWrite::Follow(c)]
                    })
                    .collect();
                let wanted = memory.write(writes.clone()).await.expect("a write");
                let report = store.write(writes).await.expect("a write");
                prop_assert_eq!(report.existing, wanted.existing);
            }
            for question in questions {
                let wanted = comparable(memory.answer(question.clone()).await);
                let answer = comparable(store.answer(question.clone()).await);
                prop_assert_eq!(answer, wanted, "{:?}", question);
            }
            store.close().await.expect("close");
            Ok(())
        })?;
    }
}
