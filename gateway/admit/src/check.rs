//! The rules for values: what an event and an envelope may hold.
//!
//! A dialect has checked types; here each value is judged, the time corrected,
//! the key and the fingerprint made. An event that breaks a rule is refused
//! alone (GW-EVENT-1), with the field and what is allowed in its detail. Nothing is
//! allocated for an event that passes unchanged.

use sluice_event::batch::{Device, Envelope, Event};
use sluice_event::limits::{
    DEVICE_ID_BYTES_MAX, EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX, IDS_MAX, PROPERTY_KEY_BYTES_MAX,
    SESSION_ID_BYTES_MAX, TEXT_BYTES_MAX, USER_ID_BYTES_MAX,
};
use sluice_event::reason::{Reason, Refusal};
use sluice_event::service::KeyKind;
use sluice_event::time::Timing;
use sluice_seams::Key;

use crate::fingerprint::fingerprint;
use crate::tenant::Terms;

/// Bit of a record's `flags`: the time was corrected.
pub const FLAG_CORRECTED: u32 = 1;
/// Bit of a record's `flags`: a property was truncated.
pub const FLAG_TRUNCATED: u32 = 2;
/// Bit of a record's `flags`: the day is that of receipt.
pub const FLAG_DAY_OF_RECEIPT: u32 = 4;

/// What is known of an event that may be appended. Its `properties` are one valid JSON
/// object, or empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Admitted {
    /// Its identity.
    pub key: Key,
    /// Hash of what a retry does not change.
    pub fingerprint: u64,
    /// Its corrected time and its day.
    pub timing: Timing,
    /// `FLAG_…` bits.
    pub flags: u32,
}

/// An event that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Its id as sent, cut to the length that an id may have.
    pub id: String,
    /// Which rule.
    pub reason: Reason,
    /// The field and what is allowed, without the event's place: the caller
    /// puts `events[i].` before it.
    pub detail: String,
}

/// A rule that was broken, without the event's id.
type Fault = (Reason, String);

// === impl Terms ===

impl Terms {
    /// Judges an event received at `received_ms` (milliseconds since the epoch). Where it
    /// lies: to move it would cost more than to judge it. A missing time is put in and long
    /// properties are truncated, where that is the rule.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(
        &self,
        envelope: &Envelope<'_>,
        event: &mut Event<'_>,
        received_ms: i64,
    ) -> Result<Admitted, Bad> {
        // Of the event as sent: a retry without a time is received at another one.
        let fingerprint = fingerprint(event);
        if envelope.time_of_receipt && event.time_ms.is_none() {
            // By the clock that the correction starts from.
            let sent_ms = Some(envelope.sent_at_ms).filter(|sent_ms| *sent_ms != 0);
            event.time_ms = sent_ms.or(Some(received_ms));
        }
        match self.judge(envelope, event, received_ms) {
            Ok((timing, rewritten)) => {
                let key = self.tenant.hash().key(&event.id);
                let mut flags = 0;
                if timing.corrected {
                    flags |= FLAG_CORRECTED;
                }
                if timing.day_of_receipt {
                    flags |= FLAG_DAY_OF_RECEIPT;
                }
                if let Some(rewritten) = rewritten {
                    flags |= FLAG_TRUNCATED;
                    event.properties = rewritten.into();
                }
                Ok(Admitted { key, fingerprint, timing, flags })
            }
            Err((reason, detail)) => {
                let id = up_to(&event.id, EVENT_ID_BYTES_MAX).to_owned();
                Err(Bad { id, reason, detail })
            }
        }
    }

    fn judge(
        &self,
        envelope: &Envelope<'_>,
        event: &Event<'_>,
        received_ms: i64,
    ) -> Result<(Timing, Option<Vec<u8>>), Fault> {
        let bytes_max = self.tenant.limits().event_bytes_max;
        let bytes = event.bytes.max(event.properties.len());
        if bytes > bytes_max {
            let detail = format!("takes {bytes} bytes, at most {bytes_max} are taken");
            return Err((Reason::EventTooLarge, detail));
        }
        check_id(&event.id)?;
        check_name(&event.name)?;
        // GW-KEY-2
        if event.device_id.is_empty() && self.kind == KeyKind::Write {
            let detail = "device_id: is required with a write key (only server keys may omit it)";
            return Err((Reason::DeviceIdMissing, detail.to_owned()));
        }
        at_most(&event.device_id, "device_id", DEVICE_ID_BYTES_MAX)?;
        at_most(&event.user_id, "user_id", USER_ID_BYTES_MAX)?;
        at_most(&event.session_id, "session_id", SESSION_ID_BYTES_MAX)?;
        at_most(&event.scene, "scene", TEXT_BYTES_MAX)?;
        if let Some(page) = &event.page {
            at_most(&page.path, "page.path", TEXT_BYTES_MAX)?;
            at_most(&page.query, "page.query", TEXT_BYTES_MAX)?;
            at_most(&page.title, "page.title", TEXT_BYTES_MAX)?;
            at_most(&page.referrer, "page.referrer", TEXT_BYTES_MAX)?;
        }
        check_ids(event)?;
        let timing = self.time(envelope, event, received_ms)?;
        let rewritten =
            event.properties.check().map_err(|detail| (Reason::PropertiesInvalid, detail))?;
        Ok((timing, rewritten))
    }

    fn time(
        &self,
        envelope: &Envelope<'_>,
        event: &Event<'_>,
        received_ms: i64,
    ) -> Result<Timing, Fault> {
        let Some(raw_ms) = event.time_ms else {
            let detail = "time: is required, an integer of milliseconds since 1970-01-01 UTC";
            return Err((Reason::TimeInvalid, detail.to_owned()));
        };
        let window = self.tenant.window();
        window.time(raw_ms, envelope.sent_at_ms, received_ms).ok_or_else(|| {
            let detail = format!(
                "time: {raw_ms} with sent_at {} is outside {} to {}, milliseconds since the epoch",
                envelope.sent_at_ms,
                received_ms.saturating_sub(window.past_max_ms),
                received_ms.saturating_add(window.future_max_ms),
            );
            (Reason::TimeOutOfRange, detail)
        })
    }

    /// Judges what the events of a batch share.
    ///
    /// # Errors
    /// `app_mismatch`; `body_invalid` naming the field that is too long.
    pub fn check_envelope(&self, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        let app_id = self.tenant.app_id();
        if !envelope.app_id.is_empty() && *envelope.app_id != **app_id {
            let detail = format!("app_id: the key is `{app_id}`'s: send that or leave app_id out");
            return Err(Refusal::new(Reason::AppMismatch, detail));
        }
        let Envelope { device, .. } = envelope;
        let Device { model, brand, os, os_version, screen, network, lang } = device;
        for (field, text) in [
            ("platform", &envelope.platform),
            ("host_app", &envelope.host_app),
            ("env", &envelope.env),
            ("app_version", &envelope.app_version),
            ("sdk.name", &envelope.sdk_name),
            ("sdk.version", &envelope.sdk_version),
            ("batch_id", &envelope.batch_id),
            ("device.model", model),
            ("device.brand", brand),
            ("device.os", os),
            ("device.os_version", os_version),
            ("device.screen", screen),
            ("device.network", network),
            ("device.lang", lang),
        ] {
            if text.len() > TEXT_BYTES_MAX {
                let detail = too_long(field, text.len(), TEXT_BYTES_MAX);
                return Err(Refusal::new(Reason::BodyInvalid, detail).limit(TEXT_BYTES_MAX as u64));
            }
        }
        Ok(())
    }
}

