//! What every [`RowStore`] is held to.
//!
//! Each function takes `fresh`, which makes a new empty place and returns
//! `open`: every call of `open` opens that same place again, as after a restart.
//! A store is closed and dropped before the next `open`. The macro
//! [`row_store_suite`](crate::row_store_suite) makes a test of each.

use bytes::Bytes;

use super::sample::{document, filed_under, page_view, with_key};
use crate::key::DAY_MS;
use crate::row::{Cell, TimelineCursor};
use crate::{
    Day, EventDocument, Key, Profile, ProfileChange, RowStore, RowWrite, StoreError, TimelinePage,
};

/// A moment that the suites are built around: 2026-11-20 12:00 UTC.
const NOON_MS: i64 = 20_777 * DAY_MS + DAY_MS / 2;

const APP: &str = "demo";

/// Makes one test of every function of the suite. `$fresh` is a function as the
/// module's page describes it.
#[macro_export]
macro_rules! row_store_suite {
    ($fresh:expr) => {
        $crate::row_store_suite!(
            $fresh, an_empty_store_answers, pages_run_newest_first, equal_times_page_by_key,
            days_are_merged_by_corrected_time, rows_come_back_whole, users_and_apps_are_apart,
            timelines_take_writes_again, profile_cells_are_free_of_order,
            unset_hides_what_came_before, profiles_show_every_kind, seen_keeps_both_ends,
            what_cannot_be_kept_is_refused, contains_finds_the_row, dropped_days_go_profiles_stay,
            everything_survives, closed_takes_no_more
        );
    };
    ($fresh:expr, $($name:ident),+) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::contract::row_store::$name($fresh).await;
            }
        )+
    };
}

async fn write(store: &impl RowStore, writes: Vec<RowWrite>) {
    let report = store.write(writes).await.expect("write succeeds");
    assert!(report.refused.is_empty(), "nothing is refused: {:?}", report.refused);
}

async fn write_rows(store: &impl RowStore, rows: &[EventDocument]) {
    write(store, rows.iter().cloned().map(RowWrite::Timeline).collect()).await;
}

async fn page(
    store: &impl RowStore,
    user: &str,
    after: Option<TimelineCursor>,
    limit: usize,
) -> TimelinePage {
    store.timeline(APP, user, after, limit).await.expect("timeline succeeds")
}

/// Every row of a user in pages of `limit`, as `(time, key)`.
async fn walk(store: &impl RowStore, user: &str, limit: usize) -> Vec<(i64, Key)> {
    let (mut rows, mut after) = (Vec::new(), None);
    for _ in 0..10_000 {
        let shown = page(store, user, after, limit).await;
        assert!(shown.rows.len() <= limit, "a page of {limit} held {}", shown.rows.len());
        rows.extend(shown.rows.iter().map(|row| (row.0.time_ms(), row.0.key)));
        after = shown.next;
        if after.is_none() {
            return rows;
        }
        assert!(!shown.rows.is_empty(), "an empty page names no next one");
    }
    panic!("the timeline has no end");
}

fn newest_first(rows: &[EventDocument]) -> Vec<(i64, Key)> {
    let mut expected: Vec<_> = rows.iter().map(|row| (row.time_ms(), row.key)).collect();
    expected.sort_by_key(|(time, key)| (std::cmp::Reverse(*time), *key));
    expected
}

fn change(user: &str, time_ms: i64, key: u128, name: &str, cell: Cell) -> RowWrite {
    RowWrite::Profile(ProfileChange {
        app_id: APP.into(),
        user: user.into(),
        time_ms,
        key: Key(key),
        name: name.into(),
        cell,
    })
}

fn seen(user: &str, time_ms: i64) -> RowWrite {
    RowWrite::Seen { app_id: APP.into(), user: user.into(), time_ms }
}

fn json(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn profile(store: &impl RowStore, user: &str) -> Option<Profile> {
    store.profile(APP, user).await.expect("profile succeeds")
}

/// Nothing there: an empty page, no profile, healthy.
pub async fn an_empty_store_answers<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let shown = page(&store, "u", None, 10).await;
    assert!(shown.rows.is_empty() && shown.next.is_none());
    assert_eq!(profile(&store, "u").await, None);
    assert!(!store.contains(APP, "u", NOON_MS, Key(1)).await.expect("contains succeeds"));
    assert_eq!(store.drop_before(Day(i32::MAX)).await.expect("drop succeeds"), 0);
    assert_eq!(store.status().await.refusing, None);
    write(&store, Vec::new()).await;
    assert!(matches!(store.timeline(APP, "u", None, 0).await, Err(StoreError::Refused(_))));
}

