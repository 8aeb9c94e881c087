//! Floods: HTTP/2 resets and continuations, bombs, ten thousand connections.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Target;
use crate::raw::{connect_from, post, send};
use crate::steady::Steady;

const MIB: usize = 1 << 20;
/// Frame types and error code of RFC 9113.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;
/// Connections wanted at the same time.
const CONNECTIONS: usize = 10_000;
/// File handles that the test needs for other things.
const HANDLES_ELSEWHERE: u64 = 500;

/// Raises the limit of open files as far as is permitted, for the gateway too,
/// which inherits it; gives the limit.
pub fn raise_descriptors() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(65_536);
    let raised = Rlimit { current: Some(wanted.max(current.unwrap_or(0))), maximum };
    // Not permitted: the test goes as far as it may.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

// --- HTTP/2 ---

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// `POST http://gw/v1/events`, in HPACK without a table.
fn head() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(0x04, &b"/v1/events"[..]), (0x01, b"gw")] {
        block.extend_from_slice(&[name, value.len() as u8]);
        block.extend_from_slice(value);
    }
    block
}

fn preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Writes until the gateway has enough; gives the bytes written and the error
/// code of its GOAWAY, if one came.
async fn flood(address: &str, pieces: impl Iterator<Item = Vec<u8>>) -> (usize, Option<u32>) {
    let stream = TcpStream::connect(address).await.expect("connects");
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        let mut written = 0;
        for piece in pieces {
            if writer.write_all(&piece).await.is_err() {
                break;
            }
            written += piece.len();
        }
        written
    };
    let read = async {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
        // Bounded: a gateway that answers each frame would fill it.
        while let Ok(read @ 1..) = reader.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
            if bytes.len() > MIB {
                break;
            }
        }
        bytes
    };
    let both = async { tokio::join!(write, read) };
    let (written, answered) =
        timeout(Duration::from_secs(30), both).await.expect("cut off in time");
    (written, goaway(&answered))
}

fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, next) = rest.split_at_checked(length)?;
        if let (GOAWAY, Some(code)) = (head[3], payload.get(4..8)) {
            return Some(u32::from_be_bytes(code.try_into().ok()?));
        }
        bytes = next;
    }
    None
}

/// Streams opened and reset at once (CVE-2023-44487): the connection is closed
/// with ENHANCE_YOUR_CALM long before the flood's end.
pub async fn resets(target: &Target<'_>) {
    let pair = |stream: u32| {
        let opened = frame(HEADERS, END_HEADERS, stream, &head());
        [opened, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    };
    const STREAMS: u32 = 200_000;
    for _ in 0..10 {
        let pairs = (0..STREAMS / 100)
            .map(|hundred| (0..100).flat_map(|n| pair(hundred * 200 + n * 2 + 1)).collect());
        let pieces = std::iter::once(preface()).chain(pairs);
        let (written, code) = flood(&target.address, pieces).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "after {written} bytes");
        let whole = STREAMS as usize * pair(1).len();
        assert!(written < whole / 4, "took {written} of {whole} bytes");
    }
}

/// A head that never ends (CVE-2024-27316).
pub async fn continuations(target: &Target<'_>) {
    let field = [&[0x00, 3][..], b"x-a", &[100], &[b'v'; 100]].concat();
    let piece = frame(CONTINUATION, 0, 1, &field.repeat(150));
    const PIECES: usize = 4_096;
    for _ in 0..10 {
        let opened = [preface(), frame(HEADERS, 0, 1, &head())].concat();
        let pieces = std::iter::once(opened).chain(std::iter::repeat_n(piece.clone(), PIECES));
        let (written, _) = flood(&target.address, pieces).await;
        assert!(written < PIECES * piece.len() / 4, "took {written} bytes of one head");
    }
}

// --- bombs ---

/// A gibibyte of zeros as gzip and as zstd, each within the wire limit.
pub async fn bombs(target: &Target<'_>) {
    let made = tokio::task::spawn_blocking(|| {
        let zeros = vec![0; MIB];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("into memory");
        for _ in 0..1_024 {
            gzip.write_all(&zeros).expect("into memory");
            zstd.write_all(&zeros).expect("into memory");
        }
        (gzip.finish().expect("into memory"), zstd.finish().expect("into memory"))
    });
    let (gzip, zstd) = made.await.expect("packed");
    assert!(gzip.len() <= MIB && zstd.len() <= MIB, "{} {}", gzip.len(), zstd.len());
    for (encoding, bomb) in [("gzip", gzip), ("zstd", zstd)] {
        let bytes = post("/v1/events", &[("content-encoding", encoding)], &bomb);
        let answers = futures::stream::iter(0..40).map(|_| send(&target.address, &bytes));
        let answers: Vec<_> = answers.buffer_unordered(8).collect().await;
        for answer in answers {
            let error = &answer.json()["error"];
            assert_eq!((answer.status, &error["reason"]), (413, &json!("inflated_too_large")));
            assert_eq!(error["limit"], 8 * MIB, "{error}");
        }
    }
}

// --- connections ---

/// Ten thousand connections that say nothing, or half a head: the good client
/// goes on, and they are closed in time. Gives the memory taken with all open.
pub async fn idle(target: &Target<'_>, steady: &Steady, descriptors: u64) -> u64 {
    let room = usize::try_from(descriptors.saturating_sub(HANDLES_ELSEWHERE)).unwrap_or(usize::MAX);
    let wanted = CONNECTIONS.min(room);
    assert!(wanted >= 500, "the limit of open files, {descriptors}, is too low to show anything");
    let begun = Instant::now();
    // Several source addresses: one has too few ports on some machines.
    let open = |number: usize| {
        let source = [127, 0, 1, (number % 8) as u8 + 1];
        async move {
            let mut stream = connect_from(source, &target.address).await?;
            if number.is_multiple_of(2) {
                stream.write_all(b"POST /v1/events HTTP/1.1\r\n").await?;
            }
            Ok::<_, std::io::Error>(stream)
        }
    };
    let opened = futures::stream::iter(0..wanted).map(open).buffer_unordered(64);
    let streams: Vec<_> =
        opened.filter_map(|opened| std::future::ready(opened.ok())).collect().await;
    let took = begun.elapsed();
    let memory = crate::anonymous_bytes(target.gateway);
    let held = connections_open(target).await;
    println!("{} connections in {took:?}; the gateway holds {held}", streams.len());
    assert_eq!(streams.len(), wanted, "every connection is accepted");
    assert!(held >= wanted / 2, "only {held} of {wanted} were open at the same time");
    let before = steady.batches();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(steady.batches() >= before + 10, "the good client is held up");
    let most = Duration::from_millis(crate::slow::HEADER_TIMEOUT_MS) + Duration::from_secs(15);
    while connections_open(target).await > 100 {
        assert!(begun.elapsed() < took + most, "idle connections are not closed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(streams);
    memory
}

async fn connections_open(target: &Target<'_>) -> usize {
    let metrics = target.client.get(format!("{}/metrics", target.gateway.admin)).send().await;
    let text = metrics.expect("answers").text().await.expect("text");
    let line = text.lines().find(|line| line.starts_with("sluice_wire_connections_open "));
    let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
    value.expect("sluice_wire_connections_open stands in /metrics")
}
