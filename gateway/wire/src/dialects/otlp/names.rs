//! Event names of OpenTelemetry's conventions → ours.
//!
//! | sent | becomes |
//! |---|---|
//! | `app.launch` | `app_launch` |
//! | `app.show`, `app.foreground` | `app_show` |
//! | `app.hide`, `app.background` | `app_hide` |
//! | `device.app.lifecycle` | by `android.app.state` or `ios.app.state`: `created` → `app_launch`, `foreground` → `app_show`, `background` → `app_hide`; any other state keeps the name |
//! | `browser.page_view`, `app.screen.view`, `screen_view` | `page_view` |
//! | `app.screen.click`, `app.widget.click`, `browser.click`, `browser.mouse.click` | `click` |
//! | `exception`, `app.crash`, `device.crash` | `error`, of type error |
//! | any other | its own name, by our rule for names; of type error where it is an exception of severity ERROR or above |
//! | no name, an exception of severity ERROR or above | `error`, of type error |
//! | no name, a body that keeps the rule for names | the body |
//! | no name, any other body | `log` |
//!
//! The name is `LogRecord.event_name`, else the attribute `event.name`. An
//! exception is what has `exception.type` or `exception.message`. Sessions
//! (`session.start`, `session.end`) keep their names: ours are worked out of
//! show, hide and idle time.
//! Source: <https://opentelemetry.io/docs/specs/semconv/>.

use std::borrow::Cow;

use sluice_event::{EventType, Text};

use super::any::{Any, Record, get};
use crate::dialects::names::{by_rule, keeps_rule};

const NAMES: [(&str, &str); 15] = [
    ("app.launch", "app_launch"),
    ("app.show", "app_show"),
    ("app.foreground", "app_show"),
    ("app.hide", "app_hide"),
    ("app.background", "app_hide"),
    ("browser.page_view", "page_view"),
    ("app.screen.view", "page_view"),
    ("screen_view", "page_view"),
    ("app.screen.click", "click"),
    ("app.widget.click", "click"),
    ("browser.click", "click"),
    ("browser.mouse.click", "click"),
    ("exception", "error"),
    ("app.crash", "error"),
    ("device.crash", "error"),
];

const LIFECYCLE: &str = "device.app.lifecycle";
const STATES: [(&str, &str); 3] =
    [("created", "app_launch"), ("foreground", "app_show"), ("background", "app_hide")];

/// The least `SeverityNumber` of an error.
const ERROR: i32 = 17;

/// What a record is called.
#[derive(Debug, PartialEq)]
pub(super) struct Named<'b> {
    pub name: Text<'b>,
    pub r#type: EventType,
    /// The name as sent in `event_name`, where it became another one.
    pub sent: Option<Text<'b>>,
    /// The name was the body.
    pub by_body: bool,
}

/// Names a record.
pub(super) fn name<'b>(record: &Record<'b>) -> Named<'b> {
    let has = |name| get(&record.attributes, name).is_some_and(|found| *found != Any::Empty);
    let failed = record.severity >= ERROR && (has("exception.type") || has("exception.message"));
    let kind = |name: &str| {
        if failed || name == "error" { EventType::Error } else { EventType::Track }
    };
    let attribute = || get(&record.attributes, "event.name").and_then(Any::text).cloned();
    let field = Some(record.event_name.clone()).filter(|name| !name.is_empty());
    if let Some(given) = field.clone().or_else(attribute).filter(|name| !name.is_empty()) {
        let ours = if given == LIFECYCLE { lifecycle(record) } else { known(&NAMES, &given) };
        let name = ours.map_or_else(|| kept(given), Text::Borrowed);
        let sent = field.filter(|sent| *sent != name);
        return Named { r#type: kind(&name), name, sent, by_body: false };
    }
    let body = record.body.text().filter(|body| keeps_rule(body));
    let (name, by_body) = match body {
        _ if failed => (Text::Borrowed("error"), false),
        Some(body) => (body.clone(), true),
        None => (Text::Borrowed("log"), false),
    };
    Named { r#type: kind(&name), name, sent: None, by_body }
}

fn known(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(sent, _)| *sent == name).map(|(_, ours)| *ours)
}

