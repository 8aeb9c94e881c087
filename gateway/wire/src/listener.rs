//! The listener: bind early, accept within bounds, drain in order.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sluice_event::Collector;
use sluice_telemetry::Registry;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::WireConfig;
use crate::conn;
use crate::edge::{Edge, Fallback};
use crate::tls;

/// Connections that the kernel holds for us while we are at the limit.
const BACKLOG: u32 = 1_024;
/// Pause after a failed accept, as when file handles have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After the deadline, connections get this long to notice that they are cut.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// Why the listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A setting is out of its range.
    #[error("wire: {0}")]
    Config(String),
    /// The address is taken, or not ours.
    #[error("cannot listen on {listen}: {source}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("wire.tls: {0}")]
    Tls(String),
}

/// A bound address, not yet serving: connections wait in the backlog.
pub struct Listener {
    config: WireConfig,
    socket: TcpListener,
    local: SocketAddr,
    tls: Option<TlsAcceptor>,
}

/// A serving listener. Dropping it does not stop it: [`ServeHandle::drain`] does.
pub struct ServeHandle {
    local: SocketAddr,
    stop: CancellationToken,
    cut: CancellationToken,
    connections: TaskTracker,
    handed: TaskTracker,
    open: Arc<AtomicUsize>,
}

/// What a drain had to leave undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub connections_cut: usize,
    /// Batches and streams whose fate was not known at the deadline. They go on
    /// until the process ends.
    pub batches_pending: usize,
}

/// Open connections by address.
#[derive(Default)]
struct PerIp(Mutex<HashMap<IpAddr, usize>>);

/// Counts one connection for as long as it lives.
struct Counted {
    open: Arc<AtomicUsize>,
    per_ip: Option<(Arc<PerIp>, IpAddr)>,
}

// === impl Listener ===

impl Listener {
    /// Binds the address. Needs a tokio runtime around it.
    pub fn bind(config: WireConfig) -> Result<Self, BindError> {
        config.check().map_err(BindError::Config)?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose().map_err(BindError::Tls)?;
        let listen = config.listen;
        let bound = || {
            let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(listen)?;
            let socket = socket.listen(BACKLOG)?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        };
        let (socket, local) = bound().map_err(|source| BindError::Bind { listen, source })?;
        Ok(Self { config, socket, local, tls })
    }

    /// The address, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Begins to serve. `fallback` gets what no dialect claims.
    pub fn serve<C: Collector>(
        self,
        collector: Arc<C>,
        fallback: Fallback,
        registry: &Registry,
    ) -> ServeHandle {
        let Self { config, socket, local, tls } = self;
        let stop = CancellationToken::new();
        let edge = Arc::new(Edge::new(config, collector, fallback, registry, stop.clone()));
        let handle = ServeHandle {
            local,
            stop: stop.clone(),
            cut: CancellationToken::new(),
            connections: TaskTracker::new(),
            handed: edge.handed.clone(),
            open: Arc::default(),
        };
        let acceptor = Acceptor {
            room: Arc::new(Semaphore::new(edge.config.connections_max)),
            per_ip: Arc::default(),
            edge,
            tls,
            stop,
            cut: handle.cut.clone(),
            connections: handle.connections.clone(),
            open: Arc::clone(&handle.open),
        };
        tokio::spawn(acceptor.run(socket));
        handle
    }
}

struct Acceptor<C> {
    edge: Arc<Edge<C>>,
    tls: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
    per_ip: Arc<PerIp>,
    stop: CancellationToken,
    cut: CancellationToken,
    connections: TaskTracker,
    open: Arc<AtomicUsize>,
}

// === impl Acceptor ===

impl<C: Collector> Acceptor<C> {
    async fn run(self, socket: TcpListener) {
        loop {
            if self.room.available_permits() == 0 {
                self.edge.metrics.at_limit.inc();
            }
            // Room first, then accept: at the limit newcomers stay in the backlog.
            let room = tokio::select! {
                room = Arc::clone(&self.room).acquire_owned() => room,
                () = self.stop.cancelled() => return,
            };
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some(counted) = self.count(peer.ip()) {
                        let task = self.connection(stream, peer.ip());
                        self.connections.spawn(async move {
                            task.await;
                            drop((counted, room));
                        });
                    }
                }
                Err(error) => {
                    self.edge.metrics.accept_errors.inc();
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn count(&self, peer: IpAddr) -> Option<Counted> {
        let mut counted = Counted { open: Arc::clone(&self.open), per_ip: None };
        self.open.fetch_add(1, Ordering::Relaxed);
        if let Some(max) = self.edge.config.connections_per_ip_max {
            if !self.per_ip.enter(peer, max) {
                self.edge.metrics.closed("per_ip");
                return None;
            }
            counted.per_ip = Some((Arc::clone(&self.per_ip), peer));
        }
        self.edge.metrics.connections.inc();
        Some(counted)
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: IpAddr,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (edge, tls) = (Arc::clone(&self.edge), self.tls.clone());
        let (stop, cut) = (self.stop.clone(), self.cut.clone());
        async move {
            edge.metrics.connections_open.inc();
            tokio::select! {
                () = conn::serve(&edge, stream, tls, peer, &stop) => {}
                () = cut.cancelled() => edge.metrics.closed("cut"),
            }
            edge.metrics.connections_open.dec();
        }
    }
}

// === impl PerIp ===

impl PerIp {
    fn enter(&self, peer: IpAddr, max: usize) -> bool {
        let mut all = self.0.lock();
        let count = all.entry(peer).or_default();
        let room = *count < max;
        *count += usize::from(room);
        room
    }

    fn leave(&self, peer: IpAddr) {
        let mut all = self.0.lock();
        if let Some(count) = all.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                all.remove(&peer);
            }
        }
    }
}

// === impl Counted ===

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if let Some((per_ip, peer)) = &self.per_ip {
            per_ip.leave(*peer);
        }
    }
}

// === impl ServeHandle ===

impl ServeHandle {
    /// The address served.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Connections open now.
    pub fn connections_open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Stops, in order: no new connections; no new requests on those there are
    /// (HTTP/1: `Connection: close`, HTTP/2: GOAWAY); requests in work are
    /// finished and batches handed over get their fate; what is left at the
    /// deadline is cut, and said.
    pub async fn drain(self, deadline: Duration) -> Drained {
        let by = Instant::now() + deadline;
        self.stop.cancel();
        self.connections.close();
        self.handed.close();
        let mut connections_cut = 0;
        if timeout_at(by, self.connections.wait()).await.is_err() {
            connections_cut = self.connections.len();
            tracing::warn!(connections_cut, "cut at the end of the drain");
            self.cut.cancel();
            timeout_at(Instant::now() + CUT_GRACE, self.connections.wait()).await.ok();
        }
        timeout_at(by, self.handed.wait()).await.ok();
        Drained { connections_cut, batches_pending: self.handed.len() }
    }
}
