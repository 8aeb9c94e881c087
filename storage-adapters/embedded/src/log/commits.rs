//! How far each lane has come: one small file, replaced whole.
//!
//! Commits that arrive while one is being written are written together by the
//! next. The file:
//!
//! ```text
//! sluice-commits 1 89abcdef                     CRC-32 of what follows
//! {"documents":[17,null],"rows":[12,3]}         by lane, by partition
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};
use sluice_seams::StoreError;
use tokio::sync::oneshot;

use super::config::{LogConfig, OpenError};
use super::io::{DiskIo, replace};
use super::segment::damage;

const FILE: &str = "commits";
const TITLE: &str = "sluice-commits 1 ";
/// Most lanes a log keeps.
const LANES_MAX: usize = 64;
/// Longest name of a lane, bytes.
const LANE_BYTES_MAX: usize = 64;
/// Far above the size of a real one (64 lanes of 1024 partitions).
const FILE_BYTES_MAX: u64 = 4 << 20;

type Lanes = BTreeMap<String, Vec<Option<u64>>>;
/// Resolves once a change is durable.
pub(super) type Noted = oneshot::Receiver<Result<(), StoreError>>;

/// The commits of a log.
#[derive(Debug)]
pub(super) struct Commits {
    state: Mutex<State>,
    wake: Condvar,
    /// Signalled after every write, for those who cannot await.
    written: Condvar,
    partitions: usize,
}

#[derive(Debug, Default)]
struct State {
    wanted: Lanes,
    durable: Lanes,
    dirty: bool,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    closed: bool,
    poisoned: Option<String>,
}

// === impl Commits ===

impl Commits {
    /// Reads the file.
    pub(super) fn open(config: &LogConfig) -> Result<Self, OpenError> {
        let partitions = config.partitions as usize;
        let path = config.dir.join(FILE);
        let lanes = read_file(&path, config.partitions)?
            .map_err(|_| config.damaged(damage(&path, 0, "its checksum is wrong")))?;
        let state = State { wanted: lanes.clone(), durable: lanes, ..State::default() };
        Ok(Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            written: Condvar::new(),
            partitions,
        })
    }

    /// The highest offset that any lane has noted for a partition.
    pub(super) fn highest(&self, partition: u32) -> u64 {
        let state = self.state.lock();
        let noted = state.durable.values().filter_map(|lane| lane[partition as usize]);
        noted.max().unwrap_or(0)
    }

    /// The lowest offset that some lane still needs; `None` where there is no lane.
    pub(super) fn lowest(&self, partition: u32) -> Option<u64> {
        let state = self.state.lock();
        // A rewind that is not yet durable counts already, an advance does not.
        let lowest =
            |lanes: &Lanes| lanes.values().map(|lane| lane[partition as usize].unwrap_or(0)).min();
        lowest(&state.durable).into_iter().chain(lowest(&state.wanted)).min()
    }

    pub(super) fn get(&self, lane: &str, partition: u32) -> Option<u64> {
        let state = self.state.lock();
        *state.durable.get(lane)?.get(partition as usize)?
    }

    /// Declares a lane and waits until that is durable.
    pub(super) fn declare(&self, lane: &str) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.durable.contains_key(lane) {
            return Ok(());
        }
        state.lane(lane, self.partitions)?;
        state.dirty = true;
        self.wake.notify_one();
        while !state.durable.contains_key(lane) {
            if let Some(detail) = &state.poisoned {
                return Err(StoreError::Poisoned(detail.clone()));
            }
            if state.closed {
                return Err(closed());
            }
            self.written.wait(&mut state);
        }
        Ok(())
    }

    /// Forgets a lane that nobody runs any more, so that retention does not wait
    /// for it for ever.
    pub(super) fn forget(&self, lane: &str) -> Result<Noted, StoreError> {
        let mut state = self.state.lock();
        state.usable()?;
        state.wanted.remove(lane);
        Ok(self.note(&mut state))
    }

    /// Notes a new place; `None` where there is nothing to write.
    pub(super) fn set(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
        rewind: bool,
    ) -> Result<Option<Noted>, StoreError> {
        let mut state = self.state.lock();
        state.usable()?;
        let place = &mut state.lane(lane, self.partitions)?[partition as usize];
        if *place != Some(next) && (rewind || place.is_none_or(|present| next > present)) {
            *place = Some(next);
            return Ok(Some(self.note(&mut state)));
        }
        // What is on its way is waited for: the answer means durable.
        Ok((state.wanted != state.durable).then(|| self.note(&mut state)))
    }

    fn note(&self, state: &mut State) -> Noted {
        let (sender, receiver) = oneshot::channel();
        state.waiting.push(sender);
        state.dirty = true;
        self.wake.notify_one();
        receiver
    }

    /// Writes changes until closed or poisoned. `failed` is told, in a sentence
    /// for the log, when the disk refused, and must poison everything.
    pub(super) fn run(&self, disk: &dyn DiskIo, dir: &Path, failed: impl Fn(&str)) {
        loop {
            let mut state = self.state.lock();
            while !state.dirty && !state.closed {
                self.wake.wait(&mut state);
            }
            if !state.dirty || state.poisoned.is_some() {
                return;
            }
            state.dirty = false;
            let lanes = state.wanted.clone();
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            if let Err(error) = replace(disk, dir, FILE, &encode(&lanes)) {
                let detail = format!(
                    "event log: writing {} failed ({error}); it takes nothing more until the process is started anew",
                    dir.join(FILE).display()
                );
                failed(&detail);
                for waiter in waiting {
                    let _ = waiter.send(Err(StoreError::Poisoned(detail.clone())));
                }
                return;
            }
            self.state.lock().durable = lanes;
            self.written.notify_all();
            for waiter in waiting {
                let _ = waiter.send(Ok(()));
            }
        }
    }

    /// Takes no more; what is noted is still written.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
        self.written.notify_all();
    }

    pub(super) fn poison(&self, detail: &str) {
        let waiting = {
            let mut state = self.state.lock();
            state.poisoned.get_or_insert_with(|| detail.to_owned());
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.wake.notify_all();
        self.written.notify_all();
        for waiter in waiting {
            let _ = waiter.send(Err(StoreError::Poisoned(detail.to_owned())));
        }
    }
}

