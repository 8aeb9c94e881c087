//! Content encodings, undone with a cap that holds *while* inflating.
//!
//! gzip (all its members), deflate (zlib, or raw as some clients send it) and
//! zstd (all its frames). Nothing may follow the end. The decompressors'
//! state is kept between requests: setting it up costs more than a small body.

use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use sluice_event::{Reason, Refusal};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// Output grows by at least this much at a time.
const STEP_BYTES: usize = 32 * 1024;
/// log2 of the largest zstd window taken: 8 MiB, the most a body inflates to.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or RFC 1951 where there is no zlib head.
    Deflate,
    /// RFC 8878.
    Zstd,
}

/// Decompressors that are reset, not rebuilt.
pub struct Inflater {
    flate: Decompress,
    zstd: Option<Decoder<'static>>,
}

/// Why a body could not be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TooLarge,
    Invalid(&'static str),
}

// === impl Encoding ===

impl Encoding {
    /// Reads `Content-Encoding`; unknown or stacked encodings are refused (GW-BODY-2).
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        let text = value.to_str().unwrap_or("?").trim();
        match Self::named(text) {
            Some(encoding) if values.next().is_none() => Ok(encoding),
            _ => Err(Refusal::new(
                Reason::EncodingUnsupported,
                "Content-Encoding must be one of identity, gzip, deflate, zstd",
            )),
        }
    }

    /// By name, as in `Content-Encoding` and `grpc-encoding`.
    pub fn named(text: &str) -> Option<Self> {
        let known = [
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("zstd", Self::Zstd),
            ("identity", Self::Identity),
            ("", Self::Identity),
        ];
        known.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, found)| *found)
    }
}

// === impl Inflater ===

impl Default for Inflater {
    fn default() -> Self {
        Self { flate: Decompress::new(false), zstd: None }
    }
}

impl Inflater {
    /// Appends the inflated `input` to `out`, at most `bytes_max` of it (GW-BODY-3, GW-BODY-4).
    pub fn inflate(
        &mut self,
        encoding: Encoding,
        input: &[u8],
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), Refusal> {
        let base = out.len();
        let cap = base + bytes_max;
        let done = match encoding {
            Encoding::Identity if input.len() > bytes_max => Err(Fault::TooLarge),
            Encoding::Identity => {
                out.extend_from_slice(input);
                Ok(())
            }
            Encoding::Gzip => self.gzip(input, out, cap),
            Encoding::Deflate => self.deflate(input, out, cap),
            Encoding::Zstd => self.zstd(input, out, cap),
        };
        done.map_err(|fault| fault.refuse(bytes_max))
    }

    fn gzip(&mut self, mut input: &[u8], out: &mut Vec<u8>, cap: usize) -> Result<(), Fault> {
        loop {
            let start = out.len();
            let head = gzip_head(input).ok_or(Fault::Invalid("not a gzip header"))?;
            self.flate.reset(false);
            let used = self.raw(&input[head..], out, cap)?;
            let tail = &input[head + used..];
            let (trailer, rest) =
                tail.split_at_checked(8).ok_or(Fault::Invalid("gzip trailer cut off"))?;
            let made = &out[start..];
            let expected =
                [crc32fast::hash(made).to_le_bytes(), (made.len() as u32).to_le_bytes()].concat();
            if trailer != expected {
                return Err(Fault::Invalid("gzip checksum does not match"));
            }
            if rest.is_empty() {
                return Ok(());
            }
            input = rest;
        }
    }

    fn deflate(&mut self, input: &[u8], out: &mut Vec<u8>, cap: usize) -> Result<(), Fault> {
        let start = out.len();
        let zlib = matches!(input, [cmf, flags, ..]
            if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0);
        if zlib {
            self.flate.reset(true);
            match self.raw(input, out, cap) {
                Ok(used) if used == input.len() => return Ok(()),
                Err(Fault::TooLarge) => return Err(Fault::TooLarge),
                _ => out.truncate(start),
            }
        }
        self.flate.reset(false);
        if self.raw(input, out, cap)? == input.len() {
            return Ok(());
        }
        Err(Fault::Invalid("bytes after the end of the deflate stream"))
    }

    /// One deflate stream; gives how much input it took.
    fn raw(&mut self, input: &[u8], out: &mut Vec<u8>, cap: usize) -> Result<usize, Fault> {
        loop {
            let taken = self.flate.total_in() as usize;
            let made = out.len();
            grow(out, cap)?;
            let rest = input.get(taken..).unwrap_or_default();
            let status = self.flate.decompress_vec(rest, out, FlushDecompress::None);
            let stuck = self.flate.total_in() as usize == taken && out.len() == made;
            match status {
                _ if out.len() > cap => return Err(Fault::TooLarge),
                Ok(Status::StreamEnd) => return Ok(self.flate.total_in() as usize),
                Ok(_) if !stuck => {}
                Ok(_) => return Err(Fault::Invalid("compressed data cut off")),
                Err(_) => return Err(Fault::Invalid("damaged compressed data")),
            }
        }
    }

