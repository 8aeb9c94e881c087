//! Rows by user in memory: ordered maps keyed by the app's and user's names.
//!
//! A clone is the same store. Faults follow a [`Script`], one entry a `write`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sluice_seams::document::StoreStatus;
use sluice_seams::row::{Cell, TimelineCursor};
use sluice_seams::{
    BoxFuture, Day, EventDocument, Key, Profile, ProfileChange, RowStore, RowWrite, StoreError,
    TimelinePage, TimelineRow, WriteReport,
};

use crate::fault::{Fault, Script};

/// A row store in memory.
#[derive(Clone, Default)]
pub struct MemoryRows {
    state: Arc<Mutex<State>>,
    /// Why nothing is taken any more.
    refusing: Arc<Mutex<Option<StoreError>>>,
    script: Script,
}

type User = (String, String);
type Timeline = BTreeMap<(Reverse<i64>, Key), EventDocument>;

#[derive(Default)]
struct State {
    timelines: HashMap<User, Timeline>,
    profiles: HashMap<User, BTreeMap<String, Cells>>,
    /// Earliest and latest corrected time.
    seen: HashMap<User, (i64, i64)>,
}

/// A write of a cell: time, key, value; `None` unsets. Ordered as it is spelled.
type Written = (i64, Key, Option<Bytes>);

#[derive(Default)]
struct Cells {
    latest: Option<Written>,
    once: Option<Written>,
}

// === impl MemoryRows ===

impl MemoryRows {
    /// An empty store without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose `write` calls follow a script.
    pub fn with_script(script: Script) -> Self {
        Self { script, ..Self::default() }
    }

    /// The same rows after a restart: neither closed nor poisoned.
    pub fn restarted(&self) -> Self {
        Self { refusing: Arc::default(), ..self.clone() }
    }

    fn apply(&self, writes: Vec<RowWrite>, count: usize) -> WriteReport {
        let mut state = self.state.lock();
        let mut report = WriteReport::default();
        for (index, write) in writes.into_iter().take(count).enumerate() {
            if let Err(detail) = state.apply(write) {
                report.refuse(index, detail);
            }
        }
        report
    }
}

impl RowStore for MemoryRows {
    fn write(&self, writes: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        Box::pin(async move {
            let refusing = self.refusing.lock().clone();
            if let Some(error) = refusing {
                return Err(error);
            }
            let retry = || Err(StoreError::retry(Duration::from_millis(1), "scripted fault"));
            let all = writes.len();
            match self.script.take() {
                Fault::None => Ok(self.apply(writes, all)),
                Fault::Slow(delay) => {
                    tokio::time::sleep(delay).await;
                    Ok(self.apply(writes, all))
                }
                Fault::RetryBefore => retry(),
                Fault::RetryAfter => {
                    self.apply(writes, all);
                    retry()
                }
                Fault::RetryAfterSome(count) => {
                    self.apply(writes, count);
                    retry()
                }
                Fault::Poison => {
                    let error = StoreError::Poisoned("scripted fault".into());
                    *self.refusing.lock() = Some(error.clone());
                    Err(error)
                }
            }
        })
    }

    fn timeline(
        &self,
        app_id: &str,
        user: &str,
        after: Option<TimelineCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TimelinePage, StoreError>> {
        let user = (app_id.to_owned(), user.to_owned());
        Box::pin(async move {
            if limit == 0 {
                return Err(StoreError::Refused("limit 0: at least 1 is needed".into()));
            }
            let state = self.state.lock();
            let Some(timeline) = state.timelines.get(&user) else {
                return Ok(TimelinePage::default());
            };
            let behind = |(time, key): &(Reverse<i64>, Key)| {
                after.is_none_or(|at| (*time, *key) > (Reverse(at.time_ms), Key(at.key)))
            };
            let mut rows = timeline.iter().filter(|(place, _)| behind(place));
            let shown: Vec<_> = rows.by_ref().take(limit).collect();
            let more = rows.next().is_some();
            let last = shown.last().filter(|_| more);
            Ok(TimelinePage {
                next: last.map(|((time, key), _)| TimelineCursor { time_ms: time.0, key: key.0 }),
                rows: shown.into_iter().map(|(_, row)| TimelineRow(row.clone())).collect(),
            })
        })
    }

    fn profile(
        &self,
        app_id: &str,
        user: &str,
    ) -> BoxFuture<'_, Result<Option<Profile>, StoreError>> {
        let user = (app_id.to_owned(), user.to_owned());
        Box::pin(async move {
            let state = self.state.lock();
            let (seen, cells) = (state.seen.get(&user), state.profiles.get(&user));
            if seen.is_none() && cells.is_none() {
                return Ok(None);
            }
            let mut profile = Profile {
                first_seen_ms: seen.map(|(first, _)| *first),
                last_seen_ms: seen.map(|(_, last)| *last),
                ..Profile::default()
            };
            for (name, cells) in cells.into_iter().flatten() {
                if let Some(value) = cells.shown() {
                    let value = serde_json::from_slice(value).expect("checked when it was written");
                    profile.properties.insert(name.clone(), value);
                }
            }
            Ok(Some(profile))
        })
    }

