//! One column of one segment, read a block of documents at a time.
//!
//! A value is its *code*: the place in the segment's dictionary plus one; zero
//! is no value. Codes of several values of one document are distinct.

use std::io;

use sluice_seams::question::Test;
use tantivy::SegmentReader;
use tantivy::columnar::{Cardinality, StrColumn};

/// Documents read at once.
pub const BLOCK: usize = 2_048;

/// A column and the block of it that was read last.
pub struct Lane {
    column: Option<StrColumn>,
    /// First document of the block that is loaded.
    at: Option<u32>,
    /// The first value of each document of the block.
    pub first: Vec<u32>,
    /// `(document within the block, code)` of further values, by document.
    pub more: Vec<(u32, u32)>,
    numbers: Vec<u64>,
    documents: Vec<u32>,
    rows: Vec<u32>,
}

// === impl Lane ===

impl Lane {
    /// Opens a column by name; a column that the segment does not have is one
    /// without values.
    pub fn open(segment: &SegmentReader, name: &str) -> tantivy::Result<Self> {
        let column = segment.fast_fields().str(name)?;
        Ok(Self {
            column,
            at: None,
            first: Vec::with_capacity(BLOCK),
            more: Vec::new(),
            numbers: Vec::new(),
            documents: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Number of codes, that of no value included.
    pub fn codes(&self) -> usize {
        1 + self.column.as_ref().map_or(0, |column| column.dictionary().num_terms())
    }

    /// Reads the documents `start..start + count` unless they are loaded.
    pub fn load(&mut self, start: u32, count: usize) {
        if self.at == Some(start) {
            return;
        }
        self.at = Some(start);
        self.first.clear();
        self.first.resize(count, 0);
        self.more.clear();
        let Some(column) = &self.column else { return };
        let ords = column.ords();
        if ords.get_cardinality() == Cardinality::Full {
            self.numbers.resize(count, 0);
            ords.values.get_range(u64::from(start), &mut self.numbers);
            for (code, &ord) in self.first.iter_mut().zip(&self.numbers) {
                *code = ord as u32 + 1;
            }
            return;
        }
        let wanted: Vec<u32> = (start..start + count as u32).collect();
        self.documents.clear();
        self.rows.clear();
        ords.row_ids_for_docs(&wanted, &mut self.documents, &mut self.rows);
        let Some(&row) = self.rows.first() else { return };
        // The rows of adjacent documents are adjacent.
        self.numbers.resize(self.rows.len(), 0);
        ords.values.get_range(u64::from(row), &mut self.numbers);
        let many = ords.get_cardinality() == Cardinality::Multivalued;
        for (&document, &ord) in self.documents.iter().zip(&self.numbers) {
            let (document, code) = (document - start, ord as u32 + 1);
            let first = &mut self.first[document as usize];
            if *first == 0 {
                *first = code;
            } else if *first != code {
                self.more.push((document, code));
            }
        }
        if many {
            self.more.sort_unstable();
            self.more.dedup();
        }
    }

    /// Which codes pass a test.
    pub fn passing(&self, test: &Test) -> io::Result<Vec<bool>> {
        let mut passes = vec![false; self.codes()];
        let Some(column) = &self.column else { return Ok(passes) };
        match test {
            Test::Exists => passes[1..].fill(true),
            Test::Is(values) => {
                for value in values {
                    if let Some(ord) = column.dictionary().term_ord(value)? {
                        passes[ord as usize + 1] = true;
                    }
                }
            }
            _ => {
                let mut terms = column.dictionary().stream()?;
                let mut code = 0;
                while terms.advance() {
                    code += 1;
                    passes[code] = test.passes(text(terms.key())?);
                }
            }
        }
        Ok(passes)
    }

    /// Calls `visit(code, text)` for ascending codes; zero is left out.
    pub fn texts(&self, codes: &[u32], mut visit: impl FnMut(u32, &str)) -> io::Result<()> {
        let Some(column) = &self.column else { return Ok(()) };
        let codes = &codes[codes.partition_point(|&code| code == 0)..];
        let ords: Vec<u64> = codes.iter().map(|&code| u64::from(code) - 1).collect();
        let (mut codes, mut outcome) = (codes.iter(), Ok(()));
        let found = column.dictionary().sorted_ords_to_term_cb(&ords, |term| {
            if let (Some(&code), true) = (codes.next(), outcome.is_ok()) {
                outcome = text(term).map(|text| visit(code, text));
            }
        })?;
        outcome?;
        if found { Ok(()) } else { Err(io::Error::other("a column names a term it does not hold")) }
    }
}

fn text(term: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(term).map_err(io::Error::other)
}
