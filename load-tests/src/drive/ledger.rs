//! What a run meant to do and what it was told, on disk, for `check`.
//!
//! `ledger.json` says how ids are made; `ledger.txt` has one line for each batch
//! sent (`sent 17`) and for each answer (`told 17 48A1R1A`, letters of
//! [`Fate`] with how many in a row; `refused 17 503`;
//! `lost 17`). A batch is in the file before its answer is.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Fate};

/// How the ids of a run are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    /// What ids begin with.
    pub prefix: String,
    /// Events of a batch: event `i` of batch `b` has number `b × batch + i`.
    pub batch: u64,
}

enum Line {
    Sent(u64),
    Answer(u64, Answer),
}

/// A ledger that is being written.
#[derive(Clone)]
pub struct Ledger {
    lines: Sender<Line>,
}

/// Writes the lines; joined at the end.
pub struct Writer(JoinHandle<std::io::Result<()>>);

/// What a ledger says of each event, by its number.
#[derive(Debug, Default)]
pub struct Entries {
    /// What was told last; sent and not answered is [`Told::Unknown`].
    pub told: Vec<Told>,
}

/// What a ledger says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Told {
    /// Never sent.
    #[default]
    Unsent,
    /// Sent; refused, wanted again, or never answered.
    Unknown,
    /// Never to be taken.
    Rejected,
    /// Durable.
    Acknowledged,
}

// === impl Ledger ===

impl Ledger {
    /// Begins a ledger in a folder.
    ///
    /// # Errors
    /// What the disk said.
    pub fn begin(dir: &Path, naming: &Naming) -> Result<(Self, Writer), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
        std::fs::create_dir_all(dir).map_err(failed)?;
        let head = serde_json::to_vec_pretty(naming).map_err(|error| error.to_string())?;
        std::fs::write(dir.join("ledger.json"), head).map_err(failed)?;
        let file = File::create(dir.join("ledger.txt")).map_err(failed)?;
        let (lines, taken) = channel();
        let batch = naming.batch as usize;
        let writer = std::thread::spawn(move || write(file, batch, &taken));
        Ok((Self { lines }, Writer(writer)))
    }

    /// A batch goes out.
    pub fn sent(&self, batch: u64) {
        // A writer that failed says so when it is joined.
        let _ = self.lines.send(Line::Sent(batch));
    }

    /// A batch was answered.
    pub fn answered(&self, batch: u64, answer: Answer) {
        let _ = self.lines.send(Line::Answer(batch, answer));
    }
}

fn write(file: File, events: usize, lines: &Receiver<Line>) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    for line in lines {
        match line {
            Line::Sent(batch) => writeln!(out, "sent {batch}")?,
            Line::Answer(batch, Answer::Refused { code, .. }) => {
                writeln!(out, "refused {batch} {code}")?;
            }
            Line::Answer(batch, Answer::Lost(_)) => writeln!(out, "lost {batch}")?,
            Line::Answer(batch, answer) => {
                let fates = answer.fates(events).unwrap_or_default();
                writeln!(out, "told {batch} {}", shorten(&fates))?;
            }
        }
    }
    out.flush()
}

impl Writer {
    /// Waits until everything is written; every [`Ledger`] must be gone.
    ///
    /// # Errors
    /// What the disk said.
    pub fn finish(self) -> Result<(), String> {
        let written = self.0.join().map_err(|_| "the ledger's writer panicked".to_owned())?;
        written.map_err(|error| format!("the ledger could not be written: {error}"))
    }
}

fn shorten(fates: &[Fate]) -> String {
    let runs = fates.chunk_by(|a, b| a == b);
    runs.map(|run| format!("{}{}", run.len(), run[0].letter())).collect()
}