    fn contains(
        &self,
        app_id: &str,
        user: &str,
        time_ms: i64,
        key: Key,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        let user = (app_id.to_owned(), user.to_owned());
        Box::pin(async move {
            let state = self.state.lock();
            let timeline = state.timelines.get(&user);
            Ok(timeline.is_some_and(|rows| rows.contains_key(&(Reverse(time_ms), key))))
        })
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut dropped = 0;
            for timeline in self.state.lock().timelines.values_mut() {
                let before = timeline.len();
                timeline.retain(|_, row| row.day >= day);
                dropped += (before - timeline.len()) as u64;
            }
            Ok(dropped)
        })
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        Box::pin(async move {
            let state = self.state.lock();
            let rows: usize = state.timelines.values().map(BTreeMap::len).sum();
            StoreStatus {
                refusing: self.refusing.lock().as_ref().map(ToString::to_string),
                disk_bytes: None,
                entries: Some(rows as u64),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let closed = StoreError::retry(Duration::from_secs(1), "the row store is closed");
            self.refusing.lock().get_or_insert(closed);
            Ok(())
        })
    }
}

// === impl State ===

impl State {
    fn apply(&mut self, write: RowWrite) -> Result<(), String> {
        match write {
            RowWrite::Timeline(document) => {
                if document.event.event.is_none() {
                    return Err("an event without content".into());
                }
                let user = (document.app_id().to_owned(), document.user().to_owned());
                let place = (Reverse(document.time_ms()), document.key);
                self.timelines.entry(user).or_default().insert(place, document);
            }
            RowWrite::Profile(change) => self.change(change)?,
            RowWrite::Seen { app_id, user, time_ms } => {
                let user = (app_id.to_string(), user.to_string());
                let (first, last) = self.seen.entry(user).or_insert((time_ms, time_ms));
                (*first, *last) = ((*first).min(time_ms), (*last).max(time_ms));
            }
        }
        Ok(())
    }

    fn change(&mut self, change: ProfileChange) -> Result<(), String> {
        let ProfileChange { app_id, user, time_ms, key, name, cell } = change;
        if let Cell::Set(value) | Cell::SetOnce(value) = &cell
            && let Err(error) = serde_json::from_slice::<serde_json::Value>(value)
        {
            return Err(format!("property {name}: {error}"));
        }
        let user = (app_id.to_string(), user.to_string());
        let profile = self.profiles.entry(user).or_default();
        let cells = profile.entry(name.to_string()).or_default();
        match cell {
            Cell::Set(value) => cells.offer((time_ms, key, Some(value))),
            Cell::Unset => cells.offer((time_ms, key, None)),
            Cell::SetOnce(value) => {
                let written = (time_ms, key, Some(value));
                let earlier = cells.once.as_ref().is_none_or(|held| written < *held);
                if earlier {
                    cells.once = Some(written);
                }
            }
        }
        Ok(())
    }
}

// === impl Cells ===

impl Cells {
    fn offer(&mut self, written: Written) {
        if self.latest.as_ref().is_none_or(|held| written > *held) {
            self.latest = Some(written);
        }
    }

    fn shown(&self) -> Option<&Bytes> {
        match (&self.latest, &self.once) {
            (Some((_, _, Some(value))), _) => Some(value),
            (Some((time, key, None)), Some((time_once, key_once, value))) => {
                value.as_ref().filter(|_| (time_once, key_once) > (time, key))
            }
            (Some((_, _, None)), None) => None,
            (None, once) => once.as_ref().and_then(|(_, _, value)| value.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> impl Fn() -> MemoryRows {
        let rows = MemoryRows::new();
        move || rows.restarted()
    }

    sluice_seams::row_store_suite!(fresh);

    fn seen(user: &str) -> RowWrite {
        RowWrite::Seen { app_id: "demo".into(), user: user.into(), time_ms: 1 }
    }

    #[tokio::test]
    async fn a_script_is_followed() {
        let script = Script::default();
        let rows = MemoryRows::with_script(script.clone());
        script.then([Fault::RetryBefore, Fault::RetryAfterSome(1), Fault::Poison]);
        let there = async |user| rows.profile("demo", user).await.expect("read succeeds").is_some();
        let write = || rows.write(vec![seen("a"), seen("b")]);
        assert!(matches!(write().await, Err(StoreError::Retry { .. })));
        assert!(!there("a").await);
        assert!(matches!(write().await, Err(StoreError::Retry { .. })));
        assert_eq!((there("a").await, there("b").await), (true, false));
        assert!(matches!(write().await, Err(StoreError::Poisoned(_))));
        assert!(matches!(write().await, Err(StoreError::Poisoned(_))), "for good");
        assert!(rows.status().await.refusing.is_some());
    }
}
