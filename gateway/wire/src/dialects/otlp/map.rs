//! Attributes → what we have a field for.
//!
//! | attribute of the record, else of its resource | becomes |
//! |---|---|
//! | `user.id`, `enduser.id` | user id |
//! | `device.id`, `app.installation.id` | device id |
//! | `session.id` | session id |
//!
//! | attribute of the record | becomes |
//! |---|---|
//! | `page.path`, `url.path`, `app.screen.name`, the path of `url.full` | page path |
//! | `page.query`, `url.query`, the query of `url.full` | page query |
//! | `page.title`, `page.referrer`, `scene` | the same |
//!
//! | attribute of the resource | becomes |
//! |---|---|
//! | `service.version` | app version |
//! | `deployment.environment.name`, `deployment.environment` | env; `production`, `prod`, `live` are `release` |
//! | `telemetry.sdk.name`, `telemetry.sdk.version` | SDK |
//! | `device.model.name`, `device.model.identifier`; `device.manufacturer` | model; brand |
//! | `os.name`, `os.type`; `os.version` | system; its version |
//! | `network.connection.type`; `browser.language` | network; language |
//! | `sluice.platform`; `sluice.host_app` | platform; host app |
//!
//! `service.instance.id` is no device: exporters make one up for each process,
//! and every restart of a server would be a new user.
//!
//! What is mapped is copied: the attributes themselves all become properties,
//! those of the resource with `resource.` before their names (`telemetry.sdk.*`
//! aside), beside `body`, `severity_number`, `severity_text`, `trace_id`,
//! `span_id`, `scope.name`, `scope.version`, `scope.*` and, where a name was
//! mapped, `event.name`. An attribute of the same name stands before those.

use std::borrow::Cow;
use std::fmt::Write;

use sluice_event::batch::{Device, Page};
use sluice_event::{Envelope, Event, Text};

use super::any::{Any, Pairs, Record, get};
use super::names;
use super::properties::Object;

/// What other tools call a release.
const RELEASE: [&str; 3] = ["production", "prod", "live"];

const NANOS_PER_MS: u64 = 1_000_000;

fn first<'b>(places: &[&Pairs<'b>], names: &[&str]) -> Text<'b> {
    let found = places
        .iter()
        .find_map(|pairs| names.iter().find_map(|name| get(pairs, name).and_then(Any::plain)));
    found.unwrap_or_default()
}

/// What a resource says of the batch.
pub(super) fn envelope<'b>(resource: &Pairs<'b>) -> Envelope<'b> {
    let of = |names: &[&str]| first(&[resource], names);
    let env = of(&["deployment.environment.name", "deployment.environment"]);
    let is_release = RELEASE.iter().any(|name| env.eq_ignore_ascii_case(name));
    Envelope {
        platform: of(&["sluice.platform"]),
        host_app: of(&["sluice.host_app"]),
        env: if is_release { Cow::Borrowed("release") } else { env },
        app_version: of(&["service.version"]),
        sdk_name: of(&["telemetry.sdk.name"]),
        sdk_version: of(&["telemetry.sdk.version"]),
        device: Device {
            model: of(&["device.model.name", "device.model.identifier"]),
            brand: of(&["device.manufacturer"]),
            os: of(&["os.name", "os.type"]),
            os_version: of(&["os.version"]),
            network: of(&["network.connection.type"]),
            lang: of(&["browser.language"]),
            ..Device::default()
        },
        ..Envelope::default()
    }
}

/// Leaves empty what two resources of one request say differently.
pub(super) fn agree<'b>(envelope: &mut Envelope<'b>, other: &Envelope<'b>) {
    let (device, others) = (&mut envelope.device, &other.device);
    for (slot, said) in [
        (&mut envelope.platform, &other.platform),
        (&mut envelope.host_app, &other.host_app),
        (&mut envelope.app_version, &other.app_version),
        (&mut envelope.sdk_name, &other.sdk_name),
        (&mut envelope.sdk_version, &other.sdk_version),
        (&mut device.model, &others.model),
        (&mut device.brand, &others.brand),
        (&mut device.os, &others.os),
        (&mut device.os_version, &others.os_version),
        (&mut device.network, &others.network),
        (&mut device.lang, &others.lang),
    ] {
        if slot != said {
            *slot = Text::default();
        }
    }
}

