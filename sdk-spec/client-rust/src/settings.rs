//! The settings that `GET /v1/config` gives to SDKs (`sdk-spec/spec.md`, §10),
//! and the sampling hash (§14).

use std::time::Duration;

use serde_json::Value;

/// What is in force. Without an answer, the defaults (SDK-CONFIG-5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// The kill switch: whether anything is collected and sent.
    pub(crate) enabled: bool,
    /// Share of devices that report, 0.0..=1.0.
    pub(crate) sample_rate: f64,
    /// Between two requests that nothing calls for.
    pub(crate) flush_interval: Duration,
    /// Events in a request.
    pub(crate) batch_events_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            sample_rate: 1.0,
            flush_interval: Duration::from_millis(5_000),
            batch_events_max: 50,
        }
    }
}

// === impl Settings ===

impl Settings {
    /// The answer over what was known; a member that is unknown or out of range keeps
    /// its former value (SDK-CONFIG-6). `None`: not a gateway's answer.
    pub(crate) fn updated(&self, answer: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let enabled = answer.get("enabled")?.as_bool()?;
        let whole = |name: &str, low: u64, high: u64| {
            let value = answer.get(name).and_then(Value::as_u64);
            value.filter(|value| (low..=high).contains(value))
        };
        let rate = answer.get("sample_rate").and_then(Value::as_f64);
        let interval = whole("flush_interval_ms", 100, 86_400_000);
        let events = whole("batch_events_max", 1, 500);
        Some(Self {
            enabled,
            sample_rate: rate.filter(|rate| (0.0..=1.0).contains(rate)).unwrap_or(self.sample_rate),
            flush_interval: interval.map_or(self.flush_interval, Duration::from_millis),
            batch_events_max: events.map_or(self.batch_events_max, |events| events as usize),
        })
    }
}

/// A device's place in the sample, 0.0..1.0: it reports where that is below the rate
/// (SDK-CONFIG-3).
pub(crate) fn place(device_id: &str) -> f64 {
    let fnv = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    let mut hash = device_id.bytes().fold(2_166_136_261, fnv);
    hash = (hash ^ (hash >> 16)).wrapping_mul(2_246_822_507);
    hash = (hash ^ (hash >> 13)).wrapping_mul(3_266_489_909);
    f64::from(hash ^ (hash >> 16)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `spec.md`, §14.
    #[test]
    fn places_as_the_specification_lists_them() {
        let listed = [
            ("a", 444_641_715_u32),
            ("01935a7e-0000-7000-8000-000000000001", 3_206_749_355),
            ("设备-1", 2_188_914_980),
            ("device-😀", 2_983_602_082),
        ];
        for (text, hash) in listed {
            assert_eq!(place(text), f64::from(hash) / 4_294_967_296.0, "{text}");
        }
    }

    #[test]
    fn members_out_of_range_keep_what_was_known() {
        let known = Settings { sample_rate: 0.5, ..Settings::default() };
        let answer = br#"{"enabled":false,"sample_rate":7,"flush_interval_ms":-5,
            "batch_events_max":"9","future":{}}"#;
        assert_eq!(known.updated(answer), Some(Settings { enabled: false, ..known }));
        let answer = br#"{"enabled":true,"sample_rate":0.25,"flush_interval_ms":200,
            "batch_events_max":3}"#;
        let read = known.updated(answer).expect("read");
        assert_eq!((read.sample_rate, read.batch_events_max), (0.25, 3));
        assert_eq!(read.flush_interval, Duration::from_millis(200));
        for odd in ["", "{}", "[]", "<html>", r#"{"enabled":"yes"}"#] {
            assert_eq!(known.updated(odd.as_bytes()), None, "{odd}");
        }
    }
}