/// 1–64 visible ASCII characters.
fn check_id(id: &str) -> Result<(), Fault> {
    if id.is_empty() {
        let detail = "id: is required; make one per event (a UUIDv7, say) and keep it on retries";
        return Err((Reason::IdMissing, detail.to_owned()));
    }
    if id.len() > EVENT_ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        let detail = format!("id: is not 1-{EVENT_ID_BYTES_MAX} visible ASCII characters");
        return Err((Reason::IdInvalid, detail));
    }
    Ok(())
}

/// `^[$A-Za-z][\w.$-]{0,127}$` with `\w` in ASCII.
fn check_name(name: &str) -> Result<(), Fault> {
    let Some((&first, rest)) = name.as_bytes().split_first() else {
        return Err((Reason::NameMissing, "name: is required".to_owned()));
    };
    let rest_ok = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$' | b'-');
    let ok = name.len() <= EVENT_NAME_BYTES_MAX
        && (first.is_ascii_alphabetic() || first == b'$')
        && rest.iter().all(rest_ok);
    if ok {
        return Ok(());
    }
    let detail = format!(
        "name: is not a letter or $ followed by at most {} of A-Z a-z 0-9 _ . $ -",
        EVENT_NAME_BYTES_MAX - 1
    );
    Err((Reason::NameInvalid, detail))
}

fn check_ids(event: &Event<'_>) -> Result<(), Fault> {
    if event.ids.len() > IDS_MAX {
        let detail = format!("ids: has {} entries, at most {IDS_MAX} are taken", event.ids.len());
        return Err((Reason::FieldInvalid, detail));
    }
    for (kind, id) in &event.ids {
        if kind.is_empty() || kind.len() > PROPERTY_KEY_BYTES_MAX {
            let detail = format!("ids: a key is not 1-{PROPERTY_KEY_BYTES_MAX} bytes long");
            return Err((Reason::FieldInvalid, detail));
        }
        if id.len() > USER_ID_BYTES_MAX {
            let field = format!("ids.{kind}");
            return Err((Reason::FieldInvalid, too_long(&field, id.len(), USER_ID_BYTES_MAX)));
        }
    }
    Ok(())
}

/// As much of a text as fits, cut at a character's boundary.
fn up_to(text: &str, bytes_max: usize) -> &str {
    let fits = |&(at, c): &(usize, char)| at + c.len_utf8() <= bytes_max;
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
    &text[..end]
}

fn at_most(text: &str, field: &str, bytes_max: usize) -> Result<(), Fault> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err((Reason::FieldInvalid, too_long(field, text.len(), bytes_max)))
}

fn too_long(field: &str, bytes: usize, bytes_max: usize) -> String {
    format!("{field}: is {bytes} bytes long, at most {bytes_max} are taken")
}

#[cfg(test)]
#[path = "tests/check.rs"]
mod tests;
