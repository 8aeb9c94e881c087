//! Reads NDJSON in chunks, with line numbers and byte positions.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::value::RawValue;
use sluice_event::limits::{EVENT_BYTES_MAX, WIRE_BYTES_MAX};

use super::Failure;

/// Bytes of events in one chunk; leaves room for the envelope.
const CHUNK_BYTES_MAX: usize = WIRE_BYTES_MAX - 16 * 1024;

/// One line that holds a JSON object.
#[derive(Debug)]
pub struct Line {
    /// Line number, from 1, counted from where reading began.
    pub number: u64,
    /// The event.
    pub event: Box<RawValue>,
}

/// What one batch carries.
#[derive(Debug)]
pub struct Chunk {
    /// Its lines.
    pub lines: Vec<Line>,
    /// The byte after its last line.
    pub end: u64,
}

/// A file being read.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<File>,
    shown: String,
    bytes_total: u64,
    position: u64,
    number: u64,
    held: Option<(Line, u64)>,
}

// === impl Lines ===

impl Lines {
    /// Opens a file and goes to a byte, counting the lines before it.
    pub fn open(path: &Path, from: u64) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let failed = |error| Failure::Usage(format!("cannot read {shown}: {error}"));
        let mut file = File::open(path).map_err(failed)?;
        let bytes_total = file.metadata().map_err(failed)?.len();
        let number = count_lines(&mut file, from.min(bytes_total)).map_err(failed)?;
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let reader = BufReader::new(file);
        Ok(Self { reader, shown, bytes_total, position: from, number, held: None })
    }

    /// Length of the file.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// The next lines, bounded by count and bytes; `None` at the end.
    pub fn chunk(&mut self, lines_max: usize) -> Result<Option<Chunk>, Failure> {
        let mut chunk = Chunk { lines: Vec::new(), end: self.position };
        let mut bytes = 0;
        while chunk.lines.len() < lines_max {
            let Some((line, end)) =
                self.held.take().map_or_else(|| self.line(), |l| Ok(Some(l)))?
            else {
                chunk.end = self.position;
                break;
            };
            let length = line.event.get().len() + 1;
            if bytes + length > CHUNK_BYTES_MAX && !chunk.lines.is_empty() {
                self.held = Some((line, end));
                break;
            }
            bytes += length;
            chunk.lines.push(line);
            chunk.end = end;
        }
        Ok((!chunk.lines.is_empty()).then_some(chunk))
    }

    /// The next line that is not empty, and the byte after it.
    fn line(&mut self) -> Result<Option<(Line, u64)>, Failure> {
        loop {
            let mut text = Vec::new();
            let limit = EVENT_BYTES_MAX as u64 * 4;
            let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut text);
            let at = format!("{}:{}", self.shown, self.number + 1);
            let read = read.map_err(|error| Failure::Failed(format!("{at}: {error}")))? as u64;
            if read == 0 {
                return Ok(None);
            }
            if read == limit && text.last() != Some(&b'\n') {
                let text = format!("{at}: the line is longer than {limit} bytes");
                return Err(Failure::Usage(text));
            }
            self.position += read;
            self.number += 1;
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let event = serde_json::from_slice(&text)
                .map_err(|error| Failure::Usage(format!("{at}: not one JSON value: {error}")))?;
            return Ok(Some((Line { number: self.number, event }, self.position)));
        }
    }
}

fn count_lines(file: &mut File, until: u64) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file.take(until));
    let mut lines = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(lines);
        }
        lines += buffer.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let length = buffer.len();
        reader.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &str, from: u64) -> Lines {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("events.ndjson");
        std::fs::write(&path, text).expect("write");
        Lines::open(&path, from).expect("opens")
    }

    #[test]
    fn goes_on_in_the_middle_with_right_line_numbers() {
        let text = "{\"a\":1}\n\n{\"a\":2}\n{\"a\":3}";
        let mut lines = lines_of(text, 0);
        let first = lines.chunk(1).expect("read").expect("one");
        assert_eq!((first.lines[0].number, first.end), (1, 8));
        let mut rest = lines_of(text, first.end);
        let chunk = rest.chunk(9).expect("read").expect("two");
        assert_eq!(chunk.lines.iter().map(|line| line.number).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(chunk.end, text.len() as u64);
        assert!(rest.chunk(9).expect("read").is_none());
    }

    #[test]
    fn a_chunk_fits_a_request() {
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(60_000));
        let mut lines = lines_of(&line.repeat(40), 0);
        let mut count = 0;
        while let Some(chunk) = lines.chunk(500).expect("read") {
            let bytes: usize = chunk.lines.iter().map(|line| line.event.get().len()).sum();
            assert!(bytes < WIRE_BYTES_MAX);
            count += chunk.lines.len();
        }
        assert_eq!(count, 40);
    }

    #[test]
    fn a_broken_line_is_named() {
        let mut lines = lines_of("{}\n{\"a\":\n", 0);
        let Err(Failure::Usage(text)) = lines.chunk(9) else { panic!("must fail") };
        assert!(text.contains("events.ndjson:2"), "{text}");
    }
}
