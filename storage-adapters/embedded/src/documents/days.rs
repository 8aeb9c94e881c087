//! The days: one tantivy index each, in a folder named `YYYY.MM.DD`.
//!
//! Writing is serial. Writers cost memory and a thread each, so only the days
//! written to most recently keep one. Merges run beside and are bounded: a day
//! with too many segments makes its next write wait for them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use sluice_seams::{Day, Key};
use tantivy::directory::MmapDirectory;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument};

use super::schema::Layout;

/// Segments of one day beyond which a write waits for merges.
const SEGMENTS_MAX: usize = 48;
/// The longest that a write waits for merges.
const MERGE_WAIT_MAX: Duration = Duration::from_secs(20);
/// Segments of a kind that are merged at once.
const MERGE_SEGMENTS_MIN: usize = 6;
/// Segments up to this size are of one kind, documents.
const MERGE_SMALL_DOCUMENTS: u32 = 20_000;
/// Segments beyond this size are left alone, documents.
const MERGE_DOCUMENTS_MAX: usize = 3_000_000;
/// Ends the names of folders that are being removed.
const DROPPED: &str = ".dropped";

/// All days of a store.
pub struct Days {
    dir: PathBuf,
    layout: Layout,
    writer_heap_bytes: usize,
    open_writers_max: usize,
    days: RwLock<BTreeMap<Day, Arc<DayIndex>>>,
    /// The most recently used stands last.
    writers: Mutex<Vec<(Day, IndexWriter)>>,
}

/// A document to be created under a key.
pub struct Filed {
    /// Number of the call that brought it.
    pub call: usize,
    /// Its key.
    pub key: Key,
    /// What is filed.
    pub document: TantivyDocument,
}

struct DayIndex {
    index: Index,
    reader: IndexReader,
}

// === impl Days ===

impl Days {
    /// Opens all days below `dir`.
    pub fn open(
        dir: PathBuf,
        writer_heap_bytes: usize,
        open_writers_max: usize,
    ) -> tantivy::Result<Self> {
        fs::create_dir_all(&dir)?;
        let days = Self {
            dir,
            layout: Layout::new(),
            writer_heap_bytes,
            open_writers_max: open_writers_max.max(1),
            days: RwLock::default(),
            writers: Mutex::default(),
        };
        for entry in fs::read_dir(&days.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(DROPPED) {
                fs::remove_dir_all(days.dir.join(name))?;
            } else if let Some(day) = day_of(&name) {
                let index = days.open_day(&name)?;
                days.days.write().insert(day, index);
            }
        }
        Ok(days)
    }