/// Pages of any size give every row once, newest first.
pub async fn pages_run_newest_first<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let rows: Vec<_> = (0..100)
        .map(|n| page_view(APP, &format!("e-{n}"), NOON_MS + (n * 37 % 100) * 1_000, "u", "p"))
        .collect();
    write_rows(&store, &rows).await;
    for limit in [1, 7, 99, 100, 101] {
        assert_eq!(walk(&store, "u", limit).await, newest_first(&rows), "pages of {limit}");
    }
}

/// Rows of one millisecond are ordered by key, and a page may end among them.
pub async fn equal_times_page_by_key<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let keys = [0, 1, 9, u128::MAX, u128::MAX / 2, 5, 3];
    let mut rows: Vec<_> = keys
        .iter()
        .map(|&key| with_key(page_view(APP, &format!("e-{key}"), NOON_MS, "u", "p"), Key(key)))
        .collect();
    // Half of them in another day: the order is over all days.
    for row in rows.iter_mut().skip(4) {
        *row = filed_under(row.clone(), Day(20_770));
    }
    rows.push(page_view(APP, "before", NOON_MS - 1, "u", "p"));
    rows.push(page_view(APP, "after", NOON_MS + 1, "u", "p"));
    write_rows(&store, &rows).await;
    for limit in [1, 2, 3, 20] {
        assert_eq!(walk(&store, "u", limit).await, newest_first(&rows), "pages of {limit}");
    }
}

/// The day is of the raw time, the order of the corrected one: the two may be
/// far apart either way.
pub async fn days_are_merged_by_corrected_time<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let rows: Vec<_> = (0..200i32)
        .map(|n| {
            let time_ms = NOON_MS + i64::from(n * 53 % 200) * DAY_MS / 7;
            let row = page_view(APP, &format!("e-{n}"), time_ms, "u", "p");
            let apart = [0, -8, 3, 0, 40, -1][n as usize % 6];
            filed_under(row, Day(Day::of(time_ms).0 + apart))
        })
        .collect();
    write_rows(&store, &rows).await;
    for limit in [3, 64, 1_000] {
        assert_eq!(walk(&store, "u", limit).await, newest_first(&rows), "pages of {limit}");
    }
    let before_1970 = filed_under(page_view(APP, "old", -5, "u", "p"), Day(20_777));
    write_rows(&store, std::slice::from_ref(&before_1970)).await;
    assert_eq!(walk(&store, "u", 50).await.last(), Some(&(-5, before_1970.key)));
}

/// A row gives back the document that was written.
pub async fn rows_come_back_whole<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let row = document(APP, "e-1", "buy", NOON_MS, "d", "u", |event, envelope| {
        super::sample::properties(event, r#"{"price":1.5,"tags":["a","b"]}"#);
        event.session_id = "s".into();
        envelope.app_version = "1.2.3".into();
    });
    let row = filed_under(row, Day(20_775));
    write_rows(&store, std::slice::from_ref(&row)).await;
    let shown = page(&store, "u", None, 10).await;
    let [back] = &shown.rows[..] else { panic!("one row, not {}", shown.rows.len()) };
    assert_eq!(back.0.encode(), row.encode());
    assert_eq!((back.0.key, back.0.position, back.0.day), (row.key, row.position, row.day));
}

/// The same names in another app, or a name that begins alike, are others.
pub async fn users_and_apps_are_apart<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let mine = page_view(APP, "e-1", NOON_MS, "u", "p");
    let others = [
        page_view(APP, "e-2", NOON_MS, "u2", "p"),
        page_view("other", "e-1", NOON_MS, "u", "p"),
        document(APP, "e-3", "page_view", NOON_MS, "u", "logged-in", |_, _| {}),
    ];
    write_rows(&store, &others).await;
    write(&store, vec![change("u2", 1, 1, "x", Cell::Set(json("1"))), seen("u2", 1)]).await;
    write_rows(&store, std::slice::from_ref(&mine)).await;
    assert_eq!(walk(&store, "u", 10).await, [(NOON_MS, mine.key)]);
    assert_eq!(walk(&store, "logged-in", 10).await, [(NOON_MS, others[2].key)]);
    assert_eq!(profile(&store, "u").await, None);
}

/// Writing rows again, together or apart, in any order, changes nothing.
pub async fn timelines_take_writes_again<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let mut rows: Vec<_> = (0..30)
        .map(|n| page_view(APP, &format!("e-{n}"), NOON_MS + n % 7 * DAY_MS, "u", "p"))
        .collect();
    let expected = newest_first(&rows);
    for turn in 0..4 {
        rows.rotate_left(turn * 5);
        rows.reverse();
        let doubled = [&rows[..], &rows[..10]].concat();
        write_rows(&store, &doubled).await;
        assert_eq!(walk(&store, "u", 11).await, expected, "turn {turn}");
    }
}