/// A resource's attributes as properties.
pub(super) fn resource_members(pairs: &Pairs<'_>) -> Object {
    let mut object = Object::default();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with("telemetry.sdk.")) {
        object.member("resource.", name, value);
    }
    object
}

/// Maps one record; `shared` are the properties of its resource and scope.
pub(super) fn event<'b>(
    id: Text<'b>,
    resource: &Pairs<'b>,
    shared: [&Object; 2],
    record: Record<'b>,
    bytes: usize,
) -> Event<'b> {
    let named = names::name(&record);
    let own = &record.attributes;
    let properties = properties(&record, &named, shared);
    let both = [own, resource];
    let page = page(own);
    let time_ns = if record.time_ns == 0 { record.observed_ns } else { record.time_ns };
    Event {
        id,
        name: named.name,
        time_ms: (time_ns != 0).then_some((time_ns / NANOS_PER_MS) as i64),
        device_id: first(&both, &["device.id", "app.installation.id"]),
        r#type: named.r#type,
        user_id: first(&both, &["user.id", "enduser.id"]),
        session_id: first(&both, &["session.id"]),
        page: Some(page).filter(|page| *page != Page::default()),
        scene: first(&[own], &["scene"]),
        properties: properties.into(),
        bytes,
        ..Event::default()
    }
}

fn page<'b>(attributes: &Pairs<'b>) -> Page<'b> {
    let of = |names: &[&str]| first(&[attributes], names);
    let mut page = Page {
        path: of(&["page.path", "url.path", "app.screen.name"]),
        query: of(&["page.query", "url.query"]),
        title: of(&["page.title"]),
        referrer: of(&["page.referrer"]),
    };
    if page.path.is_empty() {
        let full = of(&["url.full"]);
        let (path, query) = path_and_query(&full);
        page.path = Cow::Owned(path.to_owned());
        if page.query.is_empty() {
            page.query = Cow::Owned(query.to_owned());
        }
    }
    page
}

