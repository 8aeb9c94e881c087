//! Settings of the HBase adapter. None of them is a secret.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Where the Thrift servers are, how the tables look, what a call may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HbaseConfig {
    /// Thrift1 servers (unframed, binary), `host:port` each, 1 to 64. Calls go
    /// round them; one that fails rests until it answers a probe.
    pub servers: Vec<String>,
    /// Put before the names of the tables (`timeline`, `users`): letters, digits,
    /// `_`, `-`, `.`, and `:` after a namespace. At most 100 bytes.
    pub table_prefix: String,
    /// Whole days that timelines are kept besides the running one, by the day of
    /// the event: 1 to 24 000. The family's TTL is one day more, in seconds.
    pub ttl_days: u32,
    /// Compression of both tables' families.
    pub compression: Compression,
    /// Values of the salt that every row key begins with: 1 to 128. Fixed when
    /// the tables are made; a multiple of the region servers spreads well.
    pub salt_buckets: u8,
    /// Connections, and so calls, at the same time over all servers: 1 to 512.
    pub connections_max: usize,
    /// To reach a server, milliseconds: 10 to 60 000.
    pub connect_timeout_ms: u64,
    /// For the whole reply of a call, milliseconds: 100 to 300 000. More than
    /// `hbase.client.operation.timeout` of the Thrift server, which tries the
    /// region servers that long.
    pub read_timeout_ms: u64,
    /// To hand a whole request over, milliseconds: 100 to 300 000.
    pub write_timeout_ms: u64,
    /// Bytes of a call's rows, about: 16 KiB to 8 MiB. A larger row goes alone.
    pub batch_bytes_max: usize,
    /// Further tries of a call that fails in passing: 0 to 10. Past them the
    /// write goes back to the caller, who comes again.
    pub retries: u32,
    /// Memory for what is known of users seen lately, bytes: 1 MiB to 16 GiB.
    /// A user in it costs no read before a write.
    pub cache_bytes: usize,
}

/// Compression of a column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    None,
    /// gzip, in every HBase; a fifth of the disk for CPU at flush and compaction.
    Gz,
}

// === impl Compression ===

impl Compression {
    /// HBase's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Gz => "GZ",
        }
    }
}

// === impl HbaseConfig ===

impl Default for HbaseConfig {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:9090".into()],
            table_prefix: "sluice.".into(),
            ttl_days: 90,
            compression: Compression::None,
            salt_buckets: 16,
            connections_max: 16,
            connect_timeout_ms: 1_000,
            read_timeout_ms: 15_000,
            write_timeout_ms: 10_000,
            batch_bytes_max: 1_000_000,
            retries: 2,
            cache_bytes: 64 << 20,
        }
    }
}

impl HbaseConfig {
    /// Names the first value out of its range.
    ///
    /// # Errors
    /// The setting, what it is, what is allowed.
    pub fn check(&self) -> Result<(), String> {
        within("servers", self.servers.len() as u64, 1..=64)?;
        for server in &self.servers {
            let port = server.rsplit_once(':').and_then(|(host, port)| {
                port.parse::<u16>().ok().filter(|port| *port > 0 && !host.is_empty())
            });
            if port.is_none() {
                return Err(format!("servers: {server:?} is not host:port, as thrift-1:9090"));
            }
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        let prefix = &self.table_prefix;
        if prefix.len() > 100 || !prefix.chars().all(allowed) || prefix.starts_with(['-', '.']) {
            return Err(format!(
                "table_prefix: {prefix:?} is not at most 100 letters, digits, _, - and . that \
                 begin with a letter, a digit or _"
            ));
        }
        within("ttl_days", u64::from(self.ttl_days), 1..=24_000)?;
        within("salt_buckets", u64::from(self.salt_buckets), 1..=128)?;
        within("connections_max", self.connections_max as u64, 1..=512)?;
        within("connect_timeout_ms", self.connect_timeout_ms, 10..=60_000)?;
        within("read_timeout_ms", self.read_timeout_ms, 100..=300_000)?;
        within("write_timeout_ms", self.write_timeout_ms, 100..=300_000)?;
        within("batch_bytes_max", self.batch_bytes_max as u64, (16 << 10)..=(8 << 20))?;
        within("retries", u64::from(self.retries), 0..=10)?;
        within("cache_bytes", self.cache_bytes as u64, (1 << 20)..=(16 << 30))
    }

    /// TTL of the timeline's family, seconds: a day's rows go together, when
    /// `ttl_days` whole days have passed after it.
    pub(crate) fn ttl_seconds(&self) -> i32 {
        const DAY_SECONDS: i32 = 86_400;
        i32::try_from(self.ttl_days).map_or(i32::MAX, |days| (days + 1).saturating_mul(DAY_SECONDS))
    }
}

fn within(name: &str, value: u64, allowed: RangeInclusive<u64>) -> Result<(), String> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(format!("{name}: {value} is not within {} to {}", allowed.start(), allowed.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within() {
        HbaseConfig::default().check().expect("the defaults pass");
    }

    #[test]
    fn the_first_value_out_of_range_is_named() {
        type Edit = fn(&mut HbaseConfig);
        let cases: [(&str, Edit); 8] = [
            ("servers", |config| config.servers.clear()),
            ("servers", |config| config.servers = vec!["thrift".into()]),
            ("servers", |config| config.servers = vec!["thrift:0".into()]),
            ("table_prefix", |config| config.table_prefix = "a'b".into()),
            ("ttl_days", |config| config.ttl_days = 0),
            ("salt_buckets", |config| config.salt_buckets = 129),
            ("batch_bytes_max", |config| config.batch_bytes_max = 1),
            ("retries", |config| config.retries = 11),
        ];
        for (name, edit) in cases {
            let mut config = HbaseConfig::default();
            edit(&mut config);
            let error = config.check().expect_err(name);
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
        }
    }

    #[test]
    fn the_longest_ttl_is_not_for_ever() {
        let config = HbaseConfig { ttl_days: 24_000, ..HbaseConfig::default() };
        assert!(config.ttl_seconds() < i32::MAX);
        assert_eq!(HbaseConfig { ttl_days: 1, ..config }.ttl_seconds(), 2 * 86_400);
    }
}
