//! What only a real engine can show: killed in the middle of writing, indices
//! set read-only, templates of others, several processes starting at once.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_elasticsearch::ElasticsearchDocuments;
use sluice_memory::documents::MemoryDocuments;
use sluice_seams::contract::document_store::sorted;
use sluice_seams::contract::sample::{DAY, page_view};
use sluice_seams::{
    Day, DocumentStore, DocumentWrite, EventDocument, Key, StoreError, Table, WriteReport,
};
use support::random::{Random, event, question, writes};
use support::{Engine, Place};

/// Sends the same writes until they are taken, as fan out does.
async fn send(store: &ElasticsearchDocuments, writes: &[DocumentWrite]) -> (WriteReport, u32) {
    let began = Instant::now();
    let mut again = 0;
    loop {
        match store.write(writes.to_vec()).await {
            Ok(report) => return (report, again),
            Err(StoreError::Retry { after, detail }) => {
                assert!(began.elapsed() < Duration::from_secs(180), "{detail}");
                again += 1;
                tokio::time::sleep(after).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn killed_in_the_middle_of_writing_nothing_is_lost_or_doubled() {
    let engine = Arc::new(Engine::own());
    let place = Place::on(engine.clone());
    let mut config = place.config();
    (config.bulk_documents_max, config.request_timeout_ms) = (50, 5_000);
    let (store, memory) = (support::open(config).await, MemoryDocuments::default());
    let mut random = Random::new(21);
    let documents: Vec<EventDocument> = (0..2_000).map(|n| event(&mut random, n)).collect();
    let all = writes(&documents);
    memory.write(all.clone()).await.expect("write");
    let writing = {
        let (store, all) = (store.clone(), all.clone());
        tokio::spawn(async move {
            let mut again = 0;
            for part in all.chunks(250) {
                again += send(&store, part).await.1;
            }
            again
        })
    };
    tokio::time::sleep(Duration::from_millis(700)).await;
    let server = ["elasticsearch", "opensearch"][usize::from(engine.is_opensearch())];
    tokio::task::block_in_place(|| {
        engine.run("kill", &[server]);
        engine.run("start", &[server]);
    });
    let again = writing.await.expect("the writer ends");
    println!("sent again {again} times; {:?}", store.figures());
    assert!(store.figures().unreached > 0, "it was killed while writing");
    // Everything once more, as after a crash of the writer.
    let (report, _) = send(&store, &all).await;
    assert_eq!(report.refused.len(), 0);
    for n in 0..60 {
        let question = question(&mut random);
        let (wanted, given) =
            (memory.answer(question.clone()).await, store.answer(question.clone()).await);
        match (wanted, given) {
            (Ok(Table::Groups(wanted)), Ok(Table::Groups(given))) => {
                assert_eq!(sorted(given), sorted(wanted), "{n}: {question:?}");
            }
            (Ok(wanted), Ok(given)) => assert_eq!(given, wanted, "{n}: {question:?}"),
            (wanted, given) => assert!(wanted.is_err() && given.is_err(), "{n}: {question:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn read_only_indices_are_waited_for_and_named() {
    let place = Place::new();
    let store = place.open().await;
    let one = |id: &str| DocumentWrite::Event(page_view("demo", id, DAY.start_ms(), "d", "p"));
    store.write(vec![one("e-1")]).await.expect("write");
    assert_eq!(store.status().await.refusing, None);
    let settings = format!("{}events-*/_settings", place.prefix);
    place.request("PUT", &settings, r#"{"index.blocks.read_only_allow_delete": true}"#);
    let outcome = store.write(vec![one("e-2")]).await;
    assert!(matches!(outcome, Err(StoreError::Retry { .. })), "{outcome:?}");
    let refusing = store.status().await.refusing.expect("a reason");
    assert!(refusing.contains("read_only_allow_delete"), "{refusing}");
    place.request("PUT", &settings, r#"{"index.blocks.read_only_allow_delete": null}"#);
    let (report, _) = send(&store, &[one("e-1"), one("e-2")]).await;
    assert_eq!((report.existing, report.refused.len()), (1, 0));
    let status = store.status().await;
    assert_eq!((status.refusing, status.entries), (None, Some(2)));
    assert!(status.disk_bytes.is_some_and(|bytes| bytes > 0));
}

/// What the engine itself refuses: a term of more than 32,766 bytes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_document_that_the_engine_refuses_is_named_and_the_rest_is_taken() {
    let place = Place::new();
    let store = place.open().await;
    let long = "p".repeat(40_000);
    let one = |id: &str, path: &str| {
        DocumentWrite::Event(page_view("demo", id, DAY.start_ms(), "d", path))
    };
    let writes = vec![one("e-1", "p"), one("e-2", &long), one("e-3", "p")];
    let report = store.write(writes).await.expect("write");
    assert_eq!(report.refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [1]);
    assert_eq!(store.status().await.entries, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn an_event_is_found_by_its_key_alone() {
    let place = Place::new();
    let store = place.open().await;
    assert_eq!(store.find(Key(1)).await.expect("an answer"), None, "before any day is there");
    let documents: Vec<EventDocument> = (0..3)
        .map(|day| {
            let time = Day(DAY.0 + day).start_ms() + 7;
            page_view("demo", &format!("e-{day}"), time, "d", "p")
        })
        .collect();
    store
        .write(documents.iter().cloned().map(DocumentWrite::Event).collect())
        .await
        .expect("write");
    for one in &documents {
        let found = store.find(one.key).await.expect("an answer").expect("it is there");
        assert_eq!((found.position, found.day), (one.position, one.day));
        assert_eq!(found.fingerprint, one.event.fingerprint);
        assert_eq!(found.received_at_ms, one.received_at_ms);
    }
    assert_eq!(store.find(Key(1)).await.expect("an answer"), None);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn several_processes_start_at_once() {
    let place = Place::new();
    let stores = futures::future::join_all((0..6).map(|_| place.open())).await;
    let one = DocumentWrite::Event(page_view("demo", "e", DAY.start_ms(), "d", "p"));
    let writes = stores.iter().map(|store| store.write(vec![one.clone()]));
    let reports = futures::future::join_all(writes).await;
    let existing: u64 = reports.into_iter().map(|report| report.expect("write").existing).sum();
    assert_eq!(existing, 5, "one of six created it");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn templates_of_others_and_of_newer_programs_are_refused() {
    let place = Place::new();
    let prefix = &place.prefix;
    let foreign = format!("_index_template/{prefix}foreign");
    let body = format!(r#"{{"index_patterns":["{prefix}events-*"],"priority":900}}"#);
    place.request("PUT", &foreign, &body);
    let outcome = ElasticsearchDocuments::open(place.config(), support::deps()).await;
    let refused = |outcome: Option<StoreError>, why: &str| match outcome {
        Some(StoreError::Refused(detail)) => assert!(detail.contains(why), "{detail}"),
        other => panic!("{other:?}"),
    };
    refused(outcome.err(), "layout");
    place.request("DELETE", &foreign, "");
    drop(place.open().await);
    let body = format!(
        r#"{{"index_patterns":["{prefix}events-*"],"priority":500,"_meta":{{"managed_by":"sluice","version":9}}}}"#
    );
    place.request("PUT", &format!("_index_template/{prefix}events"), &body);
    let outcome = ElasticsearchDocuments::open(place.config(), support::deps()).await;
    refused(outcome.err(), "version 9");
}

/// A life-cycle policy is a setting of engines that have that plugin.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_policy_is_attached_or_refused_with_a_reason() {
    let place = Place::new();
    let mut config = place.config();
    config.ilm_policy = Some("keep-30-days".to_owned());
    let outcome = ElasticsearchDocuments::open(config, support::deps()).await;
    match outcome {
        Ok(_) => {
            let path = format!("_index_template/{}events", place.prefix);
            assert!(place.request("GET", &path, "").to_string().contains("keep-30-days"));
        }
        Err(StoreError::Refused(detail)) => {
            assert!(detail.contains("lifecycle"), "{detail}");
        }
        Err(other) => panic!("{other}"),
    }
}