    fn zstd(&mut self, input: &[u8], out: &mut Vec<u8>, cap: usize) -> Result<(), Fault> {
        let fail = |_| Fault::Invalid("zstd could not be set up");
        if self.zstd.is_none() {
            let mut decoder = Decoder::new().map_err(fail)?;
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(fail)?;
            self.zstd = Some(decoder);
        }
        let Some(decoder) = &mut self.zstd else {
            return Err(Fault::Invalid("zstd could not be set up"));
        };
        decoder.reinit().map_err(fail)?;
        let mut source = InBuffer::around(input);
        loop {
            grow(out, cap)?;
            let (taken, made) = (source.pos(), out.len());
            let hint = {
                let mut target = OutBuffer::around_pos(out, made);
                decoder.run(&mut source, &mut target)
            }
            .map_err(|_| Fault::Invalid("damaged zstd data"))?;
            if out.len() > cap {
                return Err(Fault::TooLarge);
            }
            let spent = source.pos() == input.len();
            match hint {
                0 if spent => return Ok(()),
                0 => decoder.reinit().map_err(fail)?,
                _ if source.pos() == taken && out.len() == made => {
                    return Err(Fault::Invalid("zstd data cut off"));
                }
                _ => {}
            }
        }
    }
}

/// Makes room, never for more than one byte over the cap: that byte tells.
fn grow(out: &mut Vec<u8>, cap: usize) -> Result<(), Fault> {
    if out.len() > cap {
        return Err(Fault::TooLarge);
    }
    if out.capacity() - out.len() < STEP_BYTES / 4 {
        let more = (out.len() / 2).max(STEP_BYTES).min(cap + 1 - out.len());
        out.reserve_exact(more);
    }
    Ok(())
}

/// Length of a gzip member's header.
fn gzip_head(input: &[u8]) -> Option<usize> {
    const CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let flags = match input.first_chunk::<10>()? {
        [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0 => *flags,
        _ => return None,
    };
    let mut at = 10;
    if flags & EXTRA != 0 {
        let length = input.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            at += memchr::memchr(0, input.get(at..)?)? + 1;
        }
    }
    if flags & CRC != 0 {
        at += 2;
    }
    (at <= input.len()).then_some(at)
}

// === impl Fault ===

impl Fault {
    fn refuse(self, bytes_max: usize) -> Refusal {
        match self {
            Self::TooLarge => Refusal::new(
                Reason::InflatedTooLarge,
                format!("the body inflates beyond {bytes_max} bytes; send fewer events at a time"),
            )
            .limit(bytes_max as u64),
            Self::Invalid(what) => Refusal::new(
                Reason::EncodingInvalid,
                format!("the body is not what Content-Encoding says: {what}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

    fn deflated(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => plain.to_vec(),
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(plain).and_then(|()| encoder.finish()).expect("in memory")
            }
            Encoding::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(plain).and_then(|()| encoder.finish()).expect("in memory")
            }
            Encoding::Zstd => zstd::bulk::compress(plain, 1).expect("in memory"),
        }
    }

    fn inflated(encoding: Encoding, input: &[u8], max: usize) -> Result<Vec<u8>, Reason> {
        let mut out = Vec::new();
        let done = Inflater::default().inflate(encoding, input, &mut out, max);
        assert!(out.capacity() <= max + 1 + STEP_BYTES, "{} of {max}", out.capacity());
        done.map(|()| out).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn the_cap_is_exact_and_a_bomb_does_not_pass_it() {
        let plain = vec![b'a'; 100_000];
        for encoding in ALL {
            let body = deflated(encoding, &plain);
            assert_eq!(inflated(encoding, &body, 100_000).expect("fits"), plain, "{encoding:?}");
            assert_eq!(inflated(encoding, &body, 99_999), Err(Reason::InflatedTooLarge));
            let bomb = deflated(encoding, &vec![0; 64 << 20]);
            assert_eq!(inflated(encoding, &bomb, 1 << 20), Err(Reason::InflatedTooLarge));
        }
    }

    #[test]
    fn members_and_frames_follow_one_another() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let two = [deflated(encoding, b"one "), deflated(encoding, b"two")].concat();
            assert_eq!(inflated(encoding, &two, 100).expect("valid"), b"one two", "{encoding:?}");
        }
    }

    #[test]
    fn raw_deflate_is_taken_for_deflate() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let body = encoder.write_all(b"plain").and_then(|()| encoder.finish()).expect("in memory");
        assert_eq!(inflated(Encoding::Deflate, &body, 100).expect("valid"), b"plain");
    }

    #[test]
    fn cut_off_or_followed_by_garbage() {
        for encoding in ALL {
            let body = deflated(encoding, b"some text, some text");
            for cut in 0..body.len() {
                assert_eq!(inflated(encoding, &body[..cut], 100), Err(Reason::EncodingInvalid));
            }
            let garbage = [body.as_slice(), b"xyz"].concat();
            assert_eq!(inflated(encoding, &garbage, 100), Err(Reason::EncodingInvalid));
        }
    }

    #[test]
    fn state_is_clean_after_a_failure() {
        let mut inflater = Inflater::default();
        let mut out = Vec::new();
        for encoding in ALL {
            let body = deflated(encoding, b"text");
            inflater.inflate(encoding, &body[..body.len() - 2], &mut out, 9).expect_err("cut");
            out.clear();
            inflater.inflate(encoding, &body, &mut out, 9).expect("whole");
            assert_eq!(out, b"text");
        }
    }

    proptest! {
        #[test]
        fn round_trip_at_any_size(
            plain in proptest::collection::vec(any::<u8>(), 0..100_000),
            which in 0..3_usize,
        ) {
            let body = deflated(ALL[which], &plain);
            prop_assert_eq!(inflated(ALL[which], &body, plain.len()), Ok(plain));
        }

        #[test]
        fn random_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            which in 0..3_usize,
        ) {
            inflated(ALL[which], &bytes, 1_000).ok();
            let named = [&[0x1f, 0x8b, 8, bytes.first().copied().unwrap_or(0)], &bytes[..]].concat();
            inflated(Encoding::Gzip, &named, 1_000).ok();
        }
    }
}
