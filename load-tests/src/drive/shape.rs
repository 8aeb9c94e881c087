//! What the events of a run are like besides their kind: how large, whose, and
//! of how many apps. Only measurements along one of these need another than
//! [`Shape::USUAL`].

use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Value, json};

use super::body::DIGITS;
use crate::population::{Random, Sent};

/// What stands before the digits of a device's number.
const MARK: &[u8] = b"device-";
/// Bytes of one property that makes an event larger; a gateway truncates beyond
/// 8 KiB.
const FILL_BYTES_MAX: usize = 4_096;
/// What such a property takes besides its text: `,"fill-0":""`.
const FILL_FRAME_BYTES: usize = 12;
/// Words that fill it: about as compressible as what people write.
const WORDS: [&str; 16] = [
    "detail", "banner", "coupon", "search", "result", "basket", "member", "season", "button",
    "screen", "source", "number", "option", "upload", "filter", "answer",
];
/// Text to take fillings from.
const TEXT_BYTES: usize = 64 * 1024;

/// Sizes, users, apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Bytes of an event in JSON, 200 to 60,000; absent: about 450, as they come.
    /// Events in other forms stay as they come.
    pub event_bytes: Option<usize>,
    /// Whose events they are.
    pub who: Who,
    /// Over HTTP, each batch comes from one of so many apps, whose write keys are
    /// those of the target with `-0`, `-1` … after them; 0: all from the target's own.
    pub apps: u32,
}

/// Whose events a run sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A device for each batch, few of them doing most.
    Crowd,
    /// A device for each event, numbered from here on: none comes twice.
    Fresh {
        /// Number of the first.
        from: u64,
    },
    /// A device for each event, any of the first so many, all alike.
    Any {
        /// How many; at least 1.
        of: u64,
    },
}

// === impl Shape ===

impl Shape {
    /// Events as they come, of a crowd, of one app.
    pub const USUAL: Self = Self { event_bytes: None, who: Who::Crowd, apps: 0 };

    /// Gives each event a device of its own, where that is wanted.
    pub fn name_devices(&self, events: &mut [Sent]) {
        if self.who == Who::Crowd {
            return;
        }
        for (index, event) in events.iter_mut().enumerate() {
            (event.device, event.user) = (format!("device-{index:0DIGITS$}"), None);
        }
    }

    /// Brings each event of a batch in JSON to its size.
    pub fn resize(&self, body: Vec<u8>) -> Vec<u8> {
        let Some(bytes) = self.event_bytes else { return body };
        // What is no batch in JSON stays as it is.
        let Ok(mut batch) = serde_json::from_slice::<Value>(&body) else { return body };
        let Some(events) = batch["events"].as_array_mut() else { return body };
        for (index, event) in events.iter_mut().enumerate() {
            resize(event, bytes, index);
        }
        batch.to_string().into_bytes()
    }

    /// Where the numbers of devices stand in a body, and of which event of the batch.
    pub fn devices(&self, body: &[u8]) -> Vec<(usize, u64)> {
        if self.who == Who::Crowd {
            return Vec::new();
        }
        let ends = body.len().saturating_sub(MARK.len() + DIGITS);
        let digits = (0..ends).filter(|at| body[*at..].starts_with(MARK)).map(|at| at + MARK.len());
        digits
            .filter_map(|at| {
                let number = std::str::from_utf8(&body[at..at + DIGITS]).ok()?;
                Some((at, number.parse().ok()?))
            })
            .collect()
    }

    /// The device of an event, by its number in the run.
    pub fn device(&self, event: u64, seed: u64) -> u64 {
        match self.who {
            Who::Crowd => 0,
            Who::Fresh { from } => from + event,
            Who::Any { of } => Random::new(event.wrapping_add(seed << 40)).below(of.max(1)),
        }
    }

    /// The write key of a batch; `None`: the target's own.
    pub fn key(&self, target: &str, batch: u64) -> Option<String> {
        let app = Random::new(batch).below(self.apps.max(1).into());
        (self.apps > 0).then(|| format!("{target}-{app}"))
    }
}

/// Takes away what an event can do without, or adds text, until it has its size.
fn resize(event: &mut Value, bytes: usize, index: usize) {
    if event.to_string().len() > bytes {
        let page = event["page"]["path"].take();
        event["page"] = json!({ "path": page });
        event["properties"] = json!({});
    }
    let mut missing = bytes.saturating_sub(event.to_string().len());
    for number in 0.. {
        let Some(room) = missing.checked_sub(FILL_FRAME_BYTES).filter(|room| *room > 0) else {
            return;
        };
        let length = room.min(FILL_BYTES_MAX);
        let from = (index * 997 + number * 31) % (TEXT_BYTES - FILL_BYTES_MAX);
        event["properties"][format!("fill-{number}")] = text()[from..from + length].into();
        missing = room - length;
    }
}

fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let (mut random, mut text) = (Random::new(3), String::with_capacity(TEXT_BYTES + 8));
        while text.len() < TEXT_BYTES {
            text.push_str(WORDS[random.below(WORDS.len() as u64) as usize]);
            text.push(' ');
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{Population, body};

    fn batch(shape: Shape) -> Vec<u8> {
        let mut events = Population::new(7, "s", 1_000, 20).events(5, 1_000_000);
        shape.name_devices(&mut events);
        shape.resize(body(&events, 1_000_000).into_bytes())
    }

    #[test]
    fn events_have_the_size_that_is_wanted() {
        for bytes in [200, 450, 1_024, 4_096, 16_384] {
            let body = batch(Shape { event_bytes: Some(bytes), ..Shape::USUAL });
            let value: Value = serde_json::from_slice(&body).expect("JSON");
            for event in value["events"].as_array().expect("events") {
                let size = event.to_string().len();
                assert!(size.abs_diff(bytes) <= 30, "{size} bytes, wanted {bytes}");
                let texts = event["properties"].as_object().expect("an object").values();
                let longest = texts.filter_map(|text| text.as_str().map(str::len)).max();
                assert!(longest.unwrap_or(0) <= FILL_BYTES_MAX);
            }
        }
    }

    #[test]
    fn what_is_usual_is_left_alone() {
        let events = Population::new(7, "s", 1_000, 20).events(5, 1_000_000);
        assert_eq!(batch(Shape::USUAL), body(&events, 1_000_000).into_bytes());
        assert!(Shape::USUAL.devices(&batch(Shape::USUAL)).is_empty());
        assert_eq!(Shape::USUAL.key("k", 5), None);
    }

    #[test]
    fn each_event_has_the_device_that_is_wanted() {
        let fresh = Shape { who: Who::Fresh { from: 1_000 }, ..Shape::USUAL };
        let found = fresh.devices(&batch(fresh));
        let numbers: Vec<u64> = found.iter().map(|(_, index)| *index).collect();
        // In `device_id` and in `session_id`.
        assert_eq!(numbers, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(fresh.device(7, 1), 1_007);
        let any = Shape { who: Who::Any { of: 50 }, ..Shape::USUAL };
        let mut seen: Vec<u64> = (0..2_000).map(|event| any.device(event, 7)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), seen.last()), (50, Some(&49)));
    }

    #[test]
    fn batches_come_from_all_apps() {
        let shape = Shape { apps: 10, ..Shape::USUAL };
        let mut keys: Vec<String> = (0..500).filter_map(|batch| shape.key("k", batch)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!((keys.len(), &*keys[0]), (10, "k-0"));
    }
}
