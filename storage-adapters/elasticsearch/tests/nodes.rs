//! What a store does when nodes push back, refuse, fall silent or go: against
//! scripted nodes.

mod support;

use std::time::{Duration, Instant};

use sluice_elasticsearch::{ElasticsearchConfig, ElasticsearchDocuments};
use sluice_seams::contract::sample::{DAY, page_view};
use sluice_seams::{DocumentStore, DocumentWrite, StoreError};
use support::fake::{Fake, Fault};
use support::random::Random;

fn config(nodes: &[&Fake]) -> ElasticsearchConfig {
    ElasticsearchConfig {
        nodes: nodes.iter().map(|node| node.address()).collect(),
        request_timeout_ms: 400,
        connect_timeout_ms: 200,
        ..ElasticsearchConfig::default()
    }
}

async fn started() -> (Fake, ElasticsearchDocuments) {
    let fake = Fake::start().await;
    let store = support::open(config(&[&fake])).await;
    // The names of the catalogue go with the first write.
    store.write(events(1_000, 1)).await.expect("write");
    (fake, store)
}

/// Events numbered from `first`.
fn events(first: usize, count: usize) -> Vec<DocumentWrite> {
    (first..first + count)
        .map(|n| page_view("demo", &format!("e-{n}"), DAY.start_ms(), "d", &format!("p-{n}")))
        .map(DocumentWrite::Event)
        .collect()
}

/// The number of items of each bulk request after the first.
fn sizes(fake: &Fake) -> Vec<usize> {
    fake.bulks().iter().skip(1).map(Vec::len).collect()
}

#[tokio::test]
async fn only_items_pushed_back_are_sent_again() {
    let (fake, store) = started().await;
    fake.then([Fault::Item(1, 429, "es_rejected_execution_exception"), Fault::Item(0, 503, "x")]);
    let report = store.write(events(0, 3)).await.expect("write");
    assert_eq!((report.existing, report.refused.len()), (0, 0));
    assert_eq!(sizes(&fake), [3, 1, 1]);
    assert_eq!(fake.bulks()[2], fake.bulks()[1][1..2]);
    let figures = store.figures();
    assert_eq!((figures.items_retried, figures.items_refused), (2, 0));
}

#[tokio::test]
async fn an_item_that_is_never_taken_is_refused_by_its_index_and_the_rest_is_taken() {
    let (fake, store) = started().await;
    fake.then([Fault::Item(2, 400, "document_parsing_exception")]);
    let report = store.write(events(0, 4)).await.expect("write");
    assert_eq!(report.refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [2]);
    assert!(report.refused[0].detail.contains("document_parsing_exception"));
    assert_eq!(sizes(&fake), [4], "it is not sent again");
}

#[tokio::test]
async fn what_is_there_already_is_no_error() {
    let (_fake, store) = started().await;
    store.write(events(0, 3)).await.expect("write");
    assert_eq!(store.write(events(1, 3)).await.expect("write").existing, 2);
}

#[tokio::test]
async fn a_passing_error_of_the_whole_is_ridden_out_but_not_for_ever() {
    let (fake, store) = started().await;
    fake.then([Fault::Whole(503, "x"), Fault::Whole(429, "x")]);
    assert!(store.write(events(0, 3)).await.expect("write").refused.is_empty());
    fake.otherwise(Fault::Whole(503, "master_not_discovered_exception"));
    let before = fake.bulks().len();
    let outcome = store.write(events(3, 3)).await;
    assert!(matches!(outcome, Err(StoreError::Retry { .. })), "{outcome:?}");
    assert!(fake.bulks().len() - before <= 8, "bounded: the lane above tries for longer");
    fake.otherwise(Fault::None);
    assert_eq!(store.write(events(3, 3)).await.expect("write").refused.len(), 0);
    assert_eq!(fake.held(), 2 + 6, "six events, the first one and its name");
}

#[tokio::test]
async fn items_pushed_back_for_good_make_the_call_a_passing_error() {
    let (fake, store) = started().await;
    fake.otherwise(Fault::Items(429, "es_rejected_execution_exception"));
    let outcome = store.write(events(0, 5)).await;
    assert!(matches!(outcome, Err(StoreError::Retry { .. })), "{outcome:?}");
    assert_eq!(sizes(&fake), [5, 5, 5]);
    assert!(store.figures().in_flight_limit < 3, "less at a time: {:?}", store.figures());
    assert_eq!(store.figures().in_flight, 0);
}

