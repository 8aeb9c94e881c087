//! A TCP proxy on loopback that makes the faults of networks.
//!
//! It stands between a gateway and an engine. The fault is set while
//! connections are open and holds for all of them; bytes are never changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHUNK_BYTES: usize = 64 * 1024;

/// What the proxy does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Open connections are reset, new ones too.
    Reset,
    /// Half open: connections stay, nothing passes in either direction.
    Silent,
    /// Replies pass, requests do not.
    HeldRequests,
    /// Requests pass, every piece of a reply waits this long.
    LateReplies(Duration),
    /// Requests pass; where a reply comes, the connection is reset instead.
    CutReplies,
}

/// A running proxy. Ends when dropped.
pub struct Proxy {
    /// Where clients connect to.
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    replies_cut: Arc<AtomicU64>,
    accepts: JoinHandle<()>,
}

/// Which way bytes flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

/// One direction of one connection.
struct Flow {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    way: Way,
    fault: watch::Receiver<Fault>,
    replies_cut: Arc<AtomicU64>,
}

// === impl Proxy ===

impl Proxy {
    /// Stands on `address` (port 0: any) before `engine`.
    pub async fn start(address: SocketAddr, engine: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (fault, watched) = watch::channel(Fault::None);
        let replies_cut = Arc::<AtomicU64>::default();
        let accepts = tokio::spawn(accept(listener, engine, watched, Arc::clone(&replies_cut)));
        Ok(Self { address, fault, replies_cut, accepts })
    }

    /// From now on this is done to all connections.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Replies that were kept from their clients by [`Fault::CutReplies`].
    pub fn replies_cut(&self) -> u64 {
        self.replies_cut.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
        // Connections see it and end.
        self.fault.send_replace(Fault::Reset);
    }
}

async fn accept(
    listener: TcpListener,
    engine: SocketAddr,
    fault: watch::Receiver<Fault>,
    replies_cut: Arc<AtomicU64>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *fault.borrow() == Fault::Reset {
            reset(&client);
            continue;
        }
        let (fault, replies_cut) = (fault.clone(), Arc::clone(&replies_cut));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(engine).await else {
                reset(&client);
                return;
            };
            relay(client, server, fault, replies_cut).await;
        });
    }
}

/// The peer is to see a reset, not an orderly end.
fn reset(stream: &TcpStream) {
    // Where it fails the peer sees an orderly end, which is a fault as well.
    let _ = stream.set_zero_linger();
}

async fn relay(
    client: TcpStream,
    server: TcpStream,
    fault: watch::Receiver<Fault>,
    replies_cut: Arc<AtomicU64>,
) {
    // Both ends are reset when the relay ends, however it does.
    reset(&client);
    reset(&server);
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let flow = |from, to, way| Flow {
        from,
        to,
        way,
        fault: fault.clone(),
        replies_cut: Arc::clone(&replies_cut),
    };
    let request = flow(client_reads, server_writes, Way::Request).run();
    let reply = flow(server_reads, client_writes, Way::Reply).run();
    tokio::select! {
        () = request => {}
        () = reply => {}
    }
}

// === impl Fault ===

impl Fault {
    /// Whether nothing flows this way for as long as it holds.
    fn holds(self, way: Way) -> bool {
        self == Self::Silent || (self, way) == (Self::HeldRequests, Way::Request)
    }
}

// === impl Flow ===

impl Flow {
    async fn run(mut self) {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let fault = *self.fault.borrow_and_update();
            if fault == Fault::Reset {
                return;
            }
            if fault.holds(self.way) {
                if self.fault.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let read = tokio::select! {
                changed = self.fault.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                read = self.from.read(&mut chunk) => read,
            };
            let Ok(bytes @ 1..) = read else { return };
            if !self.let_pass().await || self.to.write_all(&chunk[..bytes]).await.is_err() {
                return;
            }
        }
    }

    /// Whether what was read goes on; `false`: the connection ends.
    async fn let_pass(&mut self) -> bool {
        loop {
            let fault = *self.fault.borrow_and_update();
            match (fault, self.way) {
                (Fault::Reset, _) => return false,
                (Fault::CutReplies, Way::Reply) => {
                    self.replies_cut.fetch_add(1, Ordering::Relaxed);
                    return false;
                }
                (Fault::LateReplies(late), Way::Reply) => {
                    tokio::time::sleep(late).await;
                    return true;
                }
                (fault, way) if fault.holds(way) => {
                    if self.fault.changed().await.is_err() {
                        return false;
                    }
                }
                _ => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Answers each byte with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    // The client ends it.
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn every_fault_is_seen_and_passes() {
        let any = "127.0.0.1:0".parse().expect("address");
        let proxy = Proxy::start(any, echo().await).await.expect("starts");
        let connect = || TcpStream::connect(proxy.address);
        let mut client = connect().await.expect("connects");
        assert_eq!(ask(&mut client).await.expect("passes"), b'x');

        proxy.set(Fault::LateReplies(Duration::from_millis(80)));
        let begun = Instant::now();
        assert_eq!(ask(&mut client).await.expect("late"), b'x');
        assert!(begun.elapsed() >= Duration::from_millis(80));

        client.write_all(b"x").await.expect("sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
        proxy.set(Fault::HeldRequests);
        assert_eq!(client.read_u8().await.expect("a reply passes"), b'x');
        let held = tokio::time::timeout(Duration::from_millis(80), ask(&mut client)).await;
        assert!(held.is_err(), "no request passes");
        proxy.set(Fault::None);
        assert_eq!(client.read_u8().await.expect("what waited"), b'x');

        proxy.set(Fault::Silent);
        let silent = tokio::time::timeout(Duration::from_millis(80), ask(&mut client)).await;
        assert!(silent.is_err(), "nothing passes");
        proxy.set(Fault::None);
        assert_eq!(client.read_u8().await.expect("what waited"), b'x');

        proxy.set(Fault::CutReplies);
        assert!(ask(&mut client).await.is_err());
        assert_eq!(proxy.replies_cut(), 1);

        proxy.set(Fault::None);
        let mut client = connect().await.expect("connects");
        assert_eq!(ask(&mut client).await.expect("passes"), b'x');
        proxy.set(Fault::Reset);
        assert!(ask(&mut client).await.is_err());
    }
}
