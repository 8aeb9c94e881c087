//! The event log's contract on a real broker.
//!
//! Two duties differ by design and have tests of their own in `log.rs`: times
//! are the broker's, and the topic's retention does not wait for lanes.

mod support;

use std::sync::Arc;

use sluice_kafka::{KafkaConfig, KafkaLog};
use sluice_seams::contract::event_log::{self, Fixture};
use sluice_seams::{BoxFuture, EventLog};

use support::{Broker, open};

struct Kafka {
    _broker: Arc<Broker>,
    config: KafkaConfig,
    log: Option<KafkaLog>,
}

impl Fixture for Kafka {
    fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(self.log.clone().expect("open"))
    }

    fn reopen(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(async {
            if let Some(log) = self.log.take() {
                log.close().await.expect("closes");
            }
            self.log = Some(open(&self.config).await);
            Some(())
        })
    }

    fn set_now_ms(&self, _: i64) {}

    fn retain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

async fn fixture() -> Kafka {
    let broker = Broker::shared();
    let config = broker.config();
    let log = Some(open(&config).await);
    Kafka { _broker: broker, config, log }
}

macro_rules! duties {
    ($($duty:ident)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
        async fn $duty() {
            event_log::$duty(fixture().await).await;
        }
    )+ };
}

duties! {
    keeps_order
    reads_from_anywhere
    keeps_any_payload
    wakes_who_waits
    delivers_without_the_future
    serves_many_callers
    commits_rise
    survives_a_restart
    closes
    refuses_nonsense
}
