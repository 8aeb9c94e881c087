//! One fate for each event of a batch, and the receipt made of them.

use sluice_event::{EventResult, Outcome, Reason, Receipt};

/// Bytes of an id that are echoed; a valid one is far shorter.
const ECHO_BYTES_MAX: usize = 256;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    Duplicate,
    Rejected(Reason, String),
    Retry(Reason),
}

/// The fates of one batch, by index as sent.
pub(crate) struct Fates {
    fates: Vec<Option<Fate>>,
    /// All ids in one text, and where each one ends.
    ids: String,
    ends: Vec<usize>,
    /// The longest wait that a failed append asked for.
    retry_after_ms: Option<u64>,
    /// Duplicates whose content differs from the first copy.
    pub(crate) reused: u64,
}

// === impl Fates ===

impl Fates {
    pub(crate) fn with_capacity(events: usize) -> Self {
        Self {
            fates: Vec::with_capacity(events),
            ids: String::with_capacity(events * 40),
            ends: Vec::with_capacity(events),
            retry_after_ms: None,
            reused: 0,
        }
    }

    /// Adds the next event; returns its index.
    pub(crate) fn add(&mut self, id: &str) -> usize {
        let mut end = id.len().min(ECHO_BYTES_MAX);
        while !id.is_char_boundary(end) {
            end -= 1;
        }
        self.ids.push_str(&id[..end]);
        self.ends.push(self.ids.len());
        self.fates.push(None);
        self.fates.len() - 1
    }

    /// Decides an event. Each one is decided once.
    pub(crate) fn set(&mut self, at: usize, fate: Fate) {
        debug_assert!(self.fates[at].is_none(), "event {at} has a fate already: {fate:?}");
        self.fates[at] = Some(fate);
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Fate> {
        self.fates[at].as_ref()
    }

    /// Notes how long to wait before resending.
    pub(crate) fn wait(&mut self, wait_ms: u64) {
        self.retry_after_ms = Some(self.retry_after_ms.map_or(wait_ms, |ms| ms.max(wait_ms)));
    }

    /// Closes the batch. `retry_after_ms` is the wait where nothing named one.
    pub(crate) fn receipt(self, server_time_ms: i64, retry_after_ms: u64) -> Receipt {
        let mut receipt = Receipt { server_time_ms, ..Receipt::default() };
        let mut start = 0;
        for (index, (fate, end)) in self.fates.into_iter().zip(self.ends).enumerate() {
            let id = &self.ids[start..end];
            start = end;
            debug_assert!(fate.is_some(), "event {index} has no fate");
            // Undecided is a defect; to resend is the only answer that loses nothing.
            let fate = fate.unwrap_or(Fate::Retry(Reason::OutcomeUnknown));
            let (outcome, reason, detail) = match fate {
                Fate::Accepted => {
                    receipt.accepted += 1;
                    continue;
                }
                Fate::Duplicate => {
                    receipt.duplicates += 1;
                    (Outcome::Duplicate, None, String::new())
                }
                Fate::Rejected(reason, detail) => {
                    receipt.rejected += 1;
                    (Outcome::Rejected, Some(reason), detail)
                }
                Fate::Retry(reason) => {
                    receipt.retry += 1;
                    (Outcome::Retry, Some(reason), String::new())
                }
            };
            let (index, id) = (index as u32, id.to_owned());
            receipt.results.push(EventResult { index, id, outcome, reason, detail });
        }
        if receipt.retry > 0 {
            receipt.retry_after_ms = self.retry_after_ms.unwrap_or(retry_after_ms);
        }
        receipt
    }
}

/// Says in which event a detail is: `events[3].name: …` where it begins with
/// the name of a field, `events[3]: …` otherwise.
pub(crate) fn located(index: usize, detail: &str) -> String {
    let field = |c: char| c.is_ascii_alphanumeric() || "_.$[]\"".contains(c);
    let named = detail.split_once(": ").is_some_and(|(path, _)| path.chars().all(field));
    if detail.starts_with("events[") {
        detail.to_owned()
    } else if named {
        format!("events[{index}].{detail}")
    } else {
        format!("events[{index}]: {detail}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_accepted_is_listed_in_order() {
        let mut fates = Fates::with_capacity(4);
        ["a", "b", "", "d"].iter().for_each(|id| {
            fates.add(id);
        });
        fates.set(3, Fate::Retry(Reason::LogUnavailable));
        fates.set(0, Fate::Accepted);
        fates.set(1, Fate::Duplicate);
        fates.set(2, Fate::Rejected(Reason::IdMissing, "events[2].id: is missing".into()));
        let receipt = fates.receipt(7, 2_000);
        assert_eq!(receipt.total(), 4);
        assert_eq!((receipt.retry_after_ms, receipt.server_time_ms), (2_000, 7));
        let listed: Vec<_> = receipt.results.iter().map(|r| (r.index, r.id.as_str())).collect();
        assert_eq!(listed, [(1, "b"), (2, ""), (3, "d")]);
    }

    #[test]
    fn a_wait_is_named_only_where_there_is_something_to_resend() {
        let mut fates = Fates::with_capacity(1);
        fates.add("a");
        fates.set(0, Fate::Accepted);
        assert_eq!(fates.receipt(0, 2_000).retry_after_ms, 0);
        let mut fates = Fates::with_capacity(1);
        fates.add("a");
        fates.set(0, Fate::Retry(Reason::LogUnavailable));
        fates.wait(700);
        fates.wait(300);
        assert_eq!(fates.receipt(0, 2_000).retry_after_ms, 700);
    }

    #[test]
    fn an_echoed_id_is_bounded_and_cut_between_characters() {
        let mut fates = Fates::with_capacity(1);
        fates.add(&"é".repeat(40_000).replacen('é', "x", 1));
        fates.set(0, Fate::Rejected(Reason::IdMissing, String::new()));
        assert_eq!(fates.receipt(0, 0).results[0].id.len(), ECHO_BYTES_MAX - 1);
    }

    #[test]
    fn details_are_located() {
        assert_eq!(located(3, "name: is missing"), "events[3].name: is missing");
        assert_eq!(located(3, "properties.a: too long"), "events[3].properties.a: too long");
        assert_eq!(located(3, "not an object"), "events[3]: not an object");
        assert_eq!(located(3, "too large, say: 5"), "events[3]: too large, say: 5");
        assert_eq!(located(3, "events[3].id: is missing"), "events[3].id: is missing");
    }
}