/// Every order of five changes to one cell, in one call or one by one, shows the same.
pub async fn profile_cells_are_free_of_order<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let changes: [(i64, u128, Cell); 5] = [
        (10, 1, Cell::Set(json("\"old\""))),
        (20, 1, Cell::Set(json("\"low key\""))),
        (20, 2, Cell::Set(json("\"high key\""))),
        (5, 7, Cell::SetOnce(json("\"once\""))),
        (15, 3, Cell::Unset),
    ];
    for (n, order) in permutations(5).into_iter().enumerate() {
        let user = format!("u-{n}");
        let writes: Vec<_> = order
            .iter()
            .map(|&at| {
                let (time_ms, key, cell) = changes[at].clone();
                change(&user, time_ms, key, "name", cell)
            })
            .collect();
        if n % 8 == 0 {
            for one in writes {
                write(&store, vec![one]).await;
            }
        } else {
            write(&store, writes).await;
        }
        let shown = profile(&store, &user).await.expect("the user has a profile");
        assert_eq!(shown.properties["name"], "high key", "order {order:?}");
    }
}

/// An unset hides an earlier set and an earlier set-once, not a later one.
pub async fn unset_hides_what_came_before<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let cases: [(&str, i64, Option<&str>); 4] = [
        ("set before", 10, None),
        ("once before", 10, None),
        ("set after", 30, Some("v")),
        ("once after", 30, Some("v")),
    ];
    for (name, time_ms, expected) in cases {
        for reversed in [false, true] {
            let user = format!("{name} {reversed}");
            let value = json("\"v\"");
            let cell =
                if name.starts_with("set") { Cell::Set(value) } else { Cell::SetOnce(value) };
            let mut writes =
                vec![change(&user, time_ms, 1, "p", cell), change(&user, 20, 2, "p", Cell::Unset)];
            if reversed {
                writes.reverse();
            }
            for one in writes {
                write(&store, vec![one]).await;
            }
            let shown = profile(&store, &user).await.expect("the user has a profile");
            let shown = shown.properties.get("p").and_then(|value| value.as_str());
            assert_eq!(shown, expected, "{name}, reversed: {reversed}");
        }
    }
}

/// Earliest set-once, any JSON, odd names.
pub async fn profiles_show_every_kind<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    write(
        &store,
        vec![
            change("u", 9, 1, "channel", Cell::SetOnce(json("\"late\""))),
            change("u", 3, 1, "channel", Cell::SetOnce(json("\"early\""))),
            change("u", 5, 1, "channel", Cell::SetOnce(json("\"middle\""))),
            change("u", 1, 1, "vip", Cell::SetOnce(json("1"))),
            change("u", 2, 1, "vip", Cell::Set(json("2"))),
            change("u", -7, 1, "cart", Cell::Set(json(r#"{"a":[1,null]}"#))),
            change("u", 1, 1, "", Cell::Set(json("true"))),
            change("u", 1, 1, "名\0字", Cell::Set(json("null"))),
        ],
    )
    .await;
    let shown = profile(&store, "u").await.expect("the user has a profile");
    let text = serde_json::to_string(&shown.properties).expect("JSON");
    let expected = r#"{"":true,"cart":{"a":[1,null]},"channel":"early","vip":2,"名\u0000字":null}"#;
    assert_eq!(text, expected);
    assert_eq!((shown.first_seen_ms, shown.last_seen_ms), (None, None));
}

/// Earliest and latest, whatever the order.
pub async fn seen_keeps_both_ends<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let both = async |user: &'static str| {
        let shown = profile(&store, user).await.expect("the user was seen");
        (shown.first_seen_ms, shown.last_seen_ms)
    };
    write(&store, vec![seen("u", 50)]).await;
    assert_eq!(both("u").await, (Some(50), Some(50)));
    write(&store, vec![seen("u", 40), seen("v", 1), seen("u", 60)]).await;
    assert_eq!(both("u").await, (Some(40), Some(60)));
    write(&store, vec![seen("u", 45)]).await;
    write(&store, vec![seen("u", -3)]).await;
    write(&store, vec![seen("u", 55), seen("u", 40)]).await;
    assert_eq!(both("u").await, (Some(-3), Some(60)));
    assert_eq!(both("v").await, (Some(1), Some(1)));
}

