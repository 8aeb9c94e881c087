//! Metrics of the engines: read from their adapters at each scrape. Families of
//! an engine that is not used stay at nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use sluice_elasticsearch::Figures;
use sluice_hbase::HbaseFigures;
use sluice_kafka::KafkaFigures;
use sluice_telemetry::Registry;

use super::Stores;

type Level = Gauge<u64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabel {
    node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: &'static str,
    result: &'static str,
}

/// Metrics of all engines.
#[derive(Debug, Clone)]
pub(super) struct EngineMetrics {
    kafka: Kafka,
    elasticsearch: Elasticsearch,
    hbase: Hbase,
}

#[derive(Debug, Clone)]
struct Kafka {
    records: Family<ResultLabel, Counter>,
    delivered_bytes: Counter,
    queue_bytes: Level,
    queue_records: Level,
    read_records: Counter,
    seeks: Counter,
    producers_replaced: Counter,
    round_trip_us: Level,
    request_errors: Counter,
}

#[derive(Debug, Clone)]
struct Elasticsearch {
    items: Family<ResultLabel, Counter>,
    bulk_requests: Counter,
    bulk_bytes: Counter,
    in_flight: Level,
    in_flight_limit: Level,
    requests_retried: Counter,
    unreached: Counter,
    refreshes: Counter,
    questions: Counter,
    searches: Counter,
    dead: Family<NodeLabel, Level>,
}

#[derive(Debug, Clone)]
struct Hbase {
    calls: Family<CallLabel, Counter>,
    call_us: Counter,
    retries: Counter,
    queue_timeouts: Counter,
    timeline_rows: Counter,
    user_cells: Counter,
    users_read: Counter,
    cache_bytes: Level,
    dead: Family<NodeLabel, Level>,
    in_use: Family<NodeLabel, Level>,
}

// === impl EngineMetrics ===

