//! What every document store is held to.
//!
//! `suite` runs all of it against fresh stores; `survives_reopen` is for stores
//! that keep their documents on disk. Each function names one duty.

use std::sync::Arc;

use crate::contract::sample::{self, DAY, assorted, document, filters, page_view, properties};
use crate::key::DAY_MS;
use crate::question::{Ask, Group, Visit};
use crate::{
    Day, DocumentStore, DocumentWrite, EventDocument, Field, Filter, GroupKey, KeyValue, Measure,
    NamedField, Question, Source, StoreError, Table,
};

const APP: &str = "demo";

/// Runs every duty, each against a store of its own. `fresh` makes an empty
/// store and whatever has to live as long as it.
pub async fn suite<S, G, F, Fut>(fresh: F)
where
    S: DocumentStore,
    F: Fn() -> Fut,
    Fut: Future<Output = (S, G)>,
{
    macro_rules! duties {
        ($($duty:ident),+ $(,)?) => {$({
            let (store, guard) = fresh().await;
            $duty(&store).await;
            store.close().await.expect("a store closes");
            drop((store, guard));
        })+};
    }
    duties!(
        creates_once_and_shows_at_once,
        filters_mean_what_they_say,
        groups_by_time_and_field,
        several_values_count_under_each,
        users_are_exact_across_days_and_groups,
        distinct_values_are_exact,
        refuses_too_many_groups,
        first_seen_is_the_earliest,
        follows_are_kept,
        order_and_repetition_do_not_matter,
        visits_are_in_order,
        drops_days_but_not_state,
        catalogue_lists_what_was_sent,
        odd_names_and_long_values,
    );
}

/// A second write of a key, in the same call or a later one, changes nothing;
/// what was written is seen by the next answer.
pub async fn creates_once_and_shows_at_once(store: &impl DocumentStore) {
    let first = page_view(APP, "e-1", DAY.start_ms(), "d-1", "first");
    let other = page_view(APP, "e-1", DAY.start_ms(), "d-1", "second");
    let report = write(store, [first.clone(), other.clone()]).await;
    assert_eq!(report, 1, "the second of two equal keys in one call is there already");
    assert_eq!(write(store, [other]).await, 1, "a known key is there already");
    assert_eq!(count(store, Filter::All).await, 1, "one key is one document");
    let path = Field::Named(NamedField::PagePath);
    assert_eq!(count(store, Filter::is(path, ["first"])).await, 1, "the first copy stays");
    assert!(store.contains(first.key, DAY).await.expect("contains"));
    assert!(!store.contains(first.key, Day(DAY.0 + 1)).await.expect("contains"));
    let unknown = page_view(APP, "e-2", 0, "d", "p").key;
    assert!(!store.contains(unknown, DAY).await.expect("contains"));
    assert_eq!(store.days().await.expect("days"), [DAY]);
    let foreign = page_view("other", "e-1", DAY.start_ms(), "d-1", "p");
    assert_eq!(write(store, [foreign]).await, 0, "ids are unique within an app only");
    assert_eq!(count(store, Filter::All).await, 1, "an app sees its own documents only");
}

/// Every test and every way to combine them, held against `Filter::passes`.
pub async fn filters_mean_what_they_say(store: &impl DocumentStore) {
    let documents = assorted();
    write(store, documents.clone()).await;
    for filter in filters() {
        let wanted = documents.iter().filter(|one| filter.passes(one)).count() as u64;
        assert_eq!(count(store, filter.clone()).await, wanted, "{filter:?}");
    }
}

/// Groups by buckets and by a field's value, with a group for missing values.
pub async fn groups_by_time_and_field(store: &impl DocumentStore) {
    write(store, assorted()).await;
    let start = DAY.start_ms();
    let edges: Arc<[i64]> = [start, start + 10 * 3_600_000, start + 30 * 3_600_000].into();
    let table = groups(
        store,
        vec![GroupKey::Time(edges), GroupKey::Field(Field::Named(NamedField::PagePath))],
        vec![Measure::Count(Filter::All)],
    )
    .await;
    let path = |bucket, path: &str| vec![KeyValue::Bucket(bucket), KeyValue::Text(path.into())];
    let missing = |bucket| vec![KeyValue::Bucket(bucket), KeyValue::Missing];
    let wanted = [
        (path(0, "pages/0"), 2),
        (path(0, "pages/3"), 2),
        (missing(0), 6),
        (path(1, "pages/0"), 3),
        (path(1, "pages/3"), 3),
        (missing(1), 14),
    ];
    assert_eq!(table, sorted(wanted.map(|(keys, count)| Group { keys, values: vec![count] })));
    let some = groups(
        store,
        vec![GroupKey::Field(Field::Named(NamedField::Platform))],
        vec![Measure::Count(Filter::is(Field::Named(NamedField::Platform), ["jd"]))],
    )
    .await;
    assert_eq!(some.len(), 1, "a group in which every measure is zero is left out: {some:?}");
    let nothing = Measure::Count(Filter::is(Field::Named(NamedField::Name), ["nothing"]));
    let none = groups(store, vec![], vec![nothing]).await;
    assert_eq!(none, [Group { keys: vec![], values: vec![0] }], "no keys: always one group");
}

