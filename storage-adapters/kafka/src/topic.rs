//! Topics: made where they are missing, verified where they are there.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use sluice_seams::StoreError;

use crate::client::{Plain, store_error};
use crate::config::{KafkaConfig, TopicConfig};

/// A topic that was made is known to every broker after a moment.
const APPEARS_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a topic is like.
struct Found {
    partitions: u32,
    replication: u32,
}

/// Makes the topic where it may and must, and refuses one that is not as the
/// settings say.
///
/// # Errors
/// `Retry`: the brokers do not answer. `Poisoned`: the topic is missing or other
/// than wanted, with what to do.
pub(crate) async fn ensure(config: &KafkaConfig, topic: &TopicConfig) -> Result<(), StoreError> {
    let found = match look(config, topic).await? {
        Some(found) => found,
        None if config.create_topics => {
            create(config, topic).await?;
            appears(config, topic).await?
        }
        None => {
            let detail = format!(
                "kafka: there is no topic `{}` and kafka.create_topics is off; make it: {}",
                topic.name,
                create_command(config, topic)
            );
            return Err(StoreError::Poisoned(detail));
        }
    };
    verify_shape(config, topic, &found)?;
    verify_settings(config, topic).await
}

/// Settings that the log stands on, with the values wanted.
fn wanted(config: &KafkaConfig, topic: &TopicConfig) -> Vec<(&'static str, String)> {
    let retention = topic.retention_ms.map_or_else(|| "-1".to_owned(), |ms| ms.to_string());
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("min.insync.replicas", config.min_insync_replicas.to_string()),
        ("max.message.bytes", (config.record_bytes_max + 4096).to_string()),
        ("retention.ms", retention),
    ]
}

async fn look(config: &KafkaConfig, topic: &TopicConfig) -> Result<Option<Found>, StoreError> {
    let brokers = &config.brokers;
    let (config, name) = (config.clone(), topic.name.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer<Plain> =
            BaseConsumer::from_config_and_context(&config.asker(&config.group), Plain)?;
        let timeout = Duration::from_millis(config.request_timeout_ms.into());
        // All topics: asking for one by name could make it.
        let metadata = client.fetch_metadata(None, timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == name);
        Ok::<_, KafkaError>(found.map(|found| Found {
            partitions: found.partitions().len() as u32,
            replication:
                found.partitions().iter().map(|it| it.replicas().len() as u32).min().unwrap_or(0),
        }))
    });
    let found = asked.await.map_err(|error| StoreError::Poisoned(format!("kafka: {error}")))?;
    found.map_err(|error| store_error(&format!("no answer from the brokers ({brokers})"), &error))
}

