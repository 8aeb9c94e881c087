//! The OpenAPI document, made of the table of routes and the table of metrics.

use serde_json::{Map, Value, json};

use crate::calendar::TimeUnit;
use crate::definitions::DEFINITIONS;
use crate::filter::OPERATORS;
use crate::range::Compare;
use crate::request::LIMIT_DEFAULT;
use crate::routes::{Auth, ROUTES, Route};

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Mini-program analytics: take each event once, ask about it exactly.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "readToken": {"type": "http", "scheme": "bearer"},
                "writeKey": {"type": "http", "scheme": "bearer"},
            },
            "schemas": schemas(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
    });
    let in_query = route.parameters.iter().map(|(name, description)| {
        json!({"name": name, "in": "query", "description": description, "schema": {"type": "string"}})
    });
    let (content_type, schema) = route.answer;
    let mut responses = Map::new();
    responses.insert(
        "200".into(),
        json!({"description": "The answer.", "content": {content_type: {"schema": named(schema)}}}),
    );
    for status in route.problems {
        let description = http::StatusCode::from_u16(*status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Refused");
        let content = json!({"application/json": {"schema": named("Problem")}});
        responses
            .insert(status.to_string(), json!({"description": description, "content": content}));
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses,
        "security": match route.auth {
            Auth::None => json!([]),
            Auth::Read => json!([{"readToken": []}]),
            Auth::Write => json!([{"writeKey": []}]),
        },
    });
    if let Some(body) = route.body {
        let content = json!({"application/json": {"schema": named(body)}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    operation
}

fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer"});
    let outcomes = json!({"enum": ["accepted", "duplicate", "rejected", "retry"]});
    json!({
        "Question": question(),
        "Metric": metric(),
        "Filter": {
            "type": "array",
            "description": "[operator, field, values], [\"and\"|\"or\", [filters]] or [\"not\", filter].",
            "prefixItems": [{"enum": OPERATORS}],
            "minItems": 2,
            "maxItems": 3,
        },
        "Row": object(json!({
            "dimensions": list(json!({"type": ["string", "null"]})),
            "metrics": list(json!({"type": ["number", "null"]})),
        })),
        "Answer": object(json!({
            "results": list(named("Row")),
            "totals": list(json!({"type": ["number", "null"]})),
            "compare": {"type": "object"},
            "meta": {"type": "object"},
        })),
        "Catalogue": object(json!({
            "app": text(), "timezone": text(),
            "metrics": list(object(json!({"name": text(), "unit": text(), "definition": text()}))),
            "dimensions": list(text()), "operators": list(text()),
            "events": list(text()), "properties": list(text()), "ids": list(text()),
        })),
        "Event": {"type": "object", "description": "An event as it was admitted."},
        "Timeline": object(json!({
            "user": text(), "timezone": text(), "events": list(named("Event")),
            "next": {"type": ["string", "null"]},
        })),
        "Profile": object(json!({
            "user": text(), "first_seen": text(), "first_seen_ms": number(),
            "last_seen": text(), "last_seen_ms": number(), "timezone": text(),
            "properties": {"type": "object"},
        })),
        "Ledger": object(json!({
            "id": text(), "key": text(), "outcome": outcomes,
            "position": object(json!({"partition": number(), "offset": number(), "index": number()})),
            "day": text(), "times": {"type": "object"}, "event": named("Event"),
            "stores": object(json!({"documents": {"type": "boolean"}, "rows": {"type": ["boolean", "null"]}})),
            "record": text(), "recent": {"type": "object"}, "detail": text(),
        })),
        "EventStream": {"type": "string", "description": "text/event-stream"},
        "Text": text(),
        "OpenApi": {"type": "object"},
        "Batch": batch(),
        "Receipt": object(json!({
            "accepted": number(), "duplicates": number(), "rejected": number(), "retry": number(),
            "results": list(object(json!({
                "index": number(), "id": text(), "outcome": outcomes,
                "reason": text(), "detail": text(),
            }))),
            "server_time": number(), "retry_after_ms": number(),
        })),
        "SdkConfig": object(json!({
            "enabled": {"type": "boolean"}, "sample_rate": {"type": "number"},
            "flush_interval_ms": number(), "batch_events_max": number(),
        })),
        "Problem": object(json!({"error": {
            "type": "object",
            "required": ["reason", "detail"],
            "properties": {"reason": text(), "detail": text(), "path": text(), "allowed": list(text())},
        }})),
    })
}

fn metric() -> Value {
    let names: Vec<&str> = DEFINITIONS.iter().map(|metric| metric.name).collect();
    let definitions: Vec<String> = DEFINITIONS
        .iter()
        .map(|metric| format!("`{}` ({}): {}", metric.name, metric.unit.name(), metric.definition))
        .collect();
    let name = json!({"enum": names, "description": definitions.join("\n\n")});
    let event = json!({"description": "Event name or names; for event_count and event_users."});
    let mut detailed = object(json!({
        "metric": name, "event": event, "filters": list(named("Filter")), "as": {"type": "string"},
    }));
    detailed["required"] = json!(["metric"]);
    json!({"oneOf": [name, detailed]})
}

fn question() -> Value {
    let units: Vec<&str> = TimeUnit::ALL.iter().map(|unit| unit.name()).collect();
    let flag = || json!({"type": "boolean", "default": false});
    let mut question = object(json!({
        "metrics": {"type": "array", "minItems": 1, "items": named("Metric")},
        "date_range": {
            "description": "Two dates (both included), two date-times (the second excluded), or \
                            {\"last\": \"7d\"}.",
            "oneOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
                object(json!({"last": {"type": "string", "pattern": "^[0-9]+[mhd]$"}})),
            ],
        },
        "timezone": {"type": "string", "description": "IANA name; the app's by default."},
        "dimensions": {
            "type": "array",
            "items": {"type": "string"},
            "description": format!("One of {} and any fields; see the catalogue.", units.join(", ")),
        },
        "filters": {"type": "array", "items": named("Filter"), "description": "All must hold."},
        "order_by": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "limit": {"type": "integer", "minimum": 0, "default": LIMIT_DEFAULT},
        "offset": {"type": "integer", "minimum": 0, "default": 0},
        "include": object(json!({
            "totals": flag(), "empty_rows": flag(), "compare": {"enum": Compare::NAMES},
        })),
    }));
    question["required"] = json!(["metrics", "date_range"]);
    question
}

