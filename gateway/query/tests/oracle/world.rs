//! Some thousand events of some dozen users, by seed.

use sluice_proto::v1::{EventType, Page};
use sluice_seams::EventDocument;

use crate::days::DAY_MS;
use crate::naive::Ev;

/// Marsaglia's xorshift64.
struct Random(u64);

// === impl Random ===

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// Bursts of events over twelve days. No two events have the same time.
pub fn generate(seed: u64, first_day: i64) -> Vec<Ev> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut events = Vec::new();
    let mut taken = std::collections::HashSet::new();
    for _ in 0..260 {
        let person = random.below(45);
        // Some come late, so that each day has new users.
        let late = (person % 9) as i64;
        let mut time =
            (first_day + late) * DAY_MS + random.below((12 - late as u64) * 86_400_000) as i64;
        for _ in 0..1 + random.below(12) {
            while !taken.insert(time) {
                time += 1;
            }
            events.push(event(&mut random, events.len(), person, time));
            time += match random.below(10) {
                0..=4 => 1_000 + random.below(28_000),
                5 => 30_000,
                6 => 31_000 + random.below(60_000),
                7 => 60_000 * (5 + random.below(24)),
                8 => 30 * 60_000,
                _ => 60_000 * (30 + random.below(40)),
            } as i64;
        }
    }
    events
}

fn event(random: &mut Random, n: usize, person: u64, time: i64) -> Ev {
    let name = random.pick(&[
        "app_show",
        "app_show",
        "page_view",
        "page_view",
        "page_view",
        "page_view",
        "app_hide",
        "app_hide",
        "share",
        "follow",
        "unfollow",
        "order",
        "app_launch",
        "error",
        "request",
    ]);
    let kind = match name {
        "error" => "error",
        "request" => "request",
        _ if random.below(25) == 0 => "user_set",
        _ => "track",
    };
    let logged_in = random.below(4) == 0;
    Ev {
        id: format!("e{n}"),
        user: if logged_in { format!("u{person}") } else { format!("d{person}") },
        device: format!("d{person}"),
        time,
        name,
        kind,
        env: random.pick(&["release", "release", "release", "release", "release", "", "trial"]),
        platform: random.pick(&[Some("jd"), Some("jd"), Some("wx"), None]),
        path: random.pick(&[Some("a"), Some("b"), Some("c"), None]),
        plans: random.pick(&[&[][..], &["gold"], &["silver"], &["silver", "gold"]]),
        status: random.pick(&[
            None,
            Some(199),
            Some(200),
            Some(304),
            Some(399),
            Some(400),
            Some(500),
        ]),
    }
}

/// The event as it is filed.
pub fn document(ev: &Ev) -> EventDocument {
    crate::common::document(&ev.id, ev.name, &ev.device, ev.time, |event, envelope| {
        if ev.user != ev.device {
            event.user_id = ev.user.clone();
        }
        event.r#type = match ev.kind {
            "error" => EventType::Error,
            "request" => EventType::Request,
            "user_set" => EventType::UserSet,
            _ => EventType::Track,
        } as i32;
        envelope.env = ev.env.into();
        envelope.platform = ev.platform.unwrap_or_default().into();
        event.page = ev.path.map(|path| Page { path: path.into(), ..Page::default() });
        let mut properties = serde_json::Map::new();
        match ev.plans {
            [] => {}
            [one] => drop(properties.insert("plan".into(), (*one).into())),
            more => drop(properties.insert("plan".into(), more.to_vec().into())),
        }
        if let Some(status) = ev.status {
            properties.insert("status".into(), status.into());
        }
        event.properties = serde_json::to_vec(&properties).expect("JSON").into();
    })
}
