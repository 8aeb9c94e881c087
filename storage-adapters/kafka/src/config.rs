//! Settings, and the librdkafka configuration that follows from them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::{Deserialize, Serialize};

/// Properties that the guarantees of the log stand on, or that have a setting
/// of their own.
const NOT_EXTRA: &[&str] = &[
    "acks",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "compression.codec",
    "compression.type",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "linger.ms",
    "max.poll.interval.ms",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queue.buffering.max.ms",
    "request.required.acks",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "transactional.id",
];

/// Settings of the event log in Kafka.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// The topic of events.
    pub topic: String,
    /// The topic of dead letters; one partition.
    pub dead_letter_topic: String,
    /// Partitions of the topic of events, 1 to 1024; fixed once events are in it.
    pub partitions: u32,
    /// Copies of each partition, 1 to 15; 3 survives the loss of a broker.
    pub replication: u32,
    /// Copies that must have a record before it is acknowledged
    /// (`min.insync.replicas`); at most `replication`.
    pub min_insync_replicas: u32,
    /// How long the topic of events keeps records, milliseconds; at least a minute.
    pub retention_ms: u64,
    /// Make topics that are missing. Where not, they must be there.
    pub create_topics: bool,
    /// Group of fan-out workers: they share the partitions. Offsets of a lane
    /// are kept under `GROUP.LANE`.
    pub group: String,
    /// Name of this member where it keeps its partitions across a restart
    /// (`group.instance.id`); empty: they move at once. Unique in the group.
    pub instance_id: String,
    /// A member not heard of for this long has lost its partitions,
    /// milliseconds, 1 000 to 300 000; the broker has bounds of its own.
    pub session_timeout_ms: u32,
    /// A member that hangs for this long has lost its partitions, milliseconds;
    /// at least `session_timeout_ms`.
    pub max_poll_interval_ms: u32,
    /// Longest wait for a partition that is taken away to be finished,
    /// milliseconds; below `max_poll_interval_ms`.
    pub revoke_timeout_ms: u32,
    /// Longest wait for the broker to acknowledge a record that was handed to it,
    /// milliseconds, 1 000 to 600 000; after it the outcome is unknown and the
    /// client resends. What waits behind it was not written, and is told so.
    pub message_timeout_ms: u32,
    /// How long librdkafka holds a record back for company, milliseconds, 0 to
    /// 1 000; on top of the wait for those before it in its partition, which alone
    /// gathers company when there is any. librdkafka spins through the last
    /// millisecond of each wait: 1 costs more CPU than 0 or 5.
    pub linger_ms: u32,
    /// `none`, `lz4`, `zstd`, `gzip` or `snappy`.
    pub compression: String,
    /// Records handed over and not yet acknowledged, bytes; beyond it appends
    /// are refused. 1 MiB to 1 GiB.
    pub queue_bytes_max: usize,
    /// Largest record, bytes; the topic's `max.message.bytes` is set to it. 64
    /// KiB to 64 MiB.
    pub record_bytes_max: usize,
    /// Bytes read ahead by one reader; there are up to three in each partition.
    pub fetch_bytes_max: usize,
    /// Appends are refused once the broker has acknowledged nothing for this
    /// long although something waits, milliseconds.
    pub silent_ms_max: u64,
    /// Longest wait for an answer to a request other than a record, milliseconds.
    pub request_timeout_ms: u32,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub security_protocol: String,
    /// PEM file of the authorities that sign the brokers' certificates.
    pub ca_path: Option<PathBuf>,
    /// PEM file of our own certificate, where brokers ask for one.
    pub certificate_path: Option<PathBuf>,
    /// PEM file of its key.
    pub key_path: Option<PathBuf>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: String,
    /// User of SASL.
    pub sasl_username: String,
    /// Password of SASL.
    pub sasl_password: String,
    /// Further properties of librdkafka, as it names them.
    pub extra: BTreeMap<String, String>,
}

/// One topic and what it must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: u32,
    /// How long it keeps records, milliseconds; `None`: for ever.
    pub retention_ms: Option<u64>,
}

