//! Random documents, filters and questions; the same for the same seed.

use std::sync::Arc;

use sluice_seams::contract::sample::{self, DAY, document};
use sluice_seams::question::{Ask, Measure, Test};
use sluice_seams::{
    DocumentWrite, EventDocument, Field, Filter, GroupKey, NamedField, Question, Source,
};
use xxhash_rust::xxh3::xxh3_64;

const HOUR: i64 = 3_600_000;
const APPS: [&str; 2] = ["demo", "other"];
const TEXTS: [&str; 14] =
    ["", "a", "b", "a=b", "100%", "*", "?x", r"\", "红", "红\n茶", "\u{1f600}", "true", "10", "9"];

/// A small generator (xorshift64*, Vigna 2016): tests need no more.
pub struct Random(u64);

impl Random {
    /// From a seed other than zero.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of `0..below`.
    pub fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (high as usize * below) >> 32
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[self.below(some.len())]
    }

    /// Puts into another order.
    pub fn shuffle<T>(&mut self, some: &mut [T]) {
        for at in (1..some.len()).rev() {
            some.swap(at, self.below(at + 1));
        }
    }
}

/// Paths of properties, among them some that share a slot with `price`.
pub fn paths() -> Vec<String> {
    let slots = sluice_elasticsearch::PATH_SLOTS;
    let price = xxh3_64(b"price") % slots;
    let same = (0..).map(|n| format!("k{n}"));
    let same = same.filter(|name| xxh3_64(name.as_bytes()) % slots == price).take(3);
    let plain = ["price", "tags", "a.b", "a", "odd=name", "odd", "%", "deep.er.est"];
    plain.iter().map(|&name| name.to_owned()).chain(same).collect()
}

fn scalar(random: &mut Random) -> String {
    match random.below(6) {
        0 => ["1.0", "1e3", "1.50", "-0.0", "-7", "18446744073709551615", "1e-7"][random.below(7)]
            .to_owned(),
        1 => random.below(12).to_string(),
        2 => "null".to_owned(),
        3 => ["true", "false"][random.below(2)].to_owned(),
        _ => serde_json::to_string(random.of(&TEXTS)).expect("JSON"),
    }
}