impl EngineMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            kafka: Kafka::new(registry),
            elasticsearch: Elasticsearch::new(registry),
            hbase: Hbase::new(registry),
        }
    }

    /// Reads the figures of the engines that are used.
    pub(super) fn read(&self, stores: &Stores) {
        if let Some(kafka) = &stores.logs.kafka {
            self.kafka.read(&kafka.figures());
        }
        if let Some(elasticsearch) = &stores.elasticsearch {
            self.elasticsearch.read(&elasticsearch.figures());
        }
        if let Some(hbase) = &stores.hbase {
            self.hbase.read(&hbase.figures());
        }
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> Counter {
    registry.register(name, help, Counter::default())
}

fn level(registry: &Registry, name: &str, help: &str) -> Level {
    registry.register(name, help, Level::default())
}

/// A counter whose owner counts.
fn set(counter: &Counter, value: u64) {
    counter.inner().store(value, Ordering::Relaxed);
}

// === impl Kafka ===

impl Kafka {
    fn new(to: &Registry) -> Self {
        Self {
            records: to.register(
                "kafka_records",
                "Records by what became of them: delivered, failed, refused",
                Family::default(),
            ),
            delivered_bytes: counter(to, "kafka_delivered_bytes", "Bytes acknowledged by brokers"),
            queue_bytes: level(to, "kafka_queue_bytes", "Bytes not yet acknowledged"),
            queue_records: level(to, "kafka_queue_records", "Records not yet acknowledged"),
            read_records: counter(to, "kafka_read_records", "Records read from the topic"),
            seeks: counter(to, "kafka_reader_seeks", "Readers placed anew"),
            producers_replaced: counter(
                to,
                "kafka_producers_replaced",
                "Producers made after a fatal error of the one before",
            ),
            round_trip_us: level(
                to,
                "kafka_round_trip_microseconds",
                "Mean round trip to the brokers",
            ),
            request_errors: counter(to, "kafka_request_errors", "Requests to brokers that failed"),
        }
    }

    fn read(&self, figures: &KafkaFigures) {
        for (result, value) in [
            ("delivered", figures.delivered),
            ("failed", figures.failed),
            ("refused", figures.refused),
        ] {
            set(&self.records.get_or_create(&ResultLabel { result }), value);
        }
        set(&self.delivered_bytes, figures.delivered_bytes);
        self.queue_bytes.set(figures.queue_bytes);
        self.queue_records.set(figures.queue_records);
        set(&self.read_records, figures.read);
        set(&self.seeks, figures.seeks);
        set(&self.producers_replaced, figures.producers_replaced);
        self.round_trip_us.set(figures.round_trip_us);
        set(&self.request_errors, figures.request_errors);
    }
}

// === impl Elasticsearch ===

impl Elasticsearch {
    fn new(to: &Registry) -> Self {
        Self {
            items: to.register(
                "elasticsearch_items",
                "Items of bulk requests by result: created, existing, refused, retried",
                Family::default(),
            ),
            bulk_requests: counter(to, "elasticsearch_bulk_requests", "Bulk requests sent"),
            bulk_bytes: counter(to, "elasticsearch_bulk_bytes", "Bytes of bulk requests"),
            in_flight: level(to, "elasticsearch_bulk_in_flight", "Bulk requests under way"),
            in_flight_limit: level(
                to,
                "elasticsearch_bulk_in_flight_limit",
                "Bulk requests allowed under way; falls where the engine pushes back",
            ),
            requests_retried: counter(
                to,
                "elasticsearch_requests_retried",
                "Requests other than bulk that were sent again",
            ),
            unreached: counter(
                to,
                "elasticsearch_unreached_requests",
                "Requests that no answer came to",
            ),
            refreshes: counter(to, "elasticsearch_refreshes", "Refreshes asked for"),
            questions: counter(to, "elasticsearch_questions", "Questions answered or refused"),
            searches: counter(to, "elasticsearch_searches", "Searches sent for questions"),
            dead: to.register(
                "elasticsearch_node_dead",
                "1 where the node is marked dead",
                Family::default(),
            ),
        }
    }

    fn read(&self, figures: &Figures) {
        for (result, value) in [
            ("created", figures.items_created),
            ("existing", figures.items_existing),
            ("refused", figures.items_refused),
            ("retried", figures.items_retried),
        ] {
            set(&self.items.get_or_create(&ResultLabel { result }), value);
        }
        set(&self.bulk_requests, figures.bulk_requests);
        set(&self.bulk_bytes, figures.bulk_bytes);
        self.in_flight.set(figures.in_flight);
        self.in_flight_limit.set(figures.in_flight_limit);
        set(&self.requests_retried, figures.requests_retried);
        set(&self.unreached, figures.unreached);
        set(&self.refreshes, figures.refreshes);
        set(&self.questions, figures.questions);
        set(&self.searches, figures.searches);
        for node in &figures.nodes {
            let label = NodeLabel { node: node.address.clone() };
            self.dead.get_or_create(&label).set(node.dead.into());
        }
    }
}

// === impl Hbase ===

impl Hbase {
    fn new(to: &Registry) -> Self {
        Self {
            calls: to.register(
                "hbase_calls",
                "Thrift calls by result: ok, failed, refused, lost, timed_out",
                Family::default(),
            ),
            call_us: counter(to, "hbase_call_microseconds", "Time spent in Thrift calls"),
            retries: counter(to, "hbase_retries", "Thrift calls tried again"),
            queue_timeouts: counter(
                to,
                "hbase_queue_timeouts",
                "Calls that found no free connection in time",
            ),
            timeline_rows: counter(to, "hbase_timeline_rows", "Rows of timelines written"),
            user_cells: counter(to, "hbase_user_cells", "Cells of users written"),
            users_read: counter(to, "hbase_users_read", "Users read before a write"),
            cache_bytes: level(to, "hbase_cache_bytes", "Memory for users seen lately"),
            dead: to.register(
                "hbase_server_dead",
                "1 where the Thrift server is marked dead",
                Family::default(),
            ),
            in_use: to.register(
                "hbase_server_connections",
                "Connections to the Thrift server in use",
                Family::default(),
            ),
        }
    }

    fn read(&self, figures: &HbaseFigures) {
        for of in &figures.calls {
            for (result, value) in [
                ("ok", of.ok),
                ("failed", of.failed),
                ("refused", of.refused),
                ("lost", of.lost),
                ("timed_out", of.timed_out),
            ] {
                set(&self.calls.get_or_create(&CallLabel { call: of.call, result }), value);
            }
        }
        let seconds: f64 = figures.calls.iter().map(|of| of.seconds).sum();
        set(&self.call_us, (seconds * 1e6) as u64);
        set(&self.retries, figures.retries);
        set(&self.queue_timeouts, figures.queue_timeouts);
        set(&self.timeline_rows, figures.timeline_rows);
        set(&self.user_cells, figures.user_cells);
        set(&self.users_read, figures.users_read);
        self.cache_bytes.set(figures.cache_bytes);
        for server in &figures.servers {
            let label = NodeLabel { node: server.address.clone() };
            self.dead.get_or_create(&label).set(u64::from(!server.alive));
            self.in_use.get_or_create(&label).set(server.in_use);
        }
    }
}
