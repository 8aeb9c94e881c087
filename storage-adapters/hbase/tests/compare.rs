//! The same writes as the plain store in memory, shuffled, repeated, by several
//! writers at once: the same timelines, profiles and states.

mod support;

use futures::future::try_join_all;
use sluice_memory::rows::MemoryRows;
use sluice_seams::{Day, RowStore, RowWrite};
use support::sample::{Random, state};

const ENGINE: &str = "the servers run";

fn users(case: u64) -> Vec<String> {
    ["a", "b", "c\0", "用户"].iter().map(|name| format!("{name}-{case}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn any_order_ends_in_the_reference_state() {
    let services = support::Services::shared();
    // A cache so small that users are forgotten and read again.
    let mut config = support::config(&services.servers, support::prefix());
    config.cache_bytes = 1 << 20;
    let mut stores: Vec<_> = (0..3).map(|_| support::open(&config)).collect();
    for case in 0..20 {
        let mut random = Random(case);
        let users = users(case);
        let count = 1 + random.below(150);
        let writes: Vec<RowWrite> = (0..count)
            .map(|_| {
                let id = random.below(40);
                random.write(&users, id)
            })
            .collect();
        let reference = MemoryRows::new();
        reference.write(writes.clone()).await.expect("write succeeds");
        let mut again = [&writes[..], &writes[..writes.len() / 2]].concat();
        random.shuffle(&mut again);
        let cut = 1 + random.below(30) as usize;
        // Four calls at a time, over all writers.
        for calls in again.chunks(cut).collect::<Vec<_>>().chunks(4) {
            let calls = calls.iter().map(|call| {
                let store = &stores[random.below(stores.len() as u64) as usize];
                store.write(call.to_vec())
            });
            let calls: Vec<_> = calls.collect();
            for report in try_join_all(calls).await.expect(ENGINE) {
                assert!(report.refused.is_empty(), "case {case}: {:?}", report.refused);
            }
        }
        if case % 4 == 3 {
            // A new writer among the old ones.
            stores.remove(0).close().await.expect(ENGINE);
            stores.push(support::open(&config));
        }
        let expected = state(&reference, &users, 100).await;
        for store in &stores {
            assert_eq!(state(store, &users, 3).await, expected, "case {case}");
        }
        if case % 5 == 4 {
            // Whichever store drops, all see it, and a replay brings the rows back.
            let day = Day(20_774);
            let expected_dropped = reference.drop_before(day).await.expect("drop succeeds");
            let dropped = stores[0].drop_before(day).await.expect(ENGINE);
            assert!(dropped >= expected_dropped, "case {case}: {dropped} < {expected_dropped}");
            let expected = state(&reference, &users, 100).await;
            assert_eq!(state(&stores[1], &users, 7).await, expected, "case {case}, dropped");
            reference.write(writes.clone()).await.expect("write succeeds");
            stores[2].write(writes.clone()).await.expect(ENGINE);
            let expected = state(&reference, &users, 100).await;
            assert_eq!(state(&stores[1], &users, 7).await, expected, "case {case}, replayed");
        }
    }
    let figures = stores[1].figures();
    assert!(figures.users_read > 0 && figures.user_changes_known > 0, "{figures:?}");
}
