//! The systems that are compared: what each is given, does with it and writes.

use super::bodies::Form;
use super::carried::Carried;
use super::line::Taken;
use crate::drive::answer::Answer;
use crate::drive::answer::exported::Exported;
use crate::drive::kind::Kind as Sent;

/// The module that gives a peer its version, by the folder of its source.
pub const MODULES: [(&str, &str); 2] = [
    ("bento", "github.com/warpstreamlabs/bento"),
    ("otel", "github.com/open-telemetry/opentelemetry-collector-contrib/exporter/kafkaexporter"),
];

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sluice's collector.
    Sluice,
    /// Bento, with one of the configs beside its source.
    Bento(&'static str),
    /// The OpenTelemetry Collector, with a config too.
    Otel(&'static str),
}

/// One way to use one system.
#[derive(Debug, Clone, Copy)]
pub struct System {
    /// Its row.
    pub name: &'static str,
    /// What it does with a batch.
    pub does: &'static str,
    /// What runs.
    pub kind: Kind,
    /// What it is given.
    pub form: Form,
    /// What it writes.
    pub carried: Carried,
    /// Batches of a round: about a second of CPU time, which is counted in hundredths.
    pub batches: u64,
}

/// Sluice first: the others are held against it.
pub const SYSTEMS: [System; 8] = [
    System {
        name: "sluice, JSON",
        does: "reads, checks and dedupes each event; one record a batch",
        kind: Kind::Sluice,
        form: Form::Native,
        carried: Carried::Records,
        batches: 20_000,
    },
    System {
        name: "Bento, JSON",
        does: "parses the batch, splits it into its events; one message an event",
        kind: Kind::Bento("events.yaml"),
        form: Form::Native,
        carried: Carried::Event,
        batches: 1_500,
    },
    System {
        name: "Bento, lines",
        does: "splits at line ends, parses nothing; one message an event",
        kind: Kind::Bento("lines.yaml"),
        form: Form::Lines,
        carried: Carried::Event,
        batches: 8_000,
    },
    System {
        name: "Bento, forwarded",
        does: "passes the body on, parses nothing; one message a batch",
        kind: Kind::Bento("batches.yaml"),
        form: Form::Native,
        carried: Carried::Batch,
        batches: 10_000,
    },
    System {
        name: "sluice, OTLP",
        does: "reads, checks and dedupes each log record; one record a batch",
        kind: Kind::Sluice,
        form: Form::Otlp,
        carried: Carried::Records,
        batches: 5_000,
    },
    System {
        name: "Collector, OTLP",
        does: "parses log records and attributes; one message a batch, `otlp_proto`",
        kind: Kind::Otel("config.yaml"),
        form: Form::Otlp,
        carried: Carried::Logs,
        batches: 3_000,
    },
    System {
        name: "sluice, OTLP text",
        does: "the same; the text becomes one property; one record a batch",
        kind: Kind::Sluice,
        form: Form::OtlpText,
        carried: Carried::Records,
        batches: 8_000,
    },
    System {
        name: "Collector, OTLP text",
        does: "carries each event as a text that it does not parse; one message a batch",
        kind: Kind::Otel("config.yaml"),
        form: Form::OtlpText,
        carried: Carried::Logs,
        batches: 6_000,
    },
];

// === impl Kind ===

impl Kind {
    /// The folder of its source and config.
    pub fn folder(self) -> Option<&'static str> {
        match self {
            Self::Sluice => None,
            Self::Bento(_) => Some("bento"),
            Self::Otel(_) => Some("otel"),
        }
    }
}

// === impl System ===

impl System {
    /// Where it takes batches.
    pub fn path(&self) -> &'static str {
        match self.kind {
            Kind::Bento(_) => "/post",
            Kind::Sluice | Kind::Otel(_) => self.form.path(),
        }
    }

    /// The key that it asks for: a phone's, or a server's where events name no device.
    pub fn key(&self) -> &'static str {
        if self.form == Form::OtlpText { "demo-server-key" } else { "demo-write-key" }
    }

    /// Reads its answers.
    pub fn taken(&self) -> Taken {
        match (self.kind, self.form) {
            // Status 200 says it all.
            (Kind::Bento(_), _) => |_| true,
            (_, Form::Otlp | Form::OtlpText) => exported,
            _ => received,
        }
    }
}

/// A receipt of which every event was new and taken.
fn received(body: &[u8]) -> bool {
    Answer::of_http(Sent::Json, 200, false, body, &[]) == Answer::Told(Vec::new())
}

/// An `ExportLogsServiceResponse` that rejects nothing.
fn exported(body: &[u8]) -> bool {
    Exported::of_json(body).is_ok_and(|answer| answer.sum(&[]).rejected == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_batches_alone_are_taken() {
        assert!(received(br#"{"accepted":50,"results":[]}"#));
        assert!(!received(br#"{"accepted":49,"results":[{"index":3,"outcome":"duplicate"}]}"#));
        assert!(!received(b"ok"));
        assert!(exported(b"{}") && exported(br#"{"partialSuccess":{}}"#));
        assert!(!exported(br#"{"partialSuccess":{"rejectedLogRecords":"2"}}"#));
        assert!(!exported(br#"{"partialSuccess":{"rejectedLogRecords":2}}"#));
        assert!(!exported(b""));
    }

    #[test]
    fn every_config_is_there() {
        for system in SYSTEMS {
            let (Kind::Bento(config) | Kind::Otel(config)) = system.kind else { continue };
            let folder = system.kind.folder().expect("a peer");
            let path = super::super::build::sources().join(folder).join(config);
            let text = std::fs::read_to_string(&path).expect("a config");
            for name in ["PEER_LISTEN", "PEER_BROKERS", "PEER_TOPIC"] {
                assert!(text.contains(name), "{}: {name}", path.display());
            }
        }
    }
}
