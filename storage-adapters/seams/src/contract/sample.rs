//! Small event documents for tests of every seam.

use std::sync::Arc;

use sluice_proto::v1::{Envelope, Event, RecordEvent};
use xxhash_rust::xxh3::xxh3_64;

use crate::key::AppHash;
use crate::question::Test;
use crate::{Day, EventDocument, Field, Filter, Key, NamedField, Position};

/// 2026-11-01, a day to file documents under.
pub const DAY: Day = Day(20_758);

/// A document of event `id` of `app`, with `env = release` and `platform = jd`,
/// filed under the day of `time_ms` (corrected and raw time are equal); `user`
/// may be empty. `edit` changes whatever else matters to the test.
///
/// The position follows from the key, so that the same event has the same place.
pub fn document(
    app: &str,
    id: &str,
    name: &str,
    time_ms: i64,
    device: &str,
    user: &str,
    edit: impl FnOnce(&mut Event, &mut Envelope),
) -> EventDocument {
    let mut event = Event {
        id: id.to_owned(),
        name: name.to_owned(),
        time: time_ms,
        device_id: device.to_owned(),
        user_id: user.to_owned(),
        ..Event::default()
    };
    let mut envelope = Envelope {
        app_id: app.to_owned(),
        platform: "jd".to_owned(),
        env: "release".to_owned(),
        sent_at: time_ms,
        batch_id: "sample".to_owned(),
        ..Envelope::default()
    };
    edit(&mut event, &mut envelope);
    let hash = AppHash::of(app);
    let key = hash.key(id);
    let day = Day::of(time_ms);
    let content = format!("{}\0{}\0{}", event.name, event.time, event.device_id);
    EventDocument {
        key,
        position: Position {
            partition: hash.partition(device, 4),
            offset: key.0 as u64 & 0xffff_ffff,
            index: 0,
        },
        day,
        received_at_ms: time_ms,
        source: "native".into(),
        envelope: Arc::new(envelope),
        event: Arc::new(RecordEvent {
            key: key.to_bytes().to_vec().into(),
            event: Some(event),
            time_corrected: time_ms,
            day: day.0,
            fingerprint: xxh3_64(content.as_bytes()),
            flags: 0,
        }),
    }
}

/// A `page_view` of `path` without further fields.
pub fn page_view(app: &str, id: &str, time_ms: i64, device: &str, path: &str) -> EventDocument {
    document(app, id, "page_view", time_ms, device, "", |event, _| {
        event.page = Some(sluice_proto::v1::Page { path: path.to_owned(), ..Default::default() });
    })
}

/// Sets the JSON text of an event's `properties`.
pub fn properties(event: &mut Event, json: &str) {
    event.properties = json.as_bytes().to_vec().into();
}

/// The same document under another key: for tests that order by key.
pub fn with_key(mut document: EventDocument, key: Key) -> EventDocument {
    let mut event = (*document.event).clone();
    event.key = key.to_bytes().to_vec().into();
    document.event = Arc::new(event);
    document.key = key;
    document
}

/// The same document filed under another day than that of its corrected time.
pub fn filed_under(mut document: EventDocument, day: Day) -> EventDocument {
    let mut event = (*document.event).clone();
    event.day = day.0;
    document.event = Arc::new(event);
    document.day = day;
    document
}

/// Documents that differ in everything that is asked about.
pub fn assorted() -> Vec<EventDocument> {
    let start = DAY.start_ms();
    (0..60)
        .map(|n: i64| {
            let name = ["page_view", "app_show", "pay"][n as usize % 3];
            let user = if n % 4 == 0 { format!("用户-{}", n % 5) } else { String::new() };
            let device = if n % 13 == 12 { String::new() } else { format!("d-{}", n % 7) };
            let time = start + n * 3_600_000;
            document("demo", &format!("e-{n}"), name, time, &device, &user, |event, envelope| {
                envelope.platform = ["jd", "wx"][n as usize % 2].to_owned();
                envelope.tz_offset_min = 480;
                if n % 3 == 0 {
                    event.page = Some(sluice_proto::v1::Page {
                        path: format!("pages/{}", n % 6),
                        ..Default::default()
                    });
                }
                if n % 5 < 3 {
                    let tags = ["[]", r#"["红","a"]"#, r#"["a","a","b"]"#][n as usize % 3];
                    let price = n * 7 % 30;
                    properties(
                        event,
                        &format!(
                            r#"{{"price":{price},"tags":{tags},"deep":{{"er":{}}}}}"#,
                            n % 2 == 0
                        ),
                    );
                }
                if n % 6 == 1 {
                    event.ids.insert("openid".to_owned(), format!("o-{}", n % 4));
                }
            })
        })
        .collect()
}

/// Filters over the fields of [`assorted`].
pub fn filters() -> Vec<Filter> {
    let property = |path: &str| Field::Property(path.to_owned());
    let test = |field: &Field, test| Filter::Test(field.clone(), test);
    let texts = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    let not = |filter| Filter::Not(Box::new(filter));
    let (price, tags) = (property("price"), property("tags"));
    let platform = Field::Named(NamedField::Platform);
    let jd = Filter::is(platform.clone(), ["jd"]);
    let red = Filter::is(tags.clone(), ["红"]);
    let cheap = test(&price, Test::Less("9".to_owned()));
    vec![
        Filter::All,
        not(Filter::All),
        jd.clone(),
        not(jd.clone()),
        Filter::is(platform, ["jd", "wx", "unknown"]),
        Filter::is(Field::Named(NamedField::User), ["用户-0", "d-3"]),
        Filter::is(Field::Named(NamedField::TzOffsetMin), ["480"]),
        Filter::is(Field::Named(NamedField::Type), ["track"]),
        Filter::is(property("deep.er"), ["true"]),
        Filter::is(property("deep"), ["true"]),
        Filter::is(Field::Id("openid".to_owned()), ["o-3"]),
        Filter::is(Field::Id("unionid".to_owned()), ["o-3"]),
        red.clone(),
        not(red.clone()),
        cheap.clone(),
        not(cheap.clone()),
        test(&price, Test::Greater("9".to_owned())),
        test(&price, Test::Greater("nine".to_owned())),
        test(&tags, Test::Less("b".to_owned())),
        test(&tags, Test::Exists),
        not(test(&tags, Test::Exists)),
        test(&Field::Named(NamedField::UserId), Test::Contains(texts(&["-2", "户-4"]))),
        test(
            &Field::Named(NamedField::PagePath),
            Test::Matches(regex::Regex::new("^pages/[03]$").expect("a regex")),
        ),
        Filter::And(vec![jd.clone(), cheap.clone()]),
        Filter::And(vec![]),
        Filter::Or(vec![]),
        Filter::Or(vec![red.clone(), not(jd.clone())]),
        not(Filter::And(vec![not(red), Filter::Or(vec![jd, cheap])])),
    ]
}
