//! Some hundred users over a week, by seed: sessions across midnights, logins,
//! follows, profile changes, a trial environment, clocks that are ahead.

use load_tests::population::Random;
use serde_json::{Value, json};

pub const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// One event, as its sender knows it.
#[derive(Debug, Clone)]
pub struct Ev {
    pub id: String,
    pub name: &'static str,
    /// `type` on the wire.
    pub kind: &'static str,
    pub time_ms: i64,
    pub device: String,
    pub user: Option<String>,
    pub path: Option<&'static str>,
    pub platform: &'static str,
    pub env: &'static str,
    pub sku: Option<String>,
    pub tags: &'static [&'static str],
    pub status: Option<u32>,
    /// What a profile change is about.
    pub profile: Value,
}

// === impl Ev ===

impl Ev {
    /// Who is counted.
    pub fn who(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.device)
    }

    /// On the wire.
    pub fn json(&self) -> Value {
        let mut properties = match &self.profile {
            Value::Object(profile) => profile.clone(),
            _ => serde_json::Map::new(),
        };
        if let Some(sku) = &self.sku {
            properties.insert("sku".into(), json!(sku));
        }
        if !self.tags.is_empty() {
            properties.insert("tags".into(), json!(self.tags));
        }
        if let Some(status) = self.status {
            properties.insert("status".into(), json!(status));
        }
        let mut event = json!({
            "id": self.id, "name": self.name, "type": self.kind, "time": self.time_ms,
            "device_id": self.device, "properties": properties,
        });
        if let Some(user) = &self.user {
            event["user_id"] = json!(user);
        }
        if let Some(path) = self.path {
            event["page"] = json!({ "path": path, "title": "页" });
        }
        event
    }
}

/// Bursts of events from six days ago to tomorrow; all times differ, but for
/// some clicks and profile changes.
pub fn generate(seed: u64, now_ms: i64) -> Vec<Ev> {
    let mut random = Random::new(seed);
    let mut events: Vec<Ev> = Vec::new();
    let mut taken = std::collections::HashSet::new();
    // Midnights of UTC and of Shanghai, which is eight hours ahead.
    let midnight = now_ms - now_ms.rem_euclid(DAY_MS);
    for burst in 0..300 {
        let person = random.below(80);
        let (start, platform) = (burst_start(&mut random, burst, midnight, now_ms), person % 3);
        let platform = ["wx", "jd", "my"][platform as usize];
        let env = if random.below(12) == 0 { "trial" } else { "release" };
        let logged_in = person.is_multiple_of(4) && start > now_ms - 3 * DAY_MS;
        let mut time_ms = start;
        for _ in 0..1 + random.below(10) {
            while !taken.insert(time_ms) {
                time_ms += 1;
            }
            let mut ev = event(&mut random, &format!("s{seed}-{}", events.len()), person, time_ms);
            (ev.platform, ev.env) = (platform, env);
            ev.user = logged_in.then(|| format!("user-{person}"));
            match events.last().filter(|last| last.device == ev.device && last.name == ev.name) {
                // Alike but for the id: which of them is first, no answer shows.
                Some(last) if ev.name == "click" => ev = Ev { id: ev.id, ..last.clone() },
                // Which of them wins is for the store to say, always the same way.
                Some(last) if ev.name == "profile" => ev.time_ms = last.time_ms,
                _ => {}
            }
            events.push(ev);
            time_ms += pause(&mut random);
        }
    }
    events
}

fn burst_start(random: &mut Random, burst: u64, midnight: i64, now_ms: i64) -> i64 {
    let days_ago = random.below(6) as i64;
    let near = random.below(10 * MINUTE_MS as u64) as i64 - 8 * MINUTE_MS;
    match burst % 10 {
        // Across midnight in UTC, across midnight in Shanghai.
        0 => midnight - days_ago * DAY_MS + near,
        1 => midnight - days_ago * DAY_MS - 8 * 60 * MINUTE_MS + near,
        // Six days and nearly seven ago; a clock that is ahead.
        2 => now_ms - 6 * DAY_MS - random.below(20 * 60) as i64 * MINUTE_MS,
        3 if burst % 20 == 3 => now_ms + random.below(9 * 60) as i64 * MINUTE_MS,
        _ => now_ms - DAY_MS - random.below(5 * DAY_MS as u64) as i64,
    }
}

fn pause(random: &mut Random) -> i64 {
    match random.below(10) {
        0..=4 => 1_000 + random.below(28_000) as i64,
        5 => 30_000,
        6 => 31_000 + random.below(60_000) as i64,
        7 => MINUTE_MS * (5 + random.below(24) as i64),
        8 => 30 * MINUTE_MS,
        _ => MINUTE_MS * (30 + random.below(40) as i64),
    }
}

fn event(random: &mut Random, id: &str, person: u64, time_ms: i64) -> Ev {
    const NAMES: [&str; 20] = [
        "app_launch",
        "app_show",
        "app_show",
        "app_hide",
        "app_hide",
        "page_view",
        "page_view",
        "page_view",
        "page_view",
        "click",
        "click",
        "share",
        "follow",
        "unfollow",
        "order",
        "error",
        "request",
        "request",
        "profile",
        "profile",
    ];
    let name = NAMES[random.below(NAMES.len() as u64) as usize];
    let (mut kind, mut profile) = ("track", Value::Null);
    match name {
        "error" if random.below(2) == 0 => kind = "error",
        "request" if random.below(2) == 0 => kind = "request",
        "profile" => {
            kind =
                ["user_set", "user_set", "user_set_once", "user_unset"][random.below(4) as usize];
            let field = ["level", "city", "plan"][random.below(3) as usize];
            profile = json!({ field: random.below(1_000) });
        }
        _ => {}
    }
    let some = |random: &mut Random, text: String| (random.below(4) > 0).then_some(text);
    let paths = [Some("pages/index"), Some("pages/item"), Some("pages/购物车"), None];
    let sku = format!("sku-{}", random.below(12));
    Ev {
        id: id.to_owned(),
        name,
        kind,
        time_ms,
        device: format!("device-{person}"),
        user: None,
        path: paths[random.below(4) as usize],
        platform: "wx",
        env: "release",
        sku: some(random, sku).filter(|_| name != "profile"),
        tags: [&[][..], &["a"], &["b", "a"], &["中文", "b", "a"]][random.below(4) as usize],
        status: (name == "request").then(|| [200, 304, 404, 500][random.below(4) as usize]),
        profile,
    }
}

/// Batches of at most `size` events that share an envelope, in order. There is
/// no `sent_at`: no time is corrected, whatever the moment of arrival.
pub fn batches(events: &[Ev], size: usize) -> Vec<String> {
    let mut groups: std::collections::BTreeMap<(&str, &str), Vec<&Ev>> = Default::default();
    for ev in events {
        groups.entry((ev.platform, ev.env)).or_default().push(ev);
    }
    let mut bodies = Vec::new();
    for ((platform, env), group) in groups {
        for chunk in group.chunks(size) {
            let events: Vec<Value> = chunk.iter().map(|ev| ev.json()).collect();
            let batch = json!({ "platform": platform, "env": env, "events": events });
            bodies.push(batch.to_string());
        }
    }
    bodies
}
