//! How far the document store is complete where other processes bring it in.
//!
//! Now and then the log's ends are noted with the moment for which they hold;
//! once the documents lane has committed up to such an end, everything
//! acknowledged before that moment can be asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sluice_fanout::DOCUMENTS_LANE;
use sluice_seams::EventLog;
use sluice_telemetry::Clock;
use tokio_util::task::AbortOnDropHandle;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Ends kept: two minutes of them. A lane further behind than that is complete
/// until the last moment that was seen to be.
const SAMPLES_MAX: usize = 240;

/// The log's ends at a moment.
#[derive(Debug)]
struct Sample {
    at_ms: i64,
    ends: Vec<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    samples: VecDeque<Sample>,
    /// By partition: complete until this moment, which held at this end.
    until: Vec<(i64, u64)>,
}

/// Watches the commits of others. Ends when dropped.
pub struct Progress {
    seen: Arc<Mutex<Seen>>,
    _watch: AbortOnDropHandle<()>,
}

// === impl Progress ===

impl Progress {
    /// Begins to watch. Within a tokio runtime.
    pub fn watch(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let watch = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    look(&log, &*clock, &seen).await;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        });
        Self { seen, _watch: AbortOnDropHandle::new(watch) }
    }

    /// Everything acknowledged before this moment in partitions other than
    /// these can be asked for, milliseconds since the Unix epoch; 0 where that
    /// is not known yet, `None` where there are no others.
    pub fn complete_until_ms(&self, except: &[u32]) -> Option<i64> {
        let seen = self.seen.lock();
        if seen.until.is_empty() {
            return Some(0);
        }
        let others = seen.until.iter().enumerate();
        let others = others.filter(|(partition, _)| !except.contains(&(*partition as u32)));
        others.map(|(_, (at_ms, _))| *at_ms).min()
    }
}

async fn look(log: &Arc<dyn EventLog>, clock: &dyn Clock, seen: &Mutex<Seen>) {
    let partitions = log.partitions();
    let at_ms = log.bounds_at_ms(clock.now_ms());
    let ends: Vec<u64> = (0..partitions).map(|partition| log.bounds(partition).1).collect();
    let asked = Arc::clone(log);
    // It may ask a broker, and block.
    let committed = tokio::task::spawn_blocking(move || {
        (0..partitions)
            .map(|partition| asked.committed(DOCUMENTS_LANE, partition))
            .collect::<Result<Vec<_>, _>>()
    });
    match committed.await {
        Ok(Ok(committed)) => {
            let committed: Vec<u64> =
                committed.into_iter().map(Option::unwrap_or_default).collect();
            seen.lock().note(Sample { at_ms, ends }, &committed);
        }
        Ok(Err(error)) => tracing::warn!(%error, "how far the documents are is not known now"),
        Err(error) => tracing::error!(%error, "looking at the commits failed"),
    }
}

// === impl Seen ===

impl Seen {
    fn note(&mut self, now: Sample, committed: &[u64]) {
        // The same moment again: the log has not heard of its ends since.
        if self.samples.back().is_none_or(|last| last.at_ms < now.at_ms) {
            self.samples.push_back(now);
        }
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.until.resize(committed.len(), (0, u64::MAX));
        for (partition, committed) in committed.iter().enumerate() {
            let reached =
                |sample: &&Sample| sample.ends.get(partition).is_some_and(|end| end <= committed);
            if let Some(sample) = self.samples.iter().rev().find(reached) {
                self.until[partition] = (sample.at_ms, sample.ends[partition]);
            } else if self.until[partition].1 > *committed {
                // Set back: what was complete is not any more.
                self.until[partition] = (0, u64::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: i64, end: u64) -> Sample {
        Sample { at_ms, ends: vec![end] }
    }

    #[test]
    fn complete_until_the_last_moment_whose_end_is_committed() {
        let mut seen = Seen::default();
        seen.note(sample(1_000, 10), &[4]);
        assert_eq!(seen.until, [(0, u64::MAX)], "not known yet");
        seen.note(sample(2_000, 20), &[15]);
        assert_eq!(seen.until, [(1_000, 10)]);
        seen.note(sample(3_000, 20), &[20]);
        assert_eq!(seen.until, [(3_000, 20)]);
        seen.note(sample(4_000, 30), &[20]);
        assert_eq!(seen.until, [(3_000, 20)], "not past what is committed");
        seen.note(sample(5_000, 30), &[3]);
        assert_eq!(seen.until, [(0, u64::MAX)], "set back");
    }

    #[test]
    fn a_lane_behind_all_samples_keeps_what_it_had() {
        let mut seen = Seen::default();
        seen.note(sample(0, 5), &[5]);
        for at in 1..=SAMPLES_MAX as i64 + 1 {
            seen.note(sample(at, 5 + at as u64), &[5]);
        }
        assert_eq!(seen.until, [(0, 5)]);
    }
}