    /// How documents are laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    fn open_day(&self, name: &str) -> tantivy::Result<Arc<DayIndex>> {
        let dir = self.dir.join(name);
        if !dir.exists() {
            fs::create_dir(&dir)?;
            sync_dir(&self.dir)?;
        }
        let index = Index::open_or_create(MmapDirectory::open(&dir)?, self.layout.schema.clone())?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Arc::new(DayIndex { index, reader }))
    }

    fn day(&self, day: Day) -> tantivy::Result<Arc<DayIndex>> {
        if let Some(held) = self.days.read().get(&day) {
            return Ok(held.clone());
        }
        let opened = self.open_day(&name_of(day))?;
        self.days.write().insert(day, opened.clone());
        Ok(opened)
    }

    /// Creates documents under their keys; durable and seen on return. Answers
    /// the call of each one that was there already.
    pub fn create(&self, day: Day, documents: Vec<Filed>) -> tantivy::Result<Vec<usize>> {
        let mut writers = self.writers.lock();
        let index = self.day(day)?;
        let known = Known::new(&index.reader.searcher(), &self.layout)?;
        let (mut fresh, mut existing) = (HashSet::with_capacity(documents.len()), Vec::new());
        let mut added = Vec::with_capacity(documents.len());
        for Filed { call, key, document } in documents {
            if fresh.contains(&key) || known.contains(key, &self.layout)? {
                existing.push(call);
            } else {
                fresh.insert(key);
                added.push(document);
            }
        }
        if added.is_empty() {
            return Ok(existing);
        }
        let writer = self.writer(&mut writers, day, &index)?;
        for document in added {
            writer.add_document(document)?;
        }
        writer.commit()?;
        let waited = Instant::now();
        while index.index.searchable_segment_ids()?.len() > SEGMENTS_MAX
            && waited.elapsed() < MERGE_WAIT_MAX
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        index.reader.reload()?;
        Ok(existing)
    }

    fn writer<'a>(
        &self,
        writers: &'a mut Vec<(Day, IndexWriter)>,
        day: Day,
        index: &DayIndex,
    ) -> tantivy::Result<&'a mut IndexWriter> {
        if let Some(at) = writers.iter().position(|(of, _)| *of == day) {
            let held = writers.remove(at);
            writers.push(held);
        } else {
            while writers.len() >= self.open_writers_max {
                self.close_writer(writers.remove(0))?;
            }
            let options = IndexWriterOptions::builder()
                .num_worker_threads(1)
                .num_merge_threads(1)
                .memory_budget_per_thread(self.writer_heap_bytes)
                .build();
            let writer = index.index.writer_with_options(options)?;
            let mut policy = LogMergePolicy::default();
            policy.set_min_num_segments(MERGE_SEGMENTS_MIN);
            policy.set_min_layer_size(MERGE_SMALL_DOCUMENTS);
            policy.set_max_docs_before_merge(MERGE_DOCUMENTS_MAX);
            writer.set_merge_policy(Box::new(policy));
            writers.push((day, writer));
        }
        let (_, writer) = writers.last_mut().expect("one was just put there");
        Ok(writer)
    }

    fn close_writer(&self, (day, writer): (Day, IndexWriter)) -> tantivy::Result<()> {
        writer.wait_merging_threads()?;
        if let Some(index) = self.days.read().get(&day) {
            index.reader.reload()?;
        }
        Ok(())
    }

    /// Whether a key is filed under a day.
    pub fn contains(&self, day: Day, key: Key) -> tantivy::Result<bool> {
        let Some(index) = self.days.read().get(&day).cloned() else { return Ok(false) };
        Known::new(&index.reader.searcher(), &self.layout)?.contains(key, &self.layout)
    }

    /// A view of every day, ascending.
    pub fn searchers(&self) -> Vec<(Day, Searcher)> {
        let days = self.days.read();
        days.iter().map(|(day, index)| (*day, index.reader.searcher())).collect()
    }

    /// Removes all days before `day`; answers how many documents went.
    pub fn drop_before(&self, day: Day) -> tantivy::Result<u64> {
        let mut writers = self.writers.lock();
        let old: Vec<Day> = self.days.read().range(..day).map(|(day, _)| *day).collect();
        let mut dropped = 0;
        for day in old {
            if let Some(at) = writers.iter().position(|(of, _)| *of == day) {
                writers.remove(at).1.wait_merging_threads()?;
            }
            let Some(index) = self.days.write().remove(&day) else { continue };
            dropped += index.reader.searcher().num_docs();
            let name = name_of(day);
            let gone = self.dir.join(format!("{name}{DROPPED}"));
            fs::rename(self.dir.join(name), &gone)?;
            sync_dir(&self.dir)?;
            fs::remove_dir_all(&gone)?;
            sync_dir(&self.dir)?;
        }
        Ok(dropped)
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> u64 {
        let days = self.days.read();
        let folders = days.keys().filter_map(|&day| fs::read_dir(self.dir.join(name_of(day))).ok());
        folders.flatten().filter_map(|entry| entry.ok()?.metadata().ok()).map(|m| m.len()).sum()
    }

    /// Ends all writers after their merges.
    pub fn close(&self) -> tantivy::Result<()> {
        let mut writers = self.writers.lock();
        writers.drain(..).try_for_each(|writer| self.close_writer(writer))
    }
}

/// The keys of a day, as its segments know them.
struct Known(Vec<Arc<tantivy::InvertedIndexReader>>);

impl Known {
    fn new(searcher: &Searcher, layout: &Layout) -> tantivy::Result<Self> {
        let segments = searcher.segment_readers().iter();
        Ok(Self(segments.map(|one| one.inverted_index(layout.key())).collect::<Result<_, _>>()?))
    }

    fn contains(&self, key: Key, layout: &Layout) -> tantivy::Result<bool> {
        let term = layout.key_term(key);
        for terms in &self.0 {
            if terms.get_term_info(&term)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Makes the entries of a folder durable.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// `YYYY.MM.DD` of a day (Howard Hinnant's `civil_from_days`).
fn name_of(day: Day) -> String {
    let shifted = i64::from(day.0) + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}.{month:02}.{date:02}")
}

/// The day of such a name (`days_from_civil`); `None` for any other name.
fn day_of(name: &str) -> Option<Day> {
    let mut parts = name.splitn(3, '.').map(|part| part.parse::<i64>().ok());
    let (year, month, date) = (parts.next()??, parts.next()??, parts.next()??);
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let day = Day(i32::try_from(days).ok()?);
    (name_of(day) == name).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_days_are_dates() {
        for (day, name) in [(0, "1970.01.01"), (20_758, "2026.11.01"), (11_016, "2000.02.29")] {
            assert_eq!(name_of(Day(day)), name);
        }
        for day in (-800_000..800_000).step_by(97) {
            assert_eq!(day_of(&name_of(Day(day))), Some(Day(day)));
        }
        for name in ["", "2026.11", "2026.11.31", "2026.1.01", "2026.11.01.dropped", "x.y.z"] {
            assert_eq!(day_of(name), None, "{name}");
        }
    }
}
