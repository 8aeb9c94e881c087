//! Requests as bytes, and what comes back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// An answer; status 0: the connection was closed without one.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

// === impl Answer ===

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let headers: HashMap<_, _> = pairs
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|value| value.parse().ok());
        let length: usize = length.unwrap_or(0);
        let body = bytes[end + 4..].to_vec();
        (body.len() >= length).then_some(Self { status, headers, body })
    }
}

/// A `POST` of a body with the demo app's write key; `headers` are added.
pub fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut all = vec![("authorization", "Bearer demo-write-key"), ("content-length", &*length)];
    all.extend(headers);
    request("POST", path, &all, body)
}

/// Any request.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: gw.example.com\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes over a connection of their own and reads the answer.
pub async fn send(address: &str, bytes: &[u8]) -> Answer {
    let stream = TcpStream::connect(address).await.expect("connects");
    exchange(stream, bytes).await
}

/// The same from another address of this machine.
pub async fn send_from(source: [u8; 4], address: &str, bytes: &[u8]) -> Answer {
    exchange(connect_from(source, address).await.expect("connects"), bytes).await
}

/// A connection from an address of this machine.
pub async fn connect_from(source: [u8; 4], address: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(address.parse().expect("an address")).await
}

async fn exchange(stream: TcpStream, bytes: &[u8]) -> Answer {
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        // Refused while it is still being written: the answer says why.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = read(&mut reader) => answer,
        () = write => unreachable!("never ends"),
    }
}

/// Reads one answer.
pub async fn read(reader: &mut (impl AsyncReadExt + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    let reading = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = reader.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
            if let Some(answer) = Answer::parse(&bytes) {
                return answer;
            }
        }
        Answer { status: 0, headers: HashMap::new(), body: Vec::new() }
    };
    timeout(ANSWER_MAX, reading).await.expect("answered or closed in time")
}
