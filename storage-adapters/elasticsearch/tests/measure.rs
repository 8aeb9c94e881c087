//! Figures, printed: documents a second and a CPU-second of writing, and the
//! time of questions. Run with
//! `cargo test --release -p sluice-elasticsearch --test measure -- --ignored --nocapture`.

mod support;

use std::collections::HashSet;
use std::time::Instant;

use sluice_seams::contract::sample::{self, DAY, document};
use sluice_seams::key::DAY_MS;
use sluice_seams::question::{Ask, Measure};
use sluice_seams::{
    Day, DocumentStore, DocumentWrite, EventDocument, Field, Filter, GroupKey, NamedField,
    Question, Source, Table,
};
use support::Place;
use support::random::Random;

const EVENTS: usize = 200_000;
const EVENTS_PER_WRITE: usize = 8_000;
const USERS: usize = 20_000;

/// An event as a mini program sends it: a page, nine properties, about 400 bytes.
fn event(random: &mut Random, n: usize) -> EventDocument {
    let day = n * 3 / EVENTS;
    let time = DAY.start_ms() + day as i64 * DAY_MS + random.below(DAY_MS as usize) as i64;
    let device = format!("device-{:08}", random.below(USERS));
    let name = ["page_view", "click", "app_show", "exposure"][random.below(4)];
    document("demo", &format!("event-{n}"), name, time, &device, "", |event, envelope| {
        let path = format!("pages/list/{}", random.below(200));
        event.page = Some(sluice_proto::v1::Page { path, ..Default::default() });
        event.session_id = format!("session-{}", random.below(EVENTS / 10));
        envelope.app_version = format!("3.{}.0", random.below(5));
        let text = format!(
            r#"{{"sku":"{}","price":{}.5,"position":{},"list":"home-{}","tab":"t{}","ab":["a{}","b{}"],"first":{},"ms":{}}}"#,
            random.below(5_000),
            random.below(900),
            random.below(40),
            random.below(9),
            random.below(5),
            random.below(3),
            random.below(3),
            random.below(2) == 0,
            random.below(3_000)
        );
        sample::properties(event, &text);
    })
}

/// Seconds of CPU that this process has used (Linux: fields 14 and 15 of
/// proc_pid_stat(5), in hundredths).
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after = text.rsplit_once(')').expect("a name").1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn writes() -> Vec<Vec<DocumentWrite>> {
    let mut random = Random::new(11);
    let (mut users, mut visitors) = (HashSet::new(), HashSet::new());
    let events: Vec<EventDocument> = (0..EVENTS).map(|n| event(&mut random, n)).collect();
    let calls = events.chunks(EVENTS_PER_WRITE).map(|some| {
        let mut writes = Vec::with_capacity(some.len() * 2);
        for one in some {
            let (user, day) = (one.user().to_owned(), Day::of(one.time_ms()));
            if visitors.insert((day, user.clone())) {
                let (app_id, user) = (one.app_id().into(), user.as_str().into());
                writes.push(DocumentWrite::Visitor { app_id, day, user });
            }
            if users.insert(user) {
                writes.push(DocumentWrite::FirstSeen(one.clone()));
            }
            writes.push(DocumentWrite::Event(one.clone()));
        }
        writes
    });
    calls.collect()
}

fn asked(name: &str) -> Question {
    let days: Vec<i64> = (0..=3).map(|day| Day(DAY.0 + day).start_ms()).collect();
    let hours: Vec<i64> = (0..=72).map(|hour| DAY.start_ms() + hour * 3_600_000).collect();
    let page = GroupKey::Field(Field::Named(NamedField::PagePath));
    let (count, users) = (Measure::Count(Filter::All), Measure::Users(Filter::All));
    let sku = Field::Property("sku".to_owned());
    let (by, measures) = match name {
        "count" => (vec![], vec![count]),
        "users" => (vec![], vec![users]),
        "day x page: count, users" => (vec![GroupKey::Time(days.into()), page], vec![count, users]),
        "hour: count, users" => (vec![GroupKey::Time(hours.into())], vec![count, users]),
        "sku: count, users" => (vec![GroupKey::Field(sku)], vec![count, users]),
        _ => {
            let price = Field::Property("price".to_owned());
            let dear = Filter::Test(price, sluice_seams::question::Test::Greater("700".into()));
            (vec![page], vec![Measure::Users(dear)])
        }
    };
    Question {
        app_id: "demo".into(),
        source: Source::Events,
        from_ms: DAY.start_ms(),
        to_ms: Day(DAY.0 + 3).start_ms(),
        filter: Filter::All,
        ask: Ask::Groups { by, measures, groups_max: 100_000 },
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn figures_of_writing_and_asking() {
    let place = Place::new();
    let store = place.open().await;
    let calls = writes();
    let documents: usize = calls.iter().map(Vec::len).sum();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut longest = 0.0f64;
    for call in calls {
        let began = Instant::now();
        let report = store.write(call).await.expect("write");
        assert_eq!((report.existing, report.refused.len()), (0, 0));
        longest = longest.max(began.elapsed().as_secs_f64());
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let of = documents as f64;
    println!(
        "{EVENTS} events, {documents} documents in {took:.1} s: {:.0} a second, {:.0} a CPU-second \
         of the client; longest write of {EVENTS_PER_WRITE} events {longest:.2} s",
        of / took,
        of / cpu
    );
    println!("{:?}", store.figures());
    let names = [
        "count",
        "users",
        "day x page: count, users",
        "hour: count, users",
        "sku: count, users",
        "page: users where price > 700",
    ];
    for name in names {
        let mut times = Vec::new();
        let mut groups = 0;
        for _ in 0..3 {
            let began = Instant::now();
            match store.answer(asked(name)).await.expect("an answer") {
                Table::Groups(found) => groups = found.len(),
                Table::Visits(_) => unreachable!("groups were asked for"),
            }
            times.push(began.elapsed().as_millis());
        }
        println!("{name}: {groups} groups, {times:?} ms");
    }
    let mut visits = asked("count");
    for fields in
        [vec![], vec![Field::Named(NamedField::PagePath)], vec![Field::Property("sku".into())]]
    {
        let many = fields.len();
        visits.ask = Ask::Visits { fields: fields.clone(), visits_max: EVENTS };
        let began = Instant::now();
        match store.answer(visits.clone()).await.expect("an answer") {
            Table::Visits(found) => assert_eq!(found.len(), EVENTS),
            Table::Groups(_) => unreachable!("visits were asked for"),
        }
        println!(
            "{EVENTS} visits with {many} fields {fields:?}: {} ms",
            began.elapsed().as_millis()
        );
    }
}