/// A document with several values counts once under each of them.
pub async fn several_values_count_under_each(store: &impl DocumentStore) {
    let tagged = |id: &str, json: &str| {
        document(APP, id, "e", DAY.start_ms(), "d", "", |event, _| properties(event, json))
    };
    let documents = [
        tagged("e-1", r#"{"tags":["a","b","a"]}"#),
        tagged("e-2", r#"{"tags":["b",3,true,null,[4,"c"]]}"#),
        tagged("e-3", r#"{"tags":[]}"#),
        tagged("e-4", r#"{"tags":[{"x":1},{"x":2}]}"#),
        tagged("e-5", ""),
    ];
    write(store, documents).await;
    let tags = Field::Property("tags".to_owned());
    let measure = vec![Measure::Count(Filter::All)];
    let table = groups(store, vec![GroupKey::Field(tags.clone())], measure.clone()).await;
    let text = |text: &str| KeyValue::Text(text.into());
    let wanted = [("a", 1), ("b", 2), ("3", 1), ("true", 1), ("4", 1), ("c", 1)]
        .map(|(key, count)| Group { keys: vec![text(key)], values: vec![count] });
    let missing = Group { keys: vec![KeyValue::Missing], values: vec![3] };
    assert_eq!(table, sorted(wanted.into_iter().chain([missing])));
    let inner = GroupKey::Field(Field::Property("tags.x".to_owned()));
    let pairs = groups(store, vec![GroupKey::Field(tags), inner], measure).await;
    let both = Group { keys: vec![KeyValue::Missing, text("2")], values: vec![1] };
    assert!(pairs.contains(&both), "elements that are objects are flattened: {pairs:?}");
}

/// Users are counted once over the whole period, whatever the day or group.
pub async fn users_are_exact_across_days_and_groups(store: &impl DocumentStore) {
    let mut documents = Vec::new();
    for day in 0..3 {
        for n in 0..50 {
            let time = Day(DAY.0 + day).start_ms() + n;
            let device = format!("d-{}", (n + i64::from(day) * 10) % 60);
            documents.push(page_view(APP, &format!("e-{day}-{n}"), time, &device, "p"));
        }
    }
    documents.push(page_view(APP, "nobody", DAY.start_ms(), "", "p"));
    write(store, documents).await;
    let users = vec![Measure::Users(Filter::All)];
    let all = groups(store, vec![], users.clone()).await;
    assert_eq!(all[0].values, [60], "a user of two days is one user; no id is no user");
    let edges: Arc<[i64]> = (0..=3).map(|day| Day(DAY.0 + day).start_ms()).collect();
    let days = groups(store, vec![GroupKey::Time(edges)], users.clone()).await;
    assert_eq!(days.iter().map(|group| group.values[0]).collect::<Vec<_>>(), [50, 50, 50]);
    let page = GroupKey::Field(Field::Named(NamedField::PagePath));
    let pages = groups(store, vec![page], users).await;
    assert_eq!(pages.iter().map(|group| group.values[0]).collect::<Vec<_>>(), [60]);
}

/// Distinct values of a field, each measure behind its own filter.
pub async fn distinct_values_are_exact(store: &impl DocumentStore) {
    write(store, assorted()).await;
    let device = Field::Named(NamedField::DeviceId);
    let tags = Field::Property("tags".to_owned());
    let pay = Filter::is(Field::Named(NamedField::Name), ["pay"]);
    let measures = vec![
        Measure::Distinct(device, Filter::All),
        Measure::Distinct(tags, Filter::All),
        Measure::Count(pay.clone()),
        Measure::Users(pay),
    ];
    let table = groups(store, vec![], measures).await;
    assert_eq!(table[0].values, [7, 3, 20, 12]);
}

/// More groups than allowed are an error that names the maximum, never a part.
pub async fn refuses_too_many_groups(store: &impl DocumentStore) {
    write(store, assorted()).await;
    let mut question = ask(Ask::Groups {
        by: vec![GroupKey::Field(Field::Named(NamedField::DeviceId))],
        measures: vec![Measure::Count(Filter::All)],
        groups_max: 8,
    });
    assert!(store.answer(question.clone()).await.is_ok(), "seven devices and none: eight groups");
    if let Ask::Groups { groups_max, .. } = &mut question.ask {
        *groups_max = 7;
    }
    match store.answer(question).await {
        Err(StoreError::Refused(detail)) => assert!(detail.contains('7'), "{detail}"),
        other => panic!("eight groups where seven are allowed: {other:?}"),
    }
    let visits = ask(Ask::Visits { fields: vec![], visits_max: 59 });
    let outcome = store.answer(visits).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "60 visits, 59 allowed: {outcome:?}");
}

/// The earliest `(time, key)` wins, whatever the order.
pub async fn first_seen_is_the_earliest(store: &impl DocumentStore) {
    let at = |id: &str, hour: i64, page: &str| {
        let time = DAY.start_ms() + hour * 3_600_000;
        DocumentWrite::FirstSeen(page_view(APP, id, time, "d-1", page))
    };
    for candidate in [at("e-2", 5, "fifth"), at("e-1", 3, "third"), at("e-3", 9, "ninth")] {
        store.write(vec![candidate]).await.expect("write");
    }
    store.write(vec![at("e-5", 2, "second"), at("e-4", 2, "second")]).await.expect("write");
    let visits = visits_of(store, Source::FirstSeen, vec![]).await;
    let [a, b] = ["e-4", "e-5"].map(|id| page_view(APP, id, 0, "d-1", "p").key.0);
    let held = visits.iter().map(|visit| (visit.time_ms, visit.key)).collect::<Vec<_>>();
    assert_eq!(held, [(DAY.start_ms() + 2 * 3_600_000, a.min(b))]);
    let mut question = ask(Ask::Groups {
        by: vec![],
        measures: vec![Measure::Users(Filter::All), Measure::Count(Filter::All)],
        groups_max: 10,
    });
    question.source = Source::FirstSeen;
    assert_eq!(values(store, question.clone()).await, [1, 1]);
    question.filter = Filter::is(Field::Named(NamedField::PagePath), ["second"]);
    assert_eq!(values(store, question.clone()).await, [1, 1], "filters see the whole document");
    question.filter = Filter::All;
    question.from_ms = DAY.start_ms() + 2 * 3_600_000 + 1;
    assert_eq!(values(store, question).await, [0, 0], "asked for by time");
    assert_eq!(count(store, Filter::All).await, 0, "no event documents come of it");
}

/// Every follow and unfollow stays, once.
pub async fn follows_are_kept(store: &impl DocumentStore) {
    let one = |id: &str, name: &str, time| {
        DocumentWrite::Follow(document(APP, id, name, DAY.start_ms() + time, "d", "u", |_, _| {}))
    };
    let writes = vec![one("e-1", "follow", 1), one("e-2", "unfollow", 2), one("e-3", "follow", 3)];
    assert_eq!(store.write(writes.clone()).await.expect("write").existing, 0);
    assert_eq!(store.write(writes).await.expect("write").existing, 3);
    let visits = visits_of(store, Source::Follows, vec![Field::Named(NamedField::UserId)]).await;
    let seen = visits.iter().map(|visit| (&*visit.name, visit.time_ms - DAY.start_ms()));
    assert_eq!(seen.collect::<Vec<_>>(), [("follow", 1), ("unfollow", 2), ("follow", 3)]);
    assert!(visits.iter().all(|visit| visit.fields == [Some("u".into())]));
}

/// Any order, any repetition, any grouping into calls: the same answers.
pub async fn order_and_repetition_do_not_matter(store: &impl DocumentStore) {
    let documents = assorted();
    let mut writes: Vec<DocumentWrite> = Vec::new();
    for one in &documents {
        writes.push(DocumentWrite::Event(one.clone()));
        writes.push(DocumentWrite::FirstSeen(one.clone()));
        writes.push(DocumentWrite::Follow(one.clone()));
        writes.push(DocumentWrite::Visitor {
            app_id: one.app_id().into(),
            day: Day::of(one.time_ms()),
            user: one.user().into(),
        });
    }
    // A fixed disorder: strides that do not divide the length visit everything.
    for (stride, size) in [(7, 11), (101, 50), (13, 1_000)] {
        let order = (0..writes.len()).map(|n| writes[n * stride % writes.len()].clone());
        for part in order.collect::<Vec<_>>().chunks(size) {
            store.write(part.to_vec()).await.expect("write");
        }
    }
    assert_eq!(count(store, Filter::All).await, documents.len() as u64);
    let follows = visits_of(store, Source::Follows, vec![]).await;
    assert_eq!(follows.len(), documents.len());
    let first = visits_of(store, Source::FirstSeen, vec![]).await;
    let mut users: std::collections::BTreeMap<&str, (i64, u128)> = Default::default();
    for one in &documents {
        let at = (one.time_ms(), one.key.0);
        users.entry(one.user()).and_modify(|held| *held = at.min(*held)).or_insert(at);
    }
    let mut wanted: Vec<_> = users.into_values().collect();
    let mut held: Vec<_> = first.iter().map(|visit| (visit.time_ms, visit.key)).collect();
    wanted.sort_unstable();
    held.sort_unstable();
    assert_eq!(held, wanted);
}

/// Visits come by `(user, time, key)`, with the first value of each field.
pub async fn visits_are_in_order(store: &impl DocumentStore) {
    let documents = assorted();
    write(store, documents.iter().rev().cloned()).await;
    let tags = Field::Property("tags".to_owned());
    let visits = visits_of(store, Source::Events, vec![tags.clone()]).await;
    assert_eq!(visits.len(), documents.len());
    let order = |visit: &Visit| (visit.user, visit.time_ms, visit.key);
    assert!(visits.is_sorted_by_key(order), "visits are sorted by user, time and key");
    for visit in &visits {
        let one = documents.iter().find(|one| one.key.0 == visit.key).expect("a document");
        assert_eq!(&*visit.name, one.inner().name);
        assert_eq!(visit.fields[0].as_deref(), one.values(&tags).first().map(String::as_str));
        let same = documents.iter().filter(|other| other.user() == one.user()).count();
        assert_eq!(visits.iter().filter(|other| other.user == visit.user).count(), same);
    }
}

/// Retention drops event documents by the day they are filed under, not state.
pub async fn drops_days_but_not_state(store: &impl DocumentStore) {
    let (old, new) = (Day(DAY.0 - 1), DAY);
    let late = page_view(APP, "late", new.start_ms() + 5, "d-2", "p");
    let events = [
        page_view(APP, "old", old.start_ms(), "d-1", "p"),
        sample::filed_under(late, old),
        page_view(APP, "new", new.start_ms(), "d-3", "p"),
    ];
    let mut writes: Vec<_> = events.iter().cloned().map(DocumentWrite::Event).collect();
    writes.push(DocumentWrite::FirstSeen(events[0].clone()));
    writes.push(DocumentWrite::Follow(events[0].clone()));
    let user = "d-1".into();
    writes.push(DocumentWrite::Visitor { app_id: APP.into(), day: old, user });
    store.write(writes).await.expect("write");
    assert_eq!(store.days().await.expect("days"), [old, new]);
    let mut question = ask(Ask::Visits { fields: vec![], visits_max: 10 });
    question.from_ms = new.start_ms();
    match store.answer(question).await {
        Ok(Table::Visits(visits)) => assert_eq!(visits.len(), 2, "any day can hold any time"),
        other => panic!("visits were asked for: {other:?}"),
    }
    assert_eq!(store.drop_before(new).await.expect("drop"), 2, "two documents are dropped");
    assert_eq!(store.drop_before(new).await.expect("drop"), 0);
    assert_eq!(store.days().await.expect("days"), [new]);
    assert_eq!(count(store, Filter::All).await, 1);
    assert!(!store.contains(events[0].key, old).await.expect("contains"));
    assert_eq!(visits_of(store, Source::FirstSeen, vec![]).await.len(), 1, "first seen stays");
    assert_eq!(visits_of(store, Source::Follows, vec![]).await.len(), 1, "follows stay");
    assert_eq!(write(store, [events[0].clone()]).await, 0, "a dropped day can be filled again");
    assert_eq!(count(store, Filter::All).await, 2);
}

/// Names and paths of the app, sorted.
pub async fn catalogue_lists_what_was_sent(store: &impl DocumentStore) {
    write(store, assorted()).await;
    write(store, [document("other", "e", "foreign", DAY.start_ms(), "d", "", |_, _| {})]).await;
    let catalogue = store.catalogue(APP).await.expect("catalogue");
    assert_eq!(catalogue.events, ["app_show", "page_view", "pay"]);
    assert_eq!(catalogue.properties, ["deep.er", "price", "tags"]);
    assert_eq!(catalogue.ids, ["openid"]);
    assert_eq!(store.catalogue("unknown").await.expect("catalogue"), Default::default());
}

/// Property names may hold dots, control characters and quotes; values may be
/// empty or long.
pub async fn odd_names_and_long_values(store: &impl DocumentStore) {
    let long = "长".repeat(2_000);
    let text = serde_json::json!({
        "a.b": 1, "a": {"b": 2, "": "x"}, "\u{1}\u{0}\\\"": "odd", "empty": "", "long": long,
        "n": "p".repeat(300), "p".repeat(300): "path", "%2e": "percent", "1e400": 1.50,
    });
    let one = document(APP, "e-1", "e", DAY.start_ms(), "d", "", |event, _| {
        properties(event, &text.to_string());
    });
    let mut paths: Vec<String> = Vec::new();
    one.each_property(|path, _| paths.push(path.to_owned()));
    write(store, [one.clone()]).await;
    for path in paths {
        let field = Field::Property(path);
        for value in one.values(&field) {
            let filter = Filter::is(field.clone(), [value]);
            assert_eq!(count(store, filter.clone()).await, 1, "{filter:?}");
        }
        let visits = visits_of(store, Source::Events, vec![field.clone()]).await;
        assert_eq!(visits[0].fields[0].as_deref(), one.values(&field).first().map(|v| &**v));
    }
    assert_eq!(count(store, Filter::is(Field::Property("%2E".into()), ["percent"])).await, 0);
}

/// What one store wrote and closed, the next one opened on the same data finds.
pub async fn survives_reopen<S, F, Fut>(open: F)
where
    S: DocumentStore,
    F: Fn() -> Fut,
    Fut: Future<Output = S>,
{
    let documents = assorted();
    let store = open().await;
    let mut writes: Vec<_> = documents.iter().cloned().map(DocumentWrite::Event).collect();
    writes.push(DocumentWrite::FirstSeen(documents[3].clone()));
    writes.push(DocumentWrite::Follow(documents[4].clone()));
    store.write(writes).await.expect("write");
    let (catalogue, days) = (store.catalogue(APP).await, store.days().await);
    store.close().await.expect("close");
    drop(store);
    let store = open().await;
    assert_eq!(count(&store, Filter::All).await, documents.len() as u64);
    assert_eq!(write(&store, documents.clone()).await, documents.len() as u64, "still known");
    assert_eq!(visits_of(&store, Source::FirstSeen, vec![]).await.len(), 1);
    assert_eq!(visits_of(&store, Source::Follows, vec![]).await.len(), 1);
    assert_eq!(store.catalogue(APP).await.expect("catalogue"), catalogue.expect("catalogue"));
    assert_eq!(store.days().await.expect("days"), days.expect("days"));
    store.close().await.expect("close");
}

// === asking ===

/// A question about everything of the suite's app.
pub fn ask(ask: Ask) -> Question {
    Question {
        app_id: APP.into(),
        source: Source::Events,
        from_ms: (DAY.start_ms() - 30 * DAY_MS).max(0),
        to_ms: DAY.start_ms() + 30 * DAY_MS,
        filter: Filter::All,
        ask,
    }
}

/// Groups in the order of their keys, so that two answers can be compared.
pub fn sorted(groups: impl IntoIterator<Item = Group>) -> Vec<Group> {
    let mut groups: Vec<Group> = groups.into_iter().collect();
    groups.sort_by(|a, b| a.keys.cmp(&b.keys));
    groups
}

async fn write(
    store: &impl DocumentStore,
    documents: impl IntoIterator<Item = EventDocument>,
) -> u64 {
    let writes = documents.into_iter().map(DocumentWrite::Event).collect();
    let report = store.write(writes).await.expect("a write succeeds");
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    report.existing
}

async fn groups(
    store: &impl DocumentStore,
    by: Vec<GroupKey>,
    measures: Vec<Measure>,
) -> Vec<Group> {
    match store.answer(ask(Ask::Groups { by, measures, groups_max: 1_000 })).await {
        Ok(Table::Groups(groups)) => sorted(groups),
        other => panic!("groups were asked for: {other:?}"),
    }
}

async fn values(store: &impl DocumentStore, question: Question) -> Vec<u64> {
    match store.answer(question).await {
        Ok(Table::Groups(groups)) if groups.len() == 1 => groups[0].values.clone(),
        other => panic!("one group was asked for: {other:?}"),
    }
}

async fn count(store: &impl DocumentStore, filter: Filter) -> u64 {
    groups(store, vec![], vec![Measure::Count(filter)]).await[0].values[0]
}

async fn visits_of(store: &impl DocumentStore, source: Source, fields: Vec<Field>) -> Vec<Visit> {
    let mut question = ask(Ask::Visits { fields, visits_max: 1_000 });
    question.source = source;
    match store.answer(question).await {
        Ok(Table::Visits(visits)) => visits,
        other => panic!("visits were asked for: {other:?}"),
    }
}