fn lengthen(text: &str) -> Option<Vec<Fate>> {
    let (mut fates, mut count) = (Vec::new(), 0usize);
    for sign in text.chars() {
        if let Some(digit) = sign.to_digit(10) {
            count = count * 10 + digit as usize;
            continue;
        }
        let (_, fate) = Fate::LETTERS.iter().find(|(letter, _)| *letter == sign)?;
        fates.extend(std::iter::repeat_n(*fate, count));
        count = 0;
    }
    Some(fates)
}

// === impl Entries ===

impl Entries {
    /// Reads a ledger.
    ///
    /// # Errors
    /// What is missing, or which line cannot be read.
    pub fn read(dir: &Path) -> Result<(Naming, Self), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", dir.display());
        let head = std::fs::read(dir.join("ledger.json")).map_err(|error| failed(&error))?;
        let naming: Naming = serde_json::from_slice(&head).map_err(|error| failed(&error))?;
        let file = File::open(dir.join("ledger.txt")).map_err(|error| failed(&error))?;
        let mut entries = Self::default();
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| failed(&error))?;
            entries.line(&line, naming.batch as usize).ok_or_else(|| {
                failed(&format!("ledger.txt line {}: cannot be read: {line}", number + 1))
            })?;
        }
        Ok((naming, entries))
    }

    fn line(&mut self, line: &str, events: usize) -> Option<()> {
        let mut words = line.split(' ');
        let (verb, batch) = (words.next()?, words.next()?.parse::<usize>().ok()?);
        let first = batch.checked_mul(events)?;
        let fates = if verb == "told" { lengthen(words.next()?)? } else { Vec::new() };
        if self.told.len() < first + events {
            self.told.resize(first + events, Told::Unsent);
        }
        for (index, told) in self.told[first..first + events].iter_mut().enumerate() {
            let now = match fates.get(index) {
                Some(Fate::Accepted | Fate::Duplicate | Fate::Taken) => Told::Acknowledged,
                Some(Fate::Rejected) => Told::Rejected,
                Some(Fate::Retry) | None => Told::Unknown,
            };
            // What was durable once stays so, whatever is said of a resend.
            if *told != Told::Acknowledged && !(now == Told::Unknown && *told == Told::Rejected) {
                *told = now;
            }
        }
        Some(())
    }

    /// Numbers of events that were told to be durable.
    pub fn acknowledged(&self) -> impl Iterator<Item = u64> {
        let told = self.told.iter().enumerate();
        told.filter(|(_, told)| **told == Told::Acknowledged).map(|(number, _)| number as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let naming = Naming { prefix: "t".to_owned(), batch: 3 };
        let (ledger, writer) = Ledger::begin(dir.path(), &naming).expect("begins");
        for batch in [0, 1, 3, 0] {
            ledger.sent(batch);
        }
        ledger.answered(0, Answer::Told(vec![(1, Fate::Rejected)]));
        ledger.answered(1, Answer::Refused { code: 503, wait: true });
        ledger.answered(0, Answer::Told(vec![(0, Fate::Duplicate), (2, Fate::Retry)]));
        drop(ledger);
        writer.finish().expect("written");
        let (read, entries) = Entries::read(dir.path()).expect("readable");
        assert_eq!(read, naming);
        assert_eq!(entries.acknowledged().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(entries.told[3..6], [Told::Unknown; 3]);
        assert_eq!(entries.told[6..9], [Told::Unsent; 3]);
        assert_eq!(entries.told[9..12], [Told::Unknown; 3]);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let dir = tempfile::tempdir().expect("temp dir");
        let naming = Naming { prefix: "t".to_owned(), batch: 3 };
        let (ledger, writer) = Ledger::begin(dir.path(), &naming).expect("begins");
        drop(ledger);
        writer.finish().expect("written");
        std::fs::write(dir.path().join("ledger.txt"), "sent 0\ntold 0 3X\n").expect("written");
        let error = Entries::read(dir.path()).expect_err("no such fate");
        assert!(error.contains("line 2"), "{error}");
    }
}