// === impl KafkaConfig ===

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            topic: "sluice.events".to_owned(),
            dead_letter_topic: "sluice.dead-letter".to_owned(),
            partitions: 8,
            replication: 1,
            min_insync_replicas: 1,
            retention_ms: 7 * 86_400_000,
            create_topics: true,
            group: "sluice".to_owned(),
            instance_id: String::new(),
            session_timeout_ms: 45_000,
            max_poll_interval_ms: 300_000,
            revoke_timeout_ms: 15_000,
            message_timeout_ms: 30_000,
            linger_ms: 0,
            compression: "lz4".to_owned(),
            queue_bytes_max: 64 << 20,
            record_bytes_max: 8 << 20,
            fetch_bytes_max: 8 << 20,
            silent_ms_max: 5_000,
            request_timeout_ms: 10_000,
            security_protocol: "plaintext".to_owned(),
            ca_path: None,
            certificate_path: None,
            key_path: None,
            sasl_mechanism: String::new(),
            sasl_username: String::new(),
            sasl_password: String::new(),
            extra: BTreeMap::new(),
        }
    }
}

/// Shows everything but the password and what may hold one.
impl std::fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("group", &self.group)
            .field("security_protocol", &self.security_protocol)
            .field("sasl_username", &self.sasl_username)
            .finish_non_exhaustive()
    }
}

impl KafkaConfig {
    /// The first value that is out of its range, with the range.
    ///
    /// # Errors
    /// `name = value: allowed is …`
    pub fn check(&self) -> Result<(), String> {
        let ranges: [(&str, u64, u64, u64); 10] = [
            ("partitions", self.partitions.into(), 1, 1024),
            ("replication", self.replication.into(), 1, 15),
            ("min_insync_replicas", self.min_insync_replicas.into(), 1, self.replication.into()),
            ("retention_ms", self.retention_ms, 60_000, 10 * 366 * 86_400_000),
            ("session_timeout_ms", self.session_timeout_ms.into(), 1_000, 300_000),
            (
                "max_poll_interval_ms",
                self.max_poll_interval_ms.into(),
                self.session_timeout_ms.into(),
                86_400_000,
            ),
            (
                "revoke_timeout_ms",
                self.revoke_timeout_ms.into(),
                100,
                u64::from(self.max_poll_interval_ms).saturating_sub(1),
            ),
            ("message_timeout_ms", self.message_timeout_ms.into(), 1_000, 600_000),
            ("linger_ms", self.linger_ms.into(), 0, 1_000),
            ("request_timeout_ms", self.request_timeout_ms.into(), 500, 300_000),
        ];
        for (name, value, min, max) in ranges {
            within(name, value, min, max)?;
        }
        within("queue_bytes_max", self.queue_bytes_max as u64, 1 << 20, 1 << 30)?;
        within("record_bytes_max", self.record_bytes_max as u64, 64 << 10, 64 << 20)?;
        within("fetch_bytes_max", self.fetch_bytes_max as u64, 64 << 10, 256 << 20)?;
        within("silent_ms_max", self.silent_ms_max, 500, 600_000)?;
        one_of("compression", &self.compression, &["none", "lz4", "zstd", "gzip", "snappy"])?;
        let protocols = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
        one_of("security_protocol", &self.security_protocol, &protocols)?;
        for (name, value) in [
            ("brokers", &self.brokers),
            ("topic", &self.topic),
            ("dead_letter_topic", &self.dead_letter_topic),
            ("group", &self.group),
        ] {
            if value.trim().is_empty() {
                return Err(format!("{name} is empty"));
            }
        }
        if self.topic == self.dead_letter_topic {
            return Err(format!("topic and dead_letter_topic are both `{}`", self.topic));
        }
        self.check_security()?;
        match self.extra.keys().find(|key| NOT_EXTRA.contains(&key.as_str())) {
            Some(key) => Err(format!("extra.{key}: it has a setting of its own or is fixed")),
            None => Ok(()),
        }
    }

