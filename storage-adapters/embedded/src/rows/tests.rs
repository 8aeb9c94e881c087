//! The contract, the comparison with the reference, and what is this adapter's
//! own: spans, stalls, errors.

use std::sync::atomic::AtomicI64;

use bytes::Bytes;
use proptest::prelude::*;
use sluice_memory::rows::MemoryRows;
use sluice_seams::contract::sample::{filed_under, page_view};
use sluice_seams::key::DAY_MS;
use sluice_seams::row::Cell;
use sluice_seams::{EventDocument, ProfileChange};

use super::*;

const NOON_MS: i64 = 20_777 * DAY_MS + DAY_MS / 2;

fn config(dir: &std::path::Path) -> RowsConfig {
    RowsConfig { cache_bytes: 1 << 20, ..RowsConfig::new(dir, Arc::new(|| NOON_MS)) }
}

fn fresh() -> impl Fn() -> EmbeddedRows {
    let dir = tempfile::tempdir().expect("a temporary folder");
    move || EmbeddedRows::open(config(dir.path())).expect("the rows open")
}

sluice_seams::row_store_suite!(fresh);

fn row(id: u32, day: i32, time_ms: i64) -> EventDocument {
    filed_under(page_view("demo", &format!("e-{id}"), time_ms, "u", "p"), Day(day))
}

/// A write out of few users, names and times, so that many collide.
fn any_write() -> impl Strategy<Value = RowWrite> {
    let user = prop::sample::select(vec!["a", "b", "c"]);
    let timeline = (user.clone(), 0u8..20).prop_map(|(user, id)| {
        // Time and day follow from the id, as they do behind `D`.
        let time_ms = NOON_MS + (i64::from(id) * 7 % 11) * DAY_MS / 3;
        let row = page_view("demo", &format!("{user}-{id}"), time_ms, user, "p");
        RowWrite::Timeline(filed_under(row, Day(20_770 + i32::from(id) * 5 % 9)))
    });
    let cell = prop_oneof![
        "[a-c]".prop_map(|text| Cell::Set(Bytes::from(format!("\"{text}\"")))),
        "[a-c]".prop_map(|text| Cell::SetOnce(Bytes::from(format!("\"{text}\"")))),
        Just(Cell::Unset),
    ];
    let name = prop::sample::select(vec!["x", "y"]);
    let profile = (user.clone(), name, -3i64..6, 0u128..3, cell).prop_map(
        |(user, name, time_ms, key, cell)| {
            RowWrite::Profile(ProfileChange {
                app_id: "demo".into(),
                user: user.into(),
                time_ms,
                key: Key(key),
                name: name.into(),
                cell,
            })
        },
    );
    let seen = (user, -50i64..50).prop_map(|(user, time_ms)| RowWrite::Seen {
        app_id: "demo".into(),
        user: user.into(),
        time_ms,
    });
    prop_oneof![timeline, profile, seen]
}

/// All that can be asked about the users of [`any_write`].
async fn state(store: &impl RowStore) -> Vec<(Vec<Vec<u8>>, Option<Profile>)> {
    let mut state = Vec::new();
    for user in ["a", "b", "c"] {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = store.timeline("demo", user, after, 3).await.expect("timeline succeeds");
            rows.extend(page.rows.iter().map(|row| row.0.encode()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        state.push((rows, store.profile("demo", user).await.expect("profile succeeds")));
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// Any writes, in any order and number, cut into any calls, with restarts
    /// between: the reference's state.
    #[test]
    fn any_order_ends_in_the_reference_state(
        (writes, shuffled) in prop::collection::vec(any_write(), 1..60).prop_flat_map(|writes| {
            let doubled = [&writes[..], &writes[..writes.len() / 2]].concat();
            (Just(writes), Just(doubled).prop_shuffle())
        }),
        cut in 1usize..20,
        reopen in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let reference = MemoryRows::new();
            reference.write(writes).await.expect("write succeeds");
            let open = fresh();
            let mut store = open();
            for call in shuffled.chunks(cut) {
                store.write(call.to_vec()).await.expect("write succeeds");
                if reopen {
                    store.close().await.expect("close succeeds");
                    drop(store);
                    store = open();
                }
            }
            prop_assert_eq!(state(&store).await, state(&reference).await);
            Ok(())
        })?;
    }
}

/// A page of the newest rows leaves old days closed.
#[tokio::test]
async fn a_page_opens_only_the_days_it_needs() {
    let open = fresh();
    let store = open();
    let rows = (0..30).map(|n| row(n, 20_700 + n as i32, NOON_MS + i64::from(n) * DAY_MS));
    store.write(rows.map(RowWrite::Timeline).collect()).await.expect("write succeeds");
    let inner = &store.inner;
    let days: Vec<_> = inner.days.read().all().cloned().collect();
    let user = AppHash::of("demo").user("u");
    let mut merge =
        timeline::Merge::new(inner.database.snapshot(), &inner.poison, days, user, None);
    for _ in 0..3 {
        merge.next_row().expect("read succeeds").expect("a row");
    }
    assert!(merge.closed() >= 25, "{} days are left closed", merge.closed());
}

/// A write that hangs shows in the status.
#[tokio::test]
async fn a_stall_shows() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let now = Arc::new(AtomicI64::new(NOON_MS));
    let clock = Arc::clone(&now);
    let now_ms = Arc::new(move || clock.load(Ordering::Relaxed));
    let store = EmbeddedRows::open(RowsConfig { now_ms, ..config(dir.path()) }).expect("opens");
    store.inner.writing_since_ms.store(NOON_MS, Ordering::Relaxed);
    assert_eq!(store.status().await.refusing, None);
    now.fetch_add(STALL_MS + 1, Ordering::Relaxed);
    assert!(store.status().await.refusing.is_some_and(|why| why.contains("30001 ms")));
}

/// After an I/O error nothing is taken or answered any more, and the status says why.
#[tokio::test]
async fn an_error_stays() {
    let open = fresh();
    let store = open();
    store.inner.poison.mark("write rows", &"No space left on device");
    let write = store.write(vec![RowWrite::Timeline(row(1, 20_777, NOON_MS))]).await;
    assert!(matches!(write, Err(StoreError::Poisoned(_))), "{write:?}");
    assert!(matches!(store.profile("demo", "u").await, Err(StoreError::Poisoned(_))));
    assert!(matches!(store.close().await, Err(StoreError::Poisoned(_))));
    let refusing = store.status().await.refusing.expect("it refuses");
    assert!(refusing.contains("No space left"), "{refusing}");
}

#[tokio::test]
async fn a_long_name_is_refused() {
    let open = fresh();
    let store = open();
    let change = ProfileChange {
        app_id: "demo".into(),
        user: "u".into(),
        time_ms: 1,
        key: Key(1),
        name: "n".repeat(1_025).into(),
        cell: Cell::Unset,
    };
    let report = store.write(vec![RowWrite::Profile(change)]).await.expect("write succeeds");
    assert_eq!(report.refused.len(), 1);
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    {
        let store = EmbeddedRows::open(config(dir.path())).expect("the rows open");
        store.inner.meta.insert(FORMAT_KEY, [9]).expect("insert succeeds");
    }
    let error = EmbeddedRows::open(config(dir.path())).err().expect("format 9 is refused");
    assert!(matches!(&error, StoreError::Refused(detail) if detail.contains("[9]")), "{error}");
}
