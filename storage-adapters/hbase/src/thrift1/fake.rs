//! A scripted Thrift server: real sockets, answers to order.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TFieldIdentifier, TInputProtocol,
    TMessageIdentifier, TMessageType, TOutputProtocol, TType,
};

/// What the server does with a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// Answers with the call's number.
    Answer,
    /// The same, this late.
    Late(Duration),
    /// Takes the call and never answers.
    Silent,
    /// Closes the connection after the call, unanswered.
    Close,
    /// Answers, then closes the connection.
    AnswerAndClose,
    /// Answers under the number of another call.
    OutOfStep,
    /// Answers that an argument of `mutateRowsTs` is illegal.
    Refuse,
    /// Answers that `mutateRowsTs` failed.
    NotNow,
    /// Sends these bytes in place of an answer.
    Bytes(&'static [u8]),
}

/// What an answer says.
enum Says<'a> {
    Text(&'a str),
    ServerType,
    Nothing,
    /// Of `mutateRowsTs`: 1 an IOError, 2 an illegal argument.
    Exception(i16),
}

/// A server that answers `getClusterId` with `answer N` for the call of number N,
/// counted over all connections, `mutateRowsTs` as done, and `getThriftServerType`,
/// uncounted.
pub(crate) struct Fake {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Vec<Act>>,
    calls: AtomicUsize,
    connections: AtomicUsize,
    running: AtomicUsize,
    running_max: AtomicUsize,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

// === impl Fake ===

impl Fake {
    /// A server on a free port. The script has one entry a call; `Answer` after it.
    pub(crate) fn start(script: &[Act]) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    pub(crate) fn start_at(address: &str, script: &[Act]) -> Self {
        let listener = TcpListener::bind(address).expect("the port is free");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.iter().rev().copied().collect()),
            calls: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                accepting.streams.lock().push(stream.try_clone().expect("clone"));
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Most calls that it ever had at the same time.
    pub(crate) fn running_max(&self) -> usize {
        self.shared.running_max.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, so that the port is free again.
        drop(TcpStream::connect(&self.address));
        for stream in self.shared.streams.lock().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn serve(&self, stream: &TcpStream) {
        let mut input = TBinaryInputProtocol::new(BufReader::new(stream), true);
        while let Ok(message) = input.read_message_begin() {
            if input.skip(TType::Struct).is_err() {
                return;
            }
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.running_max.fetch_max(running, Ordering::SeqCst);
            let goes_on = self.act(stream, &message);
            self.running.fetch_sub(1, Ordering::SeqCst);
            if !goes_on {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }

    fn act(&self, mut stream: &TcpStream, call: &TMessageIdentifier) -> bool {
        if call.name == "getThriftServerType" {
            return answer(stream, call, call.sequence_number, &Says::ServerType).is_ok();
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let text = format!("answer {number}");
        let says = match call.name.as_str() {
            "mutateRowsTs" => Says::Nothing,
            _ => Says::Text(&text),
        };
        let act = self.script.lock().pop().unwrap_or(Act::Answer);
        let sequence = call.sequence_number;
        match act {
            Act::Answer => answer(stream, call, sequence, &says).is_ok(),
            Act::Late(time) => {
                std::thread::sleep(time);
                answer(stream, call, sequence, &says).is_ok()
            }
            Act::Silent => {
                while !self.ended.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                false
            }
            Act::Close => false,
            Act::AnswerAndClose => {
                let _ = answer(stream, call, sequence, &says);
                false
            }
            Act::OutOfStep => answer(stream, call, sequence - 1, &says).is_ok(),
            Act::NotNow => answer(stream, call, sequence, &Says::Exception(1)).is_ok(),
            Act::Refuse => answer(stream, call, sequence, &Says::Exception(2)).is_ok(),
            Act::Bytes(bytes) => stream.write_all(bytes).is_ok(),
        }
    }
}

fn answer(
    stream: &TcpStream,
    call: &TMessageIdentifier,
    sequence: i32,
    says: &Says<'_>,
) -> thrift::Result<()> {
    let mut bytes = Vec::new();
    let mut output = TBinaryOutputProtocol::new(&mut bytes, true);
    let name = call.name.clone();
    output.write_message_begin(&TMessageIdentifier::new(name, TMessageType::Reply, sequence))?;
    match says {
        Says::Text(text) => {
            output.write_field_begin(&TFieldIdentifier::new("success", TType::String, 0))?;
            output.write_string(text)?;
        }
        Says::ServerType => {
            output.write_field_begin(&TFieldIdentifier::new("success", TType::I32, 0))?;
            output.write_i32(0)?;
        }
        Says::Nothing => {}
        Says::Exception(field) => {
            output.write_field_begin(&TFieldIdentifier::new("e", TType::Struct, *field))?;
            output.write_field_begin(&TFieldIdentifier::new("message", TType::String, 1))?;
            output.write_string("the row is odd")?;
            output.write_field_stop()?;
        }
    }
    output.write_field_stop()?;
    let mut stream = stream;
    Ok(stream.write_all(&bytes)?)
}
