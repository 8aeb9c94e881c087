//! Event names of other protocols → names by our rule,
//! `^[$A-Za-z][\w.$-]{0,127}$` in ASCII.
//!
//! A name that keeps the rule stays. Of another one every run of characters
//! outside the rule becomes one `_`. Where that would lose letters (names that
//! are not in ASCII) or the length, eight hex digits of a hash of the whole name
//! follow, so that different names stay different. The same name always gives
//! the same name.

use std::borrow::Cow;

use sluice_event::Text;
use sluice_event::limits::EVENT_NAME_BYTES_MAX;
use xxhash_rust::xxh3::xxh3_64;

use super::members::Members;

/// Stands before a name that would not begin with a letter.
const PREFIX: &str = "event_";
/// `_` and eight hex digits.
const HASH_BYTES: usize = 9;

const _: () = assert!(PREFIX.len() + HASH_BYTES < EVENT_NAME_BYTES_MAX);

fn is_kept(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '-')
}

fn may_begin(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '$'
}

/// Whether a name keeps the rule.
pub(crate) fn keeps_rule(name: &str) -> bool {
    name.len() <= EVENT_NAME_BYTES_MAX && name.starts_with(may_begin) && name.chars().all(is_kept)
}

/// A name by the rule; an empty name stays empty.
pub(crate) fn by_rule(name: &str) -> Cow<'_, str> {
    if name.is_empty() || keeps_rule(name) {
        return Cow::Borrowed(name);
    }
    let mut made = String::with_capacity(name.len().min(EVENT_NAME_BYTES_MAX));
    for run in name.split(|c| !is_kept(c)).filter(|run| !run.is_empty()) {
        if !made.is_empty() {
            made.push('_');
        }
        made.push_str(run);
    }
    let mut lossy = made.is_empty() || !name.is_ascii();
    if !made.starts_with(may_begin) {
        made.insert_str(0, PREFIX);
    }
    lossy |= made.len() > EVENT_NAME_BYTES_MAX;
    if lossy {
        made.truncate(EVENT_NAME_BYTES_MAX - HASH_BYTES);
        let made_end = made.trim_end_matches('_').len();
        made.truncate(made_end);
        made.push_str(&format!("_{:08x}", xxh3_64(name.as_bytes()) as u32));
    }
    Cow::Owned(made)
}

/// A name by the rule. Where it becomes another, the name as sent joins the
/// properties (a JSON object's text, or nothing) as `key`, unless they have it.
pub(crate) fn with_name_as_sent<'b>(
    name: Text<'b>,
    properties: Cow<'b, [u8]>,
    key: &str,
) -> (Text<'b>, Cow<'b, [u8]>) {
    if name.is_empty() || keeps_rule(&name) {
        return (name, properties);
    }
    let mut members = Members::default();
    // First: of a key that stands twice the later value counts.
    members.text(key, &name);
    members.object(std::str::from_utf8(&properties).unwrap_or_default());
    (Cow::Owned(by_rule(&name).into_owned()), members.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        for (name, expected) in [
            ("", ""),
            ("order.paid", "order.paid"),
            ("$MPShow", "$MPShow"),
            ("Order Paid", "Order_Paid"),
            ("com.github.pull_request/opened", "com.github.pull_request_opened"),
            (" a -- b! ", "a_--_b"),
            ("2fa enabled", "event_2fa_enabled"),
        ] {
            assert_eq!(by_rule(name), expected, "{name}");
        }
    }

    #[test]
    fn names_that_lose_something_stay_different() {
        let (paid, sent) = (by_rule("订单支付"), by_rule("订单发货"));
        assert_ne!(paid, sent);
        assert!(
            paid.starts_with("event_") && paid.len() == PREFIX.len() - 1 + HASH_BYTES,
            "{paid}"
        );
        let long = "a".repeat(200);
        assert_ne!(by_rule(&long), by_rule(&format!("{long}b")));
        assert!(by_rule("!!!").starts_with("event_"));
    }

    #[test]
    fn the_name_as_sent_is_kept_beside_another() {
        let named = |name: &'static str, properties: &'static [u8]| {
            let (name, properties) =
                with_name_as_sent(name.into(), Cow::Borrowed(properties), "sent");
            format!("{name} {}", String::from_utf8_lossy(&properties))
        };
        assert_eq!(named("order", b"{}"), "order {}");
        assert_eq!(named("", b""), " ");
        assert_eq!(named("a b", b" { \"n\": 1 } "), r#"a_b {"sent":"a b","n": 1}"#);
        assert_eq!(named("a b", b""), r#"a_b {"sent":"a b"}"#);
        assert_eq!(named("a b", b"{}"), r#"a_b {"sent":"a b"}"#);
    }

    proptest! {
        #[test]
        fn always_keeps_the_rule(name in "\\PC{1,300}") {
            let made = by_rule(&name);
            prop_assert!(keeps_rule(&made), "{}", made);
            prop_assert_eq!(by_rule(&made), made.as_ref());
        }
    }
}
