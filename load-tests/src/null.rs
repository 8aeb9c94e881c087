//! Parts that take everything and keep nothing, so that what is left is the cost
//! of the others.

use ahash::AHashMap;
use bytes::Bytes;
use futures::FutureExt;
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::log::LogStatus;
use sluice_seams::row::TimelineCursor;
use sluice_seams::{
    AppendError, BoxFuture, Day, DedupeIndex, DedupePartition, DocumentStore, DocumentWrite,
    EventLog, First, Key, LogRecord, Position, Profile, Question, RowStore, RowWrite, Seen,
    Sighting, StoreError, Table, TimelinePage, WriteReport,
};

/// A log that acknowledges at once and keeps nothing.
pub struct NullLog(pub u32);
/// `D` in a map that is never durable.
pub struct MapIndex;
struct MapPartition(u32, AHashMap<u128, First>);
/// Stores that keep nothing.
pub struct NullStore;

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    std::future::ready(value).boxed()
}

impl EventLog for NullLog {
    fn partitions(&self) -> u32 {
        self.0
    }
    fn append(&self, _: u32, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        ready(Ok(payload.len() as u64))
    }
    fn read(&self, _: u32, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        ready(Ok(Vec::new()))
    }
    fn wait(&self, _: u32, _: u64) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }
    fn bounds(&self, _: u32) -> (u64, u64) {
        (0, 0)
    }
    fn offset_at(&self, _: u32, _: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0))
    }
    fn declare_lane(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    fn committed(&self, _: &str, _: u32) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
    fn commit(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
    fn rewind(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
    fn status(&self) -> LogStatus {
        LogStatus::default()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
}

impl DedupeIndex for MapIndex {
    fn open(&self, partition: u32) -> Result<Box<dyn DedupePartition>, StoreError> {
        Ok(Box::new(MapPartition(partition, AHashMap::new())))
    }
    fn find(&self, _: Key) -> Result<Option<First>, StoreError> {
        Ok(None)
    }
}

impl DedupePartition for MapPartition {
    fn resolve(
        &mut self,
        _: i64,
        sightings: &[Sighting],
        verdicts: &mut Vec<Seen>,
    ) -> Result<(), StoreError> {
        for sighting in sightings {
            let held = self.1.get(&sighting.key.0).copied();
            verdicts.push(Seen::judge(held, self.0, sighting));
            let Sighting { offset, index, day, fingerprint, .. } = *sighting;
            let position = Position { partition: self.0, offset, index };
            self.1.entry(sighting.key.0).or_insert(First { position, day, fingerprint });
        }
        Ok(())
    }
    fn get(&self, key: Key) -> Result<Option<First>, StoreError> {
        Ok(self.1.get(&key.0).copied())
    }
    fn resolved(&self) -> u64 {
        0
    }
    fn persist(&mut self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }
    fn expire(&mut self, _: i64) -> Result<(), StoreError> {
        Ok(())
    }
}

impl DocumentStore for NullStore {
    fn write(&self, _: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        ready(Ok(WriteReport::default()))
    }
    fn answer(&self, _: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        ready(Ok(Table::Groups(Vec::new())))
    }
    fn contains(&self, _: Key, _: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        ready(Ok(false))
    }
    fn catalogue(&self, _: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        ready(Ok(Catalogue::default()))
    }
    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        ready(Ok(Vec::new()))
    }
    fn drop_before(&self, _: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0))
    }
    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        ready(StoreStatus::default())
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
}

impl RowStore for NullStore {
    fn write(&self, _: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        ready(Ok(WriteReport::default()))
    }
    fn timeline(
        &self,
        _: &str,
        _: &str,
        _: Option<TimelineCursor>,
        _: usize,
    ) -> BoxFuture<'_, Result<TimelinePage, StoreError>> {
        ready(Ok(TimelinePage::default()))
    }
    fn profile(&self, _: &str, _: &str) -> BoxFuture<'_, Result<Option<Profile>, StoreError>> {
        ready(Ok(None))
    }
    fn contains(
        &self,
        _: &str,
        _: &str,
        _: i64,
        _: Key,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        ready(Ok(false))
    }
    fn drop_before(&self, _: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0))
    }
    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        ready(StoreStatus::default())
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
}
