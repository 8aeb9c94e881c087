//! Events as real mini programs send them: users and pages by Zipf's law,
//! sessions, a fixed seed. The same seed gives the same events.

use serde_json::{Value, json};

/// A small generator of pseudo-random numbers (SplitMix64, public domain).
#[derive(Debug, Clone)]
pub struct Random(u64);

/// One event, as its sender knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Id.
    pub id: String,
    /// Name.
    pub name: &'static str,
    /// Device clock, milliseconds.
    pub time_ms: i64,
    /// Device.
    pub device: String,
    /// User, after login.
    pub user: Option<String>,
    /// Page.
    pub page: String,
    /// A custom property.
    pub sku: u64,
}

/// Generates events of a population.
#[derive(Debug, Clone)]
pub struct Population {
    random: Random,
    prefix: String,
    users: u64,
    pages: u64,
    next: u64,
}

const NAMES: [(&str, u64); 8] = [
    ("page_view", 50),
    ("click", 20),
    ("exposure", 12),
    ("app_show", 6),
    ("app_hide", 6),
    ("app_launch", 3),
    ("share", 2),
    ("order", 1),
];

// === impl Random ===

impl Random {
    /// A generator that repeats itself for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A rank in `0..end`, the first the most likely: density about 1/rank.
    pub fn zipf(&mut self, end: u64) -> u64 {
        let share = self.bits() as f64 / u64::MAX as f64;
        ((end as f64).powf(share) as u64).clamp(1, end) - 1
    }

    /// Puts a list into a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}

// === impl Population ===

impl Population {
    /// A population whose ids begin with `prefix`.
    pub fn new(seed: u64, prefix: &str, users: u64, pages: u64) -> Self {
        Self { random: Random::new(seed), prefix: prefix.to_owned(), users, pages, next: 0 }
    }

    /// The next event, at about `time_ms`.
    pub fn event(&mut self, time_ms: i64) -> Sent {
        let n = self.next;
        self.next += 1;
        let person = self.random.zipf(self.users);
        let mut pick = self.random.below(NAMES.iter().map(|(_, weight)| weight).sum());
        let name = NAMES.iter().find(|(_, weight)| {
            let found = pick < *weight;
            pick = pick.saturating_sub(*weight);
            found
        });
        Sent {
            id: format!("{}-{n}", self.prefix),
            name: name.map_or("page_view", |(name, _)| name),
            time_ms: time_ms - self.random.below(60_000) as i64,
            device: format!("device-{person}"),
            user: person.is_multiple_of(3).then(|| format!("user-{person}")),
            page: format!("pages/item/{}", self.random.zipf(self.pages)),
            sku: self.random.below(1_000),
        }
    }

    /// `count` events at about `time_ms`.
    pub fn events(&mut self, count: usize, time_ms: i64) -> Vec<Sent> {
        (0..count).map(|_| self.event(time_ms)).collect()
    }
}

// === impl Sent ===

impl Sent {
    /// Who is counted as one user.
    pub fn counted_user(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.device)
    }

    /// What its id begins with: who sent it.
    pub fn crowd(&self) -> &str {
        self.id.split('-').next().unwrap_or_default()
    }

    /// The event on the wire, about 450 bytes; `properties.eid` repeats the id so
    /// that answers can be grouped by it.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "time": self.time_ms,
            "device_id": self.device, "user_id": self.user.as_deref().unwrap_or_default(),
            "session_id": format!("s-{}", self.device), "scene": "1001",
            "page": { "path": self.page, "query": "from=list", "title": "商品详情" },
            "properties": {
                "eid": self.id, "crowd": self.crowd(), "sku": self.sku.to_string(), "price": 12.5, "vip": self.sku.is_multiple_of(2),
                "tags": ["a", "中文"], "position": self.sku % 17, "list": "recommend",
                "campaign": "double-eleven", "ab": { "home": "B", "detail": "control" },
            },
        })
    }
}

/// A batch of events as a request body.
pub fn body(events: &[Sent], sent_at_ms: i64) -> String {
    let events: Vec<Value> = events.iter().map(Sent::json).collect();
    json!({
        "platform": "wx", "app_version": "1.2.3", "sent_at": sent_at_ms,
        "sdk": { "name": "load-tests", "version": "1" },
        "device": { "model": "iPhone 15", "os": "iOS", "network": "wifi" },
        "events": events,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let make = || Population::new(7, "a", 1000, 50).events(100, 1_000_000);
        assert_eq!(make(), make());
        let bytes = make()[0].json().to_string().len();
        assert!((350..550).contains(&bytes), "{bytes} bytes an event");
    }

    #[test]
    fn few_users_do_most() {
        let mut random = Random::new(1);
        let ranks: Vec<u64> = (0..10_000).map(|_| random.zipf(10_000)).collect();
        let top = ranks.iter().filter(|&&rank| rank < 100).count();
        assert!((4_000..6_000).contains(&top), "{top}");
        assert!(ranks.iter().all(|&rank| rank < 10_000));
    }
}
