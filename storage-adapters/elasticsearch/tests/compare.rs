//! The same writes and the same questions, of the plain store in memory and of a
//! real engine: the answers are equal.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures::StreamExt;
use sluice_elasticsearch::ElasticsearchDocuments;
use sluice_memory::documents::MemoryDocuments;
use sluice_seams::contract::document_store::sorted;
use sluice_seams::{DocumentStore, EventDocument, Question, StoreError, Table};
use support::Place;
use support::random::{Random, event, question, writes};

const DOCUMENTS: usize = 700;
const QUESTIONS: usize = 800;

/// An answer that can be compared.
fn plain(outcome: Result<Table, StoreError>) -> Result<Table, String> {
    match outcome {
        Ok(Table::Groups(groups)) => Ok(Table::Groups(sorted(groups))),
        Ok(visits) => Ok(visits),
        Err(StoreError::Refused(_)) => Err("refused".to_owned()),
        Err(other) => Err(other.to_string()),
    }
}

async fn compare(
    store: &ElasticsearchDocuments,
    memory: &MemoryDocuments,
    seed: u64,
    count: usize,
) {
    let mut random = Random::new(seed);
    let questions: Vec<Question> = (0..count).map(|_| question(&mut random)).collect();
    let counted = AtomicUsize::new(0);
    let telling = &counted;
    let different: Vec<String> = futures::stream::iter(questions)
        .map(|question| async move {
            let wanted = plain(memory.answer(question.clone()).await);
            let given = plain(store.answer(question.clone()).await);
            let tells = match &wanted {
                Ok(Table::Groups(groups)) => groups.iter().any(|g| g.values.iter().any(|v| *v > 0)),
                Ok(Table::Visits(visits)) => !visits.is_empty(),
                Err(_) => false,
            };
            telling.fetch_add(usize::from(tells), Relaxed);
            (wanted != given).then(|| format!("{question:#?}\nwanted {wanted:?}\ngiven {given:?}"))
        })
        .buffer_unordered(6)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let telling = telling.load(Relaxed);
    assert!(telling > count / 4, "only {telling} of {count} answers hold anything");
    let many = different.len();
    assert!(different.is_empty(), "{many} of {count} differ, the first:\n{}", different[0]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn answers_are_those_of_the_plain_store() {
    let place = Place::new();
    let (store, memory) = (place.open().await, MemoryDocuments::default());
    let mut random = Random::new(1);
    let documents: Vec<EventDocument> = (0..DOCUMENTS).map(|n| event(&mut random, n)).collect();
    for part in writes(&documents).chunks(500) {
        let (one, other) = (store.write(part.to_vec()).await, memory.write(part.to_vec()).await);
        let (one, other) = (one.expect("write"), other.expect("write"));
        assert!(one.refused.is_empty() && other.refused.is_empty(), "{:?}", one.refused);
    }
    compare(&store, &memory, 2, QUESTIONS).await;
    for app in ["demo", "other", "none"] {
        assert_eq!(store.catalogue(app).await.ok(), memory.catalogue(app).await.ok());
    }
    assert_eq!(store.days().await.ok(), memory.days().await.ok());
}

/// With pages of a hundred buckets every question is read in many pages.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn pages_do_not_change_answers() {
    let place = Place::new();
    let mut config = place.config();
    (config.page_buckets, config.shards) = (100, 3);
    let (store, memory) = (support::open(config).await, MemoryDocuments::default());
    let mut random = Random::new(3);
    let documents: Vec<EventDocument> = (0..DOCUMENTS).map(|n| event(&mut random, n)).collect();
    let writes = writes(&documents);
    store.write(writes.clone()).await.expect("write");
    memory.write(writes).await.expect("write");
    compare(&store, &memory, 4, QUESTIONS / 4).await;
}

/// Shuffled, in parts of any size, repeated, by two processes: the same answers.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn order_and_repetition_change_nothing() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    let memory = MemoryDocuments::default();
    let mut random = Random::new(5);
    let documents: Vec<EventDocument> = (0..300).map(|n| event(&mut random, n)).collect();
    let all = writes(&documents);
    memory.write(all.clone()).await.expect("write");
    for round in 0..3 {
        let mut shuffled = all.clone();
        random.shuffle(&mut shuffled);
        let (left, right) = shuffled.split_at(shuffled.len() / 2 + round);
        let parts = |part: &[_], size| part.chunks(size).map(<[_]>::to_vec).collect::<Vec<_>>();
        let send = |store: ElasticsearchDocuments, parts: Vec<Vec<_>>| async move {
            for part in parts {
                store.write(part).await.expect("write");
            }
        };
        let twice = [right, &left[..100]].concat();
        futures::join!(
            send(one.clone(), parts(left, 37 + round)),
            send(other.clone(), parts(&twice, 101))
        );
    }
    compare(&other, &memory, 6, 150).await;
}