fn value(random: &mut Random) -> String {
    match random.below(4) {
        0 => {
            let parts: Vec<String> = (0..random.below(4)).map(|_| scalar(random)).collect();
            format!("[{}]", parts.join(","))
        }
        1 if random.below(4) == 0 => {
            format!(r#"[[{}],{{"x":{}}}]"#, scalar(random), scalar(random))
        }
        _ => scalar(random),
    }
}

fn properties(random: &mut Random) -> String {
    let mut members = Vec::new();
    for path in paths() {
        match random.below(5) {
            0 | 1 => {
                let name = serde_json::to_string(&path).expect("JSON");
                members.push(format!("{name}:{}", value(random)));
            }
            2 if path == "a.b" => members.push(format!(r#""a":{{"b":{}}}"#, value(random))),
            _ => {}
        }
    }
    random.shuffle(&mut members);
    format!("{{{}}}", members.join(","))
}

/// The `n`-th document of a seed.
pub fn event(random: &mut Random, n: usize) -> EventDocument {
    let app = APPS[usize::from(random.below(6) == 0)];
    let time = DAY.start_ms() + random.below(80) as i64 * HOUR + random.below(3) as i64;
    let name = ["view", "pay", "show", "红包"][random.below(4)];
    let device = ["", "d-1", "d-2", "d-3", "d-4", "d-5"][random.below(6)];
    let user = ["", "", "u-1", "u-2", "用户"][random.below(5)];
    let one = document(app, &format!("e-{n}"), name, time, device, user, |event, envelope| {
        envelope.platform = ["jd", "wx", ""][random.below(3)].to_owned();
        envelope.tz_offset_min = [480, -60, 0][random.below(3)];
        if random.below(2) == 0 {
            let path = TEXTS[random.below(8)].to_owned();
            event.page = Some(sluice_proto::v1::Page { path, ..Default::default() });
        }
        if random.below(5) > 0 {
            sample::properties(event, &properties(random));
        }
        for name in ["openid", "unionid", "x=y"] {
            if random.below(3) == 0 {
                event.ids.insert(name.to_owned(), TEXTS[random.below(6)].to_owned());
            }
        }
    });
    // Some stand under another day than that of their time.
    match random.below(10) {
        0 => sample::filed_under(one, DAY),
        _ => one,
    }
}

/// What fan out makes of documents.
pub fn writes(documents: &[EventDocument]) -> Vec<DocumentWrite> {
    let mut writes = Vec::new();
    for one in documents {
        writes.push(DocumentWrite::Event(one.clone()));
        writes.push(DocumentWrite::FirstSeen(one.clone()));
        if one.inner().name == "pay" {
            writes.push(DocumentWrite::Follow(one.clone()));
        }
        writes.push(DocumentWrite::Visitor {
            app_id: one.app_id().into(),
            day: sluice_seams::Day::of(one.time_ms()),
            user: one.user().into(),
        });
    }
    writes
}

fn field(random: &mut Random) -> Field {
    match random.below(5) {
        0 => Field::Id(["openid", "unionid", "x=y", "none"][random.below(4)].to_owned()),
        1 | 2 => {
            let paths = paths();
            Field::Property(match random.below(8) {
                0 => "none".to_owned(),
                1 => "tags.x".to_owned(),
                _ => random.of(&paths).clone(),
            })
        }
        _ => {
            use NamedField as F;
            let some = [F::Name, F::User, F::UserId, F::PagePath, F::Platform, F::TzOffsetMin];
            Field::Named(match random.below(8) {
                0 => *random.of(NamedField::ALL),
                _ => *random.of(&some),
            })
        }
    }
}

fn test(random: &mut Random) -> Test {
    let bounds = ["", "5", "9", "10.0", "b", "红", "-1", "1e2"];
    let text = |random: &mut Random| (*random.of(&TEXTS)).to_owned();
    match random.below(7) {
        0 | 1 => Test::Is((0..random.below(4)).map(|_| text(random)).collect()),
        2 => Test::Contains((0..random.below(3)).map(|_| text(random)).collect()),
        3 => {
            let patterns = ["^a", "^$", "[0-9]+", "红.", r"(?s)红.茶", r"\.", "^-?1"];
            Test::Matches(regex::Regex::new(patterns[random.below(7)]).expect("a regex"))
        }
        4 => Test::Less((*random.of(&bounds)).to_owned()),
        5 => Test::Greater((*random.of(&bounds)).to_owned()),
        _ => Test::Exists,
    }
}

/// A filter.
pub fn filter(random: &mut Random, depth: usize) -> Filter {
    let parts = |random: &mut Random| -> Vec<Filter> {
        (0..random.below(3)).map(|_| filter(random, depth - 1)).collect()
    };
    match random.below(if depth == 0 { 4 } else { 8 }) {
        0 => Filter::All,
        4 => Filter::And(parts(random)),
        5 => Filter::Or(parts(random)),
        6 => Filter::Not(Box::new(filter(random, depth - 1))),
        _ => Filter::Test(field(random), test(random)),
    }
}

/// Edges of days with the hours that clock changes leave, of hours, or anything.
fn edges(random: &mut Random) -> Arc<[i64]> {
    let mut edge = DAY.start_ms() + (random.below(60) as i64 - 30) * HOUR;
    let mut edges = vec![edge];
    let kind = random.below(4);
    for n in 0..random.below(30) {
        edge += match kind {
            0 => HOUR,
            1 => [24, 24, 23, 24, 25, 24][n % 6] * HOUR,
            2 => 7 * HOUR + 13,
            _ => random.below(9) as i64 * HOUR / 2,
        };
        edges.push(edge);
    }
    edges.into()
}

/// A question.
pub fn question(random: &mut Random) -> Question {
    let (from_ms, to_ms) = match random.below(4) {
        0 => (i64::MIN, i64::MAX),
        1 => {
            let from = DAY.start_ms() + random.below(70) as i64 * HOUR;
            (from, from + (random.below(40) as i64 - 2) * HOUR)
        }
        _ => (DAY.start_ms(), DAY.start_ms() + 90 * HOUR),
    };
    let ask = if random.below(4) == 0 {
        let fields = (0..random.below(4)).map(|_| field(random)).collect();
        Ask::Visits { fields, visits_max: [100, 100_000][random.below(2)] }
    } else {
        let key = |random: &mut Random| match random.below(3) {
            0 => GroupKey::Time(edges(random)),
            _ => GroupKey::Field(field(random)),
        };
        let measure = |random: &mut Random| {
            let depth = random.below(2);
            let filter = filter(random, depth);
            match random.below(4) {
                0 => Measure::Count(filter),
                1 | 2 => Measure::Users(filter),
                _ => Measure::Distinct(field(random), filter),
            }
        };
        Ask::Groups {
            by: (0..random.below(4)).map(|_| key(random)).collect(),
            measures: (0..random.below(5)).map(|_| measure(random)).collect(),
            groups_max: [10, 100_000][usize::from(random.below(5) > 0)],
        }
    };
    Question {
        app_id: APPS[usize::from(random.below(5) == 0)].into(),
        source: *random.of(&[Source::Events, Source::Events, Source::FirstSeen, Source::Follows]),
        from_ms,
        to_ms,
        filter: filter(random, 2),
        ask,
    }
}
