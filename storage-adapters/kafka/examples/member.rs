//! A worker without work: joins the group of workers and prints, line by line,
//! which partitions it is given and which are taken away.
//!
//! `cargo run -p sluice-kafka --example member -- HOST:PORT TOPIC GROUP
//! [session time-out, ms]`. It ends by a signal.

use sluice_kafka::{KafkaAssignment, KafkaConfig};
use sluice_seams::{Assignment as _, AssignmentChange};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "member HOST:PORT TOPIC GROUP [session time-out, ms]";

fn settings() -> Option<KafkaConfig> {
    let mut arguments = std::env::args().skip(1);
    let (brokers, topic, group) = (arguments.next()?, arguments.next()?, arguments.next()?);
    let mut config = KafkaConfig { brokers, topic, group, ..KafkaConfig::default() };
    if let Some(timeout_ms) = arguments.next() {
        config.session_timeout_ms = timeout_ms.parse().ok()?;
    }
    Some(config)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let config = settings().ok_or(USAGE)?;
    config.check()?;
    let member = KafkaAssignment::join(&config)?;
    loop {
        let change = member.next().await?;
        println!("{change:?}");
        if let AssignmentChange::Revoked(partitions) = change {
            member.released(&partitions);
        }
    }
}
