//! Settings of the listener. Every limit here is enforced before memory is spent.
//!
//! The limits of a batch (bytes, events) are not here: they belong to the app
//! and come with its grant.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluice_event::limits::WIRE_BYTES_MAX;

/// The listener's section of the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireConfig {
    /// Address to bind; port 0 picks a free one. Not part of the section: the
    /// server has one setting for it.
    #[serde(skip, default = "listen_default")]
    pub listen: SocketAddr,
    /// Open connections. At this many the listener stops accepting: newcomers
    /// wait in the kernel's backlog, at no cost here, until one closes.
    /// Default 20,000.
    pub connections_max: usize,
    /// Open connections from one address; more are closed at once. Absent
    /// (default): no such cap, as many phones share one address.
    pub connections_per_ip_max: Option<usize>,
    /// A connection's first request must have begun, and each HTTP/1 request
    /// head must be whole, within this; an idle HTTP/1 connection is closed
    /// after it. Default 15,000.
    pub header_timeout_ms: u64,
    /// Bytes of a request head, URI included; at least 8,192. Default 65,536:
    /// GET dialects carry their events in the URI.
    pub header_bytes_max: usize,
    /// A body must be whole within this. Default 30,000.
    pub body_timeout_ms: u64,
    /// A body must come at least this fast once the grace is over. Default 1,024.
    pub body_rate_min_bytes_per_s: u64,
    /// Grace before the minimum rate applies. Default 5,000.
    pub body_rate_grace_ms: u64,
    /// Bytes of a body outside the ingest paths. Default 262,144.
    pub fallback_body_bytes_max: usize,
    /// Bytes of bodies held before it is known whose they are, all together: those of
    /// SDKs that name their app in the body alone. More are told to come again.
    /// Default 67,108,864.
    pub unverified_bytes_in_flight_max: usize,
    /// Open streams on one HTTP/2 connection. Default 128.
    pub http2_streams_max: u32,
    /// Streams that the peer reset and that are not yet accepted; more is taken
    /// for a flood and closes the connection. Default 20.
    pub http2_pending_resets_max: usize,
    /// Streams that this side reset because of the peer's errors; more closes
    /// the connection. Default 128.
    pub http2_local_resets_max: usize,
    /// An HTTP/2 connection is pinged this often and closed when it does not
    /// answer within `keep_alive_timeout_ms`. Default 20,000.
    pub keep_alive_interval_ms: u64,
    /// See `keep_alive_interval_ms`. Default 10,000.
    pub keep_alive_timeout_ms: u64,
    /// A connection older than this is closed gracefully, so that load spreads
    /// over new gateways. Default 1,800,000.
    pub connection_age_max_ms: u64,
    /// Batches of one gRPC stream in work at a time. Default 16.
    pub stream_batches_in_flight_max: usize,
    /// A gRPC stream that brings no batch for this long is ended. Default 300,000.
    pub stream_idle_ms: u64,
    /// TLS; absent: plain text.
    pub tls: Option<TlsConfig>,
}

/// Where the certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file: the certificate, then its chain.
    pub cert_path: PathBuf,
    /// PEM file: the private key.
    pub key_path: PathBuf,
}

/// How fast a body must come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The whole body within this.
    pub deadline: Duration,
    /// Grace before the minimum rate applies.
    pub grace: Duration,
    /// Bytes per second; 0: any rate.
    pub rate_min: u64,
}

fn listen_default() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 7080))
}

// === impl WireConfig ===

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            listen: listen_default(),
            connections_max: 20_000,
            connections_per_ip_max: None,
            header_timeout_ms: 15_000,
            header_bytes_max: 65_536,
            body_timeout_ms: 30_000,
            body_rate_min_bytes_per_s: 1_024,
            body_rate_grace_ms: 5_000,
            fallback_body_bytes_max: 262_144,
            unverified_bytes_in_flight_max: 64 * 1024 * 1024,
            http2_streams_max: 128,
            http2_pending_resets_max: 20,
            http2_local_resets_max: 128,
            keep_alive_interval_ms: 20_000,
            keep_alive_timeout_ms: 10_000,
            connection_age_max_ms: 1_800_000,
            stream_batches_in_flight_max: 16,
            stream_idle_ms: 300_000,
            tls: None,
        }
    }
}

impl WireConfig {
    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("connections_max", self.connections_max as u64),
            ("connections_per_ip_max", self.connections_per_ip_max.map_or(1, |max| max as u64)),
            ("header_timeout_ms", self.header_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("fallback_body_bytes_max", self.fallback_body_bytes_max as u64),
            ("http2_streams_max", self.http2_streams_max.into()),
            ("keep_alive_interval_ms", self.keep_alive_interval_ms),
            ("keep_alive_timeout_ms", self.keep_alive_timeout_ms),
            ("connection_age_max_ms", self.connection_age_max_ms),
            ("stream_batches_in_flight_max", self.stream_batches_in_flight_max as u64),
            ("stream_idle_ms", self.stream_idle_ms),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} is 0; it must be at least 1"));
        }
        if self.unverified_bytes_in_flight_max < WIRE_BYTES_MAX {
            let found = self.unverified_bytes_in_flight_max;
            return Err(format!(
                "unverified_bytes_in_flight_max is {found}; it must have room for one body, \
                 {WIRE_BYTES_MAX} at least"
            ));
        }
        if self.header_bytes_max < 8_192 {
            let found = self.header_bytes_max;
            return Err(format!("header_bytes_max is {found}; it must be at least 8192"));
        }
        Ok(())
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace {
            deadline: Duration::from_millis(self.body_timeout_ms),
            grace: Duration::from_millis(self.body_rate_grace_ms),
            rate_min: self.body_rate_min_bytes_per_s,
        }
    }
}

// === impl Pace ===

impl Pace {
    /// How long after its start a body may go without its next bytes, having
    /// brought `bytes` so far.
    pub(crate) fn allowed(self, bytes: usize) -> Duration {
        if self.rate_min == 0 {
            return self.deadline;
        }
        let earned = Duration::from_secs_f64(bytes as f64 / self.rate_min as f64);
        self.deadline.min(self.grace + earned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_unknown_keys_are_refused() {
        WireConfig::default().check().expect("valid");
        let wrong = serde_json::from_str::<WireConfig>(r#"{"conections_max":1}"#);
        assert!(wrong.expect_err("refused").to_string().contains("conections_max"));
    }

    #[test]
    fn zero_is_named() {
        let config = WireConfig { body_timeout_ms: 0, ..WireConfig::default() };
        assert!(config.check().expect_err("refused").starts_with("body_timeout_ms"));
    }

    #[test]
    fn each_byte_earns_time_up_to_the_deadline() {
        let pace = WireConfig::default().pace();
        assert_eq!(pace.allowed(0), Duration::from_secs(5));
        assert_eq!(pace.allowed(1_024), Duration::from_secs(6));
        assert_eq!(pace.allowed(1 << 30), Duration::from_secs(30));
    }
}