/// The path and the query of a URL, without scheme, host and fragment.
fn path_and_query(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    let rest = url.split_once("://").map_or(url, |(_, rest)| {
        let path = rest.find(['/', '?']).unwrap_or(rest.len());
        &rest[path..]
    });
    rest.split_once('?').unwrap_or((rest, ""))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

fn properties(record: &Record<'_>, named: &names::Named<'_>, shared: [&Object; 2]) -> Vec<u8> {
    let own = &record.attributes;
    let mut object = Object::default();
    object.pairs("", own);
    let free = |name: &&str| get(own, name).is_none();
    if record.body != Any::Empty && !named.by_body && free(&"body") {
        object.member("", "body", &record.body);
    }
    if record.severity != 0 && free(&"severity_number") {
        object.member("", "severity_number", &Any::Int(record.severity.into()));
    }
    let texts = [
        ("severity_text", record.severity_text.clone()),
        ("trace_id", hex(&record.trace_id).into()),
        ("span_id", hex(&record.span_id).into()),
        ("event.name", named.sent.clone().unwrap_or_default()),
    ];
    for (name, text) in texts.iter().filter(|(name, _)| free(name)) {
        object.text("", name, text);
    }
    for more in shared {
        object.extend(more);
    }
    object.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sluice_event::EventType;

    use super::*;

    fn pairs(all: &[(&'static str, &'static str)]) -> Pairs<'static> {
        let text = |text: &&'static str| Any::Text((*text).into());
        all.iter().map(|(name, value)| ((*name).into(), text(value))).collect()
    }

    fn mapped(record: Record<'static>, resource: &Pairs<'static>) -> (Event<'static>, Value) {
        let members = resource_members(resource);
        let event = event("id".into(), resource, [&Object::default(), &members], record, 1);
        let properties = if event.properties.is_empty() { b"null" } else { &*event.properties };
        let properties = serde_json::from_slice(properties).expect("JSON");
        (event, properties)
    }

    #[test]
    fn the_record_stands_before_its_resource() {
        let resource = pairs(&[
            ("user.id", "of-resource"),
            ("device.id", "d"),
            ("service.instance.id", "i"),
            ("telemetry.sdk.name", "opentelemetry"),
        ]);
        let attributes = pairs(&[("enduser.id", "u"), ("session.id", "s")]);
        let record = Record { time_ns: 1_999_999, attributes, ..Record::default() };
        let (event, properties) = mapped(record, &resource);
        assert_eq!((&*event.user_id, &*event.device_id, &*event.session_id), ("u", "d", "s"));
        assert_eq!((event.time_ms, &*event.name, event.page), (Some(1), "log", None));
        let expected = json!({
            "enduser.id": "u", "session.id": "s", "resource.user.id": "of-resource",
            "resource.device.id": "d", "resource.service.instance.id": "i",
        });
        assert_eq!(properties, expected);
    }

    #[test]
    fn without_a_device_there_is_none() {
        let resource = pairs(&[("service.instance.id", "i")]);
        let record = Record { observed_ns: 5_000_000, ..Record::default() };
        let (event, _) = mapped(record, &resource);
        assert_eq!((&*event.device_id, event.time_ms), ("", Some(5)));
        assert_eq!(mapped(Record::default(), &resource).0.time_ms, None);
    }

    #[test]
    fn the_fields_of_a_record_are_properties_too() {
        let record = Record {
            severity: 17,
            severity_text: "ERROR".into(),
            event_name: "exception".into(),
            body: Any::List(vec![Any::Int(1 << 60)]),
            attributes: pairs(&[("span_id", "mine")]),
            trace_id: vec![0xab, 1].into(),
            span_id: vec![2].into(),
            ..Record::default()
        };
        let (event, properties) = mapped(record, &Pairs::new());
        assert_eq!((&*event.name, event.r#type), ("error", EventType::Error));
        let expected = json!({
            "span_id": "mine", "body": [1_u64 << 60], "severity_number": 17,
            "severity_text": "ERROR", "trace_id": "ab01", "event.name": "exception",
        });
        assert_eq!(properties, expected);
    }

    #[test]
    fn pages() {
        let of = |all: &[(&'static str, &'static str)]| {
            let page = page(&pairs(all));
            (page.path.into_owned(), page.query.into_owned())
        };
        let is = |path: &str, query: &str| (path.to_owned(), query.to_owned());
        assert_eq!(of(&[("app.screen.name", "home"), ("url.query", "a=1")]), is("home", "a=1"));
        assert_eq!(of(&[("url.full", "https://h:1/p/q?a=b?c#f?g")]), is("/p/q", "a=b?c"));
        assert_eq!(of(&[("url.full", "https://h?a")]), is("", "a"));
        assert_eq!(of(&[("url.full", "pages/index?a")]), is("pages/index", "a"));
        assert_eq!(of(&[]), is("", ""));
    }

    #[test]
    fn envelopes_say_what_all_resources_say() {
        let mut said = envelope(&pairs(&[
            ("service.version", "1.2"),
            ("os.type", "linux"),
            ("deployment.environment", "Production"),
        ]));
        assert_eq!((&*said.env, &*said.app_version, &*said.device.os), ("release", "1.2", "linux"));
        agree(&mut said, &envelope(&pairs(&[("service.version", "1.3"), ("os.name", "linux")])));
        assert_eq!((&*said.app_version, &*said.device.os), ("", "linux"));
    }
}