async fn appears(config: &KafkaConfig, topic: &TopicConfig) -> Result<Found, StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(found) = look(config, topic).await? {
            return Ok(found);
        }
        if waited >= APPEARS_WITHIN {
            let detail = format!("kafka: the topic `{}` was made and does not appear", topic.name);
            return Err(StoreError::retry(LOOK_EVERY, detail));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

async fn create(config: &KafkaConfig, topic: &TopicConfig) -> Result<(), StoreError> {
    let admin = admin(config)?;
    let settings = wanted(config, topic);
    let replication = TopicReplication::Fixed(config.replication as i32);
    let mut new = NewTopic::new(&topic.name, topic.partitions as i32, replication);
    for (name, value) in &settings {
        new = new.set(name, value);
    }
    let made = admin.create_topics([&new], &options(config)).await;
    let made = made.map_err(|error| store_error("making a topic", &error))?;
    match made.into_iter().next() {
        // Another process was faster.
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => {
            tracing::info!(topic = topic.name, partitions = topic.partitions, "topic made");
            Ok(())
        }
        Some(Err((name, code))) => Err(StoreError::Poisoned(format!(
            "kafka: the topic `{name}` was not made: {code}; make it by hand: {}",
            create_command(config, topic)
        ))),
    }
}

fn verify_shape(
    config: &KafkaConfig,
    topic: &TopicConfig,
    found: &Found,
) -> Result<(), StoreError> {
    let name = &topic.name;
    if found.partitions != topic.partitions {
        return Err(StoreError::Poisoned(format!(
            "kafka: the topic `{name}` has {} partitions, kafka.partitions says {}: set it to {}. \
             It cannot be changed while there are events in it: a device would move to another \
             partition, away from what is known about its events",
            found.partitions, topic.partitions, found.partitions
        )));
    }
    if found.replication < config.replication {
        return Err(StoreError::Poisoned(format!(
            "kafka: the topic `{name}` has {} copies, kafka.replication says {}: add copies with \
             kafka-reassign-partitions.sh, or set kafka.replication = {}",
            found.replication, config.replication, found.replication
        )));
    }
    Ok(())
}

async fn verify_settings(config: &KafkaConfig, topic: &TopicConfig) -> Result<(), StoreError> {
    let name = topic.name.as_str();
    let admin = admin(config)?;
    let asked = admin.describe_configs([&ResourceSpecifier::Topic(name)], &options(config)).await;
    let asked = asked.map_err(|error| store_error("the settings of a topic", &error))?;
    let found = match asked.into_iter().next() {
        Some(Ok(found)) => found,
        Some(Err(code)) => {
            let detail =
                format!("kafka: the settings of the topic `{name}` cannot be read: {code}");
            return Err(StoreError::Poisoned(detail));
        }
        None => return Ok(()),
    };
    for (setting, wanted) in wanted(config, topic) {
        let value = found.get(setting).and_then(|entry| entry.value.clone()).unwrap_or_default();
        if !suffices(setting, &value, &wanted) {
            return Err(StoreError::Poisoned(format!(
                "kafka: the topic `{name}` has {setting} = {value}, wanted is {wanted}. Run \
                 kafka-configs.sh --bootstrap-server {} --alter --entity-type topics \
                 --entity-name {name} --add-config {setting}={wanted}, or change the setting here",
                config.brokers
            )));
        }
    }
    Ok(())
}

/// More of what only has to be enough is fine.
fn suffices(setting: &str, found: &str, wanted: &str) -> bool {
    match (setting, found.parse::<i64>(), wanted.parse::<i64>()) {
        ("max.message.bytes" | "min.insync.replicas", Ok(found), Ok(wanted)) => found >= wanted,
        // -1: for ever.
        ("retention.ms", Ok(found), Ok(wanted)) => found == -1 || (wanted >= 0 && found >= wanted),
        _ => found == wanted,
    }
}

fn admin(config: &KafkaConfig) -> Result<AdminClient<Plain>, StoreError> {
    AdminClient::from_config_and_context(&config.client(), Plain)
        .map_err(|error| StoreError::Poisoned(format!("kafka: {error}")))
}

fn options(config: &KafkaConfig) -> AdminOptions {
    let timeout = Duration::from_millis(config.request_timeout_ms.into());
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

fn create_command(config: &KafkaConfig, topic: &TopicConfig) -> String {
    let settings: Vec<String> = wanted(config, topic)
        .into_iter()
        .map(|(name, value)| format!("--config {name}={value}"))
        .collect();
    format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} \
         --replication-factor {} {}",
        config.brokers,
        topic.name,
        topic.partitions,
        config.replication,
        settings.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_enough_is_enough() {
        assert!(suffices("retention.ms", "-1", "60000"));
        assert!(suffices("retention.ms", "60001", "60000"));
        assert!(!suffices("retention.ms", "59999", "60000"));
        assert!(!suffices("retention.ms", "59999", "-1"));
        assert!(suffices("max.message.bytes", "9000000", "8392704"));
        assert!(!suffices("message.timestamp.type", "CreateTime", "LogAppendTime"));
    }
}