    fn check_security(&self) -> Result<(), String> {
        let sasl = self.security_protocol.starts_with("sasl");
        if sasl {
            let known = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
            one_of("sasl_mechanism", &self.sasl_mechanism, &known)?;
            if self.sasl_username.is_empty() || self.sasl_password.is_empty() {
                return Err(format!(
                    "security_protocol = {}: sasl_username and sasl_password are needed",
                    self.security_protocol
                ));
            }
        }
        let tls = self.security_protocol.ends_with("ssl");
        if (tls || self.sasl_mechanism.starts_with("SCRAM")) && !cfg!(feature = "tls") {
            return Err(format!(
                "security_protocol = {} with sasl_mechanism = `{}` needs a build with the cargo \
                 feature `kafka-tls`",
                self.security_protocol, self.sasl_mechanism
            ));
        }
        Ok(())
    }

    /// What every client has in common.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            // By default it goes by the `log` crate, which nobody listens to here.
            .set_log_level(RDKafkaLogLevel::Error)
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "sluice")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("security.protocol", &self.security_protocol);
        if self.security_protocol.starts_with("sasl") {
            config
                .set("sasl.mechanism", &self.sasl_mechanism)
                .set("sasl.username", &self.sasl_username)
                .set("sasl.password", &self.sasl_password);
        }
        let files = [
            ("ssl.ca.location", &self.ca_path),
            ("ssl.certificate.location", &self.certificate_path),
            ("ssl.key.location", &self.key_path),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                config.set(name, path.to_string_lossy());
            }
        }
        for (name, value) in &self.extra {
            config.set(name, value);
        }
        config
    }

    /// The producer: a delivery report means that all copies in sync have it,
    /// and the order of the calls is the order of the log, resends included.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", self.message_timeout_ms.to_string())
            .set("linger.ms", self.linger_ms.to_string())
            .set("compression.type", &self.compression)
            .set("message.max.bytes", (self.record_bytes_max + 4096).to_string())
            .set("batch.size", "4000000")
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", (self.queue_bytes_max / 1024 * 2).to_string())
            .set("statistics.interval.ms", "5000");
        config
    }

    /// A reader of one partition. It belongs to no group and commits nothing.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        let kbytes = (self.fetch_bytes_max / 1024).max(64);
        config
            .set("group.id", format!("{}.readers", self.group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            // A record is read back whole or the read fails.
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "200")
            .set("fetch.message.max.bytes", self.record_bytes_max.min(1 << 20).to_string())
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", kbytes.to_string());
        config
    }

    /// A client for offsets of a group, watermarks and times.
    pub(crate) fn asker(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed");
        config
    }

    /// A member of the group of workers. It never reads.
    pub(crate) fn member(&self) -> ClientConfig {
        let mut config = self.asker(&self.group);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set(
                "heartbeat.interval.ms",
                (self.session_timeout_ms / 4).clamp(250, 3_000).to_string(),
            )
            .set("max.poll.interval.ms", self.max_poll_interval_ms.to_string())
            .set("auto.offset.reset", "latest");
        if !self.instance_id.is_empty() {
            config.set("group.instance.id", &self.instance_id);
        }
        config
    }
}

fn within(name: &str, value: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} = {value}: allowed is {min} to {max}"))
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(format!("{name} = `{value}`: allowed is {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut KafkaConfig)) -> String {
        let mut config = KafkaConfig::default();
        change(&mut config);
        config.check().expect_err("refused")
    }

    #[test]
    fn the_defaults_are_in_range_and_what_is_not_is_named() {
        assert_eq!(KafkaConfig::default().check(), Ok(()));
        assert!(refused(|it| it.min_insync_replicas = 2).contains("min_insync_replicas = 2"));
        assert!(refused(|it| it.compression = "lzma".into()).contains("lz4"));
        assert!(refused(|it| it.topic = it.dead_letter_topic.clone()).contains("both"));
        let sasl = refused(|it| {
            it.security_protocol = "sasl_plaintext".into();
            it.sasl_mechanism = "PLAIN".into();
        });
        assert!(sasl.contains("sasl_password"), "{sasl}");
    }

    #[test]
    fn no_guarantee_can_be_taken_away_by_an_extra_property() {
        let error = refused(|it| {
            it.extra.insert("acks".into(), "1".into());
        });
        assert!(error.contains("extra.acks"), "{error}");
    }

    #[test]
    fn no_secret_is_shown() {
        let config = KafkaConfig { sasl_password: "s3cret".into(), ..KafkaConfig::default() };
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
