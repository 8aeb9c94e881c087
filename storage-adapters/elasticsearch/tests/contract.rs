//! The contract of the seam, on a real engine.

mod support;

use sluice_seams::contract::document_store::{suite, survives_reopen};
use support::Place;

#[tokio::test]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn keeps_the_contract() {
    suite(|| async {
        let place = Place::new();
        (place.open().await, place)
    })
    .await;
}

#[tokio::test]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn what_was_written_is_found_by_the_next_process() {
    let place = Place::new();
    survives_reopen(|| place.open()).await;
}