/// A value that is not JSON is named in the report; its neighbours are kept.
pub async fn what_cannot_be_kept_is_refused<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let writes = vec![
        change("u", 1, 1, "a", Cell::Set(json("1"))),
        change("u", 1, 1, "b", Cell::Set(json("{"))),
        change("u", 1, 1, "c", Cell::SetOnce(json("2"))),
    ];
    let report = store.write(writes).await.expect("write succeeds");
    let refused: Vec<_> = report.refused.iter().map(|refused| refused.index).collect();
    assert_eq!(refused, [1]);
    assert!(report.refused[0].detail.contains('b'), "{}", report.refused[0].detail);
    let shown = profile(&store, "u").await.expect("the user has a profile");
    assert_eq!(shown.properties.keys().collect::<Vec<_>>(), ["a", "c"]);
}

/// The ledger's question.
pub async fn contains_finds_the_row<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    let row = filed_under(page_view(APP, "e-1", NOON_MS, "u", "p"), Day(20_770));
    write_rows(&store, std::slice::from_ref(&row)).await;
    let there = async |user: &'static str, time_ms, key| {
        store.contains(APP, user, time_ms, key).await.expect("contains succeeds")
    };
    assert!(there("u", NOON_MS, row.key).await);
    assert!(!there("u", NOON_MS + 1, row.key).await);
    assert!(!there("u", NOON_MS, Key(row.key.0 ^ 1)).await);
    assert!(!there("v", NOON_MS, row.key).await);
}

/// Retention goes by the day an event is filed under, and leaves profiles alone.
pub async fn dropped_days_go_profiles_stay<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let rows: Vec<_> = (0..10)
        .map(|n| {
            // The newest times are filed under the oldest days.
            let row = page_view(APP, &format!("e-{n}"), NOON_MS - n * 1_000, "u", "p");
            filed_under(row, Day(20_770 + n as i32))
        })
        .collect();
    {
        let store = open();
        write_rows(&store, &rows).await;
        write(&store, vec![seen("u", 1), change("u", 1, 1, "x", Cell::Set(json("1")))]).await;
        let dropped = store.drop_before(Day(20_774)).await.expect("drop succeeds");
        assert!(dropped > 0, "something was dropped");
        assert_eq!(walk(&store, "u", 3).await, newest_first(&rows[4..]));
        assert_eq!(store.drop_before(Day(20_774)).await.expect("drop succeeds"), 0);
        store.close().await.expect("close succeeds");
    }
    let store = open();
    assert_eq!(walk(&store, "u", 3).await, newest_first(&rows[4..]), "after a restart");
    assert!(!store.contains(APP, "u", NOON_MS, rows[0].key).await.expect("contains succeeds"));
    let shown = profile(&store, "u").await.expect("profiles stay");
    assert_eq!((shown.first_seen_ms, shown.properties.len()), (Some(1), 1));
    // A late row of a dropped day, as a replay brings it, is a row like any other.
    write_rows(&store, &rows[..1]).await;
    assert_eq!(walk(&store, "u", 3).await.len(), 7);
}

/// All of it is there after a restart, and goes on from there.
pub async fn everything_survives<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let rows: Vec<_> = (0..50)
        .map(|n| page_view(APP, &format!("e-{n}"), NOON_MS + n * DAY_MS / 3, "u", "p"))
        .collect();
    {
        let store = open();
        write_rows(&store, &rows[..30]).await;
        write(&store, vec![seen("u", 5), change("u", 9, 1, "x", Cell::Set(json("1")))]).await;
        store.close().await.expect("close succeeds");
    }
    let store = open();
    assert_eq!(walk(&store, "u", 8).await, newest_first(&rows[..30]));
    write_rows(&store, &rows[20..]).await;
    write(&store, vec![seen("u", 3), change("u", 8, 1, "x", Cell::Set(json("2")))]).await;
    assert_eq!(walk(&store, "u", 8).await, newest_first(&rows));
    let shown = profile(&store, "u").await.expect("the user has a profile");
    assert_eq!((shown.first_seen_ms, shown.last_seen_ms), (Some(3), Some(5)));
    assert_eq!(shown.properties["x"], 1, "the held write is the later one");
}

/// A closed store takes nothing, says so, and dead-letters nothing.
pub async fn closed_takes_no_more<S: RowStore, O: Fn() -> S>(fresh: impl Fn() -> O) {
    let open = fresh();
    let store = open();
    store.close().await.expect("close succeeds");
    let refused = store.write(vec![seen("u", 1)]).await;
    assert!(matches!(refused, Err(StoreError::Retry { .. })), "{refused:?}");
    assert!(store.status().await.refusing.is_some());
}

/// Every order of `0..count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        all = all
            .into_iter()
            .flat_map(|order| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    all
}