#[tokio::test]
async fn silence_and_cut_answers_are_sent_again_and_nothing_is_written_twice() {
    for fault in [Fault::Silence, Fault::Cut] {
        let (fake, store) = started().await;
        fake.then([fault.clone()]);
        let began = Instant::now();
        let report = store.write(events(0, 3)).await;
        if let Err(error) = report {
            // The circuit of the only node may be open: the caller sends again.
            assert!(matches!(error, StoreError::Retry { .. }), "{error:?}");
            tokio::time::sleep(Duration::from_millis(600)).await;
            store.write(events(0, 3)).await.expect("write");
        }
        assert_eq!(fake.held(), 2 + 3, "{fault:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{fault:?}: {:?}", began.elapsed());
        assert_eq!(store.figures().nodes[0].failed, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn too_large_requests_are_divided_and_a_bad_item_is_found() {
    let (fake, store) = started().await;
    fake.otherwise(Fault::AtMost(2));
    assert!(store.write(events(0, 7)).await.expect("write").refused.is_empty());
    fake.otherwise(Fault::Chokes("p-12"));
    let report = store.write(events(10, 7)).await.expect("write");
    assert_eq!(report.refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [2]);
    assert_eq!(fake.held(), 2 + 7 + 6);
    fake.otherwise(Fault::AtMost(0));
    let report = store.write(events(20, 2)).await.expect("write");
    assert_eq!(report.refused.len(), 2, "one document alone is too large");
}

/// Many small requests at a time, any of which may fail in any way: what a call
/// reports as done is done.
#[tokio::test]
async fn what_is_reported_is_so_whatever_fails() {
    let fake = Fake::start().await;
    let mut config = config(&[&fake]);
    config.bulk_documents_max = 3;
    let store = support::open(config).await;
    let mut random = Random::new(7);
    let (mut done, mut again) = (0, 0);
    for round in 0..15 {
        let faults = (0..random.below(12)).map(|_| match random.below(7) {
            0 => Fault::Item(random.below(3), 429, "x"),
            1 => Fault::Item(random.below(3), 503, "x"),
            2 => Fault::Whole(503, "x"),
            3 => Fault::Cut,
            4 => Fault::AtMost(1),
            _ => Fault::None,
        });
        fake.then(faults.collect::<Vec<_>>());
        let writes = events(100 * round, 20);
        let mut tries = 0;
        while let Err(error) = store.write(writes.clone()).await {
            assert!(matches!(error, StoreError::Retry { .. }), "{error:?}");
            (again, tries) = (again + 1, tries + 1);
            assert!(tries < 20, "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        done += 20;
        assert_eq!(fake.held(), done + 1, "all events so far, and their one name");
    }
    assert!(again > 0, "some calls were to be sent again");
}

#[tokio::test]
async fn blocks_and_missing_indices_wait_for_somebody_and_lose_nothing() {
    let blocks = [
        (403, "cluster_block_exception"),
        (404, "index_not_found_exception"),
        (400, "index_closed_exception"),
        (400, "validation_exception"),
    ];
    for (status, kind) in blocks {
        let (fake, store) = started().await;
        fake.then([Fault::Item(1, status, kind)]);
        match store.write(events(0, 3)).await {
            Err(StoreError::Retry { after, detail }) => {
                assert!(after >= Duration::from_secs(1), "no hurry");
                assert!(detail.contains(kind), "{detail}");
            }
            other => panic!("{kind} is no event's fault: {other:?}"),
        }
        assert!(store.status().await.refusing.is_some_and(|why| why.contains(kind)));
        let report = store.write(events(0, 3)).await.expect("write");
        assert_eq!((report.existing, report.refused.len()), (2, 0));
        assert_eq!(store.status().await.refusing, None);
    }
}

#[tokio::test]
async fn another_node_takes_over_from_one_that_is_gone() {
    let fake = Fake::start().await;
    let gone = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("an address").port()
    };
    let mut config = config(&[&fake]);
    config.nodes.insert(0, format!("http://127.0.0.1:{gone}"));
    let store = support::open(config).await;
    for n in 0..20 {
        store.write(events(n, 1)).await.expect("write");
    }
    let nodes = store.figures().nodes;
    assert!(nodes[0].dead && !nodes[1].dead, "{nodes:?}");
    assert!(nodes[0].requests < 10, "a dead node is not asked each time: {nodes:?}");
}

#[tokio::test]
async fn a_silent_node_is_passed_over() {
    let (one, other) = (Fake::start().await, Fake::start().await);
    let store = support::open(config(&[&one, &other])).await;
    store.write(events(1_000, 1)).await.expect("write");
    one.otherwise(Fault::Silence);
    let began = Instant::now();
    for n in 0..20 {
        store.write(events(n, 1)).await.expect("write");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn when_no_node_is_there_it_says_so_soon() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port();
    drop(socket);
    let config = ElasticsearchConfig {
        nodes: vec![format!("http://127.0.0.1:{port}")],
        ..ElasticsearchConfig::default()
    };
    let outcome = ElasticsearchDocuments::open(config, support::deps()).await;
    match outcome.err() {
        Some(StoreError::Retry { detail, .. }) => assert!(detail.contains("connect"), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_newer_layout_is_refused_with_what_to_do() {
    let fake = Fake::start().await;
    fake.layout_version(2);
    let outcome = ElasticsearchDocuments::open(config(&[&fake]), support::deps()).await;
    match outcome.err() {
        Some(StoreError::Refused(detail)) => {
            assert!(detail.contains("version 2") && detail.contains("newer program"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_setting_out_of_range_is_refused_by_its_name() {
    let config = ElasticsearchConfig { shards: 0, ..ElasticsearchConfig::default() };
    let outcome = ElasticsearchDocuments::open(config, support::deps()).await;
    match outcome.err() {
        Some(StoreError::Refused(detail)) => assert!(detail.contains("elasticsearch.shards")),
        other => panic!("{other:?}"),
    }
}