// === impl State ===

impl State {
    fn usable(&self) -> Result<(), StoreError> {
        match &self.poisoned {
            Some(detail) => Err(StoreError::Poisoned(detail.clone())),
            None if self.closed => Err(closed()),
            None => Ok(()),
        }
    }

    /// The places of a lane, which is declared by being asked for.
    fn lane(&mut self, lane: &str, partitions: usize) -> Result<&mut Vec<Option<u64>>, StoreError> {
        self.usable()?;
        let known = self.wanted.contains_key(lane);
        if !known && (lane.is_empty() || lane.len() > LANE_BYTES_MAX) {
            return Err(StoreError::Refused(format!(
                "a lane's name is 1 to {LANE_BYTES_MAX} bytes long; this one is {}",
                lane.len()
            )));
        }
        if !known && self.wanted.len() >= LANES_MAX {
            return Err(StoreError::Refused(format!("a log keeps at most {LANES_MAX} lanes")));
        }
        Ok(self.wanted.entry(lane.to_owned()).or_insert_with(|| vec![None; partitions]))
    }
}

/// The lanes in the file, or its bytes where it is damaged.
fn read_file(path: &Path, partitions: u32) -> Result<Result<Lanes, Vec<u8>>, OpenError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(Lanes::new())),
        opened => opened
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
            .map_err(OpenError::io("read", path))?,
    };
    let text = std::str::from_utf8(&bytes).ok();
    let lanes = text.and_then(|text| decode(text, partitions as usize));
    Ok(lanes.ok_or(bytes))
}

/// For repair: the path and the bytes of a damaged file.
pub(super) fn damaged_file(
    dir: &Path,
    partitions: u32,
) -> Result<Option<(PathBuf, Vec<u8>)>, OpenError> {
    let path = dir.join(FILE);
    let damaged = read_file(&path, partitions)?.err();
    Ok(damaged.map(|bytes| (path, bytes)))
}

fn closed() -> StoreError {
    StoreError::Refused("the event log is closed".into())
}

fn encode(lanes: &Lanes) -> Vec<u8> {
    let json = serde_json::to_string(lanes).unwrap_or_default();
    format!("{TITLE}{:08x}\n{json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

fn decode(text: &str, partitions: usize) -> Option<Lanes> {
    let (title, json) = text.strip_prefix(TITLE)?.split_once('\n')?;
    let json = json.strip_suffix('\n')?;
    let crc = u32::from_str_radix(title, 16).ok()?;
    if crc32fast::hash(json.as_bytes()) != crc {
        return None;
    }
    let lanes: Lanes = serde_json::from_str(json).ok()?;
    lanes.values().all(|lane| lane.len() == partitions).then_some(lanes)
}