/// The state is an attribute, in older conventions a member of the body.
fn lifecycle(record: &Record<'_>) -> Option<&'static str> {
    let body = if let Any::Map(pairs) = &record.body { Some(pairs) } else { None };
    let mut places = ["android.app.state", "ios.app.state"]
        .into_iter()
        .flat_map(|name| [get(&record.attributes, name), body.and_then(|pairs| get(pairs, name))]);
    places.find_map(|value| known(&STATES, value?.text()?))
}

/// A name as it is, or as our rule wants it.
fn kept(name: Text<'_>) -> Text<'_> {
    match name {
        Cow::Borrowed(name) => by_rule(name),
        Cow::Owned(name) if keeps_rule(&name) => Cow::Owned(name),
        Cow::Owned(name) => Cow::Owned(by_rule(&name).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(
        event_name: &'static str,
        attributes: &[(&'static str, &'static str)],
    ) -> Record<'static> {
        let text = |text: &&'static str| Any::Text((*text).into());
        let attributes = attributes.iter().map(|(name, value)| ((*name).into(), text(value)));
        Record {
            event_name: event_name.into(),
            attributes: attributes.collect(),
            ..Record::default()
        }
    }

    fn named(record: &Record<'_>) -> (String, EventType) {
        let Named { name, r#type, .. } = name(record);
        (name.into_owned(), r#type)
    }

    fn track(name: &str) -> (String, EventType) {
        (name.to_owned(), EventType::Track)
    }

    #[test]
    fn conventions() {
        assert_eq!(named(&record("order.paid", &[])), track("order.paid"));
        assert_eq!(named(&record("browser.page_view", &[])), track("page_view"));
        assert_eq!(named(&record("", &[("event.name", "app.widget.click")])), track("click"));
        assert_eq!(named(&record("session.start", &[])), track("session.start"));
        let error = ("error".to_owned(), EventType::Error);
        assert_eq!(named(&record("exception", &[])), error);
        let mapped = name(&record("exception", &[]));
        assert_eq!(mapped.sent.as_deref(), Some("exception"));
        assert_eq!(name(&record("page_view", &[])).sent, None);
        let ruled = name(&record("Order Completed", &[]));
        assert_eq!(
            (&*ruled.name, ruled.sent.as_deref()),
            ("Order_Completed", Some("Order Completed"))
        );
    }

    #[test]
    fn lifecycles_are_by_state() {
        let at = |name, state| record(LIFECYCLE, &[(name, state)]);
        assert_eq!(named(&at("ios.app.state", "foreground")), track("app_show"));
        assert_eq!(named(&at("android.app.state", "created")), track("app_launch"));
        assert_eq!(named(&at("ios.app.state", "inactive")), track(LIFECYCLE));
        let state = ("android.app.state".into(), Any::Text("background".into()));
        let body = Record { body: Any::Map(vec![state]), ..record(LIFECYCLE, &[]) };
        assert_eq!(named(&body), track("app_hide"));
    }

    #[test]
    fn exceptions_are_errors_from_severity_error_on() {
        let thrown = |name, severity| Record {
            severity,
            body: Any::Text("failed".into()),
            ..record(name, &[("exception.type", "ValueError")])
        };
        let error = |name: &str| (name.to_owned(), EventType::Error);
        assert_eq!(named(&thrown("", 17)), error("error"));
        assert_eq!(named(&thrown("payment.failed", 21)), error("payment.failed"));
        assert_eq!(named(&thrown("", 13)), track("failed"));
    }

    #[test]
    fn lines_without_a_name() {
        let line = |text: &'static str| Record { body: Any::Text(text.into()), ..record("", &[]) };
        assert!(name(&line("order.paid")).by_body);
        assert_eq!(named(&line("order.paid")), track("order.paid"));
        for text in ["order paid", "", "1st", "naïve"] {
            assert_eq!(named(&line(text)), track("log"), "{text}");
        }
        assert_eq!(named(&Record { body: Any::Int(5), ..Record::default() }), track("log"));
    }
}
