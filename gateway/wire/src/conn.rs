//! One connection: TLS, HTTP/1.1 or HTTP/2 by its first bytes, its limits and
//! its end.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sluice_event::Collector;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::WireConfig;
use crate::edge::Edge;

/// Headers of one HTTP/1 request.
const HEADERS_MAX: usize = 100;
/// Bytes that a slow reader may leave unsent on one HTTP/2 stream.
const SEND_BYTES_MAX: usize = 256 * 1024;
/// Bytes of bodies on one HTTP/2 stream, and connection, that may be under way
/// before they are read: these bound what a peer makes us hold.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Serves a connection to its end.
pub(crate) async fn serve<C: Collector>(
    edge: &Arc<Edge<C>>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    peer: IpAddr,
    stop: &CancellationToken,
) {
    let first_request_by = Instant::now() + millis(edge.config.header_timeout_ms);
    stream.set_nodelay(true).ok();
    let Some(tls) = tls else {
        return http(edge, stream, peer, stop, first_request_by).await;
    };
    match timeout_at(first_request_by, tls.accept(stream)).await {
        Ok(Ok(stream)) => Box::pin(http(edge, stream, peer, stop, first_request_by)).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => edge.metrics.closed("handshake_timeout"),
    }
}

async fn http<C, S>(
    edge: &Arc<Edge<C>>,
    stream: S,
    peer: IpAddr,
    stop: &CancellationToken,
    first_request_by: Instant,
) where
    C: Collector,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        begun.store(true, Ordering::Relaxed);
        Arc::clone(edge).call(request, Some(peer))
    });
    let builder = builder(&edge.config);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut old = pin!(sleep_until(Instant::now() + millis(edge.config.connection_age_max_ms)));
    let mut first = pin!(sleep_until(first_request_by));
    let (mut stopping, mut waiting) = (false, true);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut old, if !stopping => {
                stopping = true;
                edge.metrics.closed("age");
                connection.as_mut().graceful_shutdown();
            }
            // hyper's own time-out begins with a request's head; nothing in it
            // ends a connection that never gets so far.
            () = &mut first, if waiting => {
                waiting = false;
                if !begun.load(Ordering::Relaxed) {
                    edge.metrics.closed("no_request");
                    return;
                }
            }
        }
    }
}

fn builder(config: &WireConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Without a timer the time-out is silently off.
        .timer(TokioTimer::new())
        .header_read_timeout(millis(config.header_timeout_ms))
        .max_buf_size(config.header_bytes_max)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.http2_streams_max)
        .max_pending_accept_reset_streams(config.http2_pending_resets_max)
        .max_local_error_reset_streams(config.http2_local_resets_max)
        .max_header_list_size(config.header_bytes_max.try_into().unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(millis(config.keep_alive_interval_ms))
        .keep_alive_timeout(millis(config.keep_alive_timeout_ms));
    builder
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