fn batch() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer"});
    let mut event = object(json!({
        "id": {"type": "string", "minLength": 1, "maxLength": 64},
        "name": {"type": "string", "pattern": "^[$A-Za-z][\\w.$-]{0,127}$"},
        "time": {"type": "integer", "description": "Milliseconds since the Unix epoch."},
        "device_id": {"type": "string", "maxLength": 128},
        "type": {"enum": ["track", "user_set", "user_set_once", "user_unset", "alias", "error", "perf", "request"]},
        "user_id": {"type": "string", "maxLength": 255},
        "ids": {"type": "object", "additionalProperties": {"type": "string"}},
        "session_id": text(), "seq": number(),
        "page": object(json!({"path": text(), "query": text(), "title": text(), "referrer": text()})),
        "scene": text(),
        "properties": {"type": "object"},
    }));
    event["required"] = json!(["id", "name", "time", "device_id"]);
    let mut batch = object(json!({
        "app_id": text(), "platform": text(), "host_app": text(), "env": text(),
        "app_version": text(), "sdk": object(json!({"name": text(), "version": text()})),
        "device": {"type": "object"}, "tz_offset_min": number(), "sent_at": number(),
        "batch_id": text(), "attempt": number(), "dropped": number(),
        "events": {"type": "array", "items": event, "maxItems": sluice_event::limits::BATCH_EVENTS_MAX},
    }));
    batch["required"] = json!(["events"]);
    batch
}
