//! The cursors of a log: one that stands where somebody wants to read is used
//! again, another is placed, a new one is opened while there are few.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::error::KafkaError;

use crate::config::KafkaConfig;
use crate::cursor::Cursor;
use crate::figures::{Counters, add};

/// Idle cursors of one partition: the resolver's, and one for each lane that
/// lags. More may be open while they are in use.
const IDLE_MAX: usize = 3;
/// A cursor that was not used for this long is closed: until then it goes on fetching, which a
/// collector that has read the tail at its start would pay for with each record.
const IDLE_TIME_MAX: Duration = Duration::from_secs(5);

/// The cursors of one log.
pub(crate) struct Readers {
    config: KafkaConfig,
    topic: String,
    counters: Arc<Counters>,
    idle: Mutex<Vec<Cursor>>,
}

/// A cursor in use; goes back when dropped.
pub(crate) struct Held<'a> {
    readers: &'a Readers,
    cursor: Option<Cursor>,
}

// === impl Readers ===

impl Readers {
    pub(crate) fn new(config: &KafkaConfig, topic: &str, counters: Arc<Counters>) -> Self {
        let (config, topic) = (config.clone(), topic.to_owned());
        Self { config, topic, counters, idle: Mutex::default() }
    }

    /// A cursor at this place.
    pub(crate) fn at(&self, partition: u32, from: u64) -> Result<Held<'_>, KafkaError> {
        let cursor = match self.standing(partition, from) {
            Some(cursor) => cursor,
            None => self.placed(partition, from)?,
        };
        Ok(Held { readers: self, cursor: Some(cursor) })
    }

    fn standing(&self, partition: u32, from: u64) -> Option<Cursor> {
        let mut idle = self.idle.lock();
        let at = idle.iter().position(|it| it.partition == partition && it.next == from)?;
        Some(idle.swap_remove(at))
    }

    fn placed(&self, partition: u32, from: u64) -> Result<Cursor, KafkaError> {
        add(&self.counters.seeks, 1);
        let longest_idle = {
            let mut idle = self.idle.lock();
            let of_partition = idle.iter().enumerate().filter(|(_, it)| it.partition == partition);
            let full = of_partition.clone().count() >= IDLE_MAX;
            let oldest = of_partition.max_by_key(|(_, it)| it.idle()).map(|(at, _)| at);
            oldest.filter(|_| full).map(|at| idle.swap_remove(at))
        };
        match longest_idle {
            Some(mut cursor) => {
                cursor.place(from)?;
                Ok(cursor)
            }
            None => Cursor::open(&self.config, &self.topic, partition, from),
        }
    }

    /// Closes what nobody uses any more.
    pub(crate) fn tidy(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        let (gone, kept): (Vec<_>, Vec<_>) =
            idle.into_iter().partition(|cursor| cursor.idle() > IDLE_TIME_MAX);
        self.idle.lock().extend(kept);
        close(gone);
    }

    /// Closes all that are idle.
    pub(crate) fn close(&self) {
        close(std::mem::take(&mut *self.idle.lock()));
    }

    fn give_back(&self, cursor: Cursor) {
        let mut idle = self.idle.lock();
        let of_partition = idle.iter().filter(|it| it.partition == cursor.partition).count();
        if of_partition < IDLE_MAX {
            idle.push(cursor);
        } else {
            drop(idle);
            close(vec![cursor]);
        }
    }
}

/// Closing a consumer waits for its threads: not here.
fn close(cursors: Vec<Cursor>) {
    if !cursors.is_empty() {
        std::thread::spawn(move || drop(cursors));
    }
}

// === impl Held ===

impl Deref for Held<'_> {
    type Target = Cursor;

    fn deref(&self) -> &Cursor {
        self.cursor.as_ref().expect("it is taken out by drop only")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Cursor {
        self.cursor.as_mut().expect("it is taken out by drop only")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        match self.cursor.take() {
            Some(cursor) if cursor.astray => close(vec![cursor]),
            Some(cursor) => self.readers.give_back(cursor),
            None => {}
        }
    }
}
