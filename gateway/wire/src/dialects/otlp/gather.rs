//! Records, with the resource and the scope they stand in → a batch.
//!
//! One request can carry records of several resources, as collectors put
//! together what came from many. A batch has one envelope: it says what all of
//! them say, and each event keeps its resource's attributes as properties. The
//! environment alone decides what is counted, so records of a second one are
//! refused rather than counted under the first.

use sluice_event::{Batch, Dialect, Envelope, Limits, Parsed, Reason, Refusal};

use super::any::{Pairs, Record, Scope, Wrong};
use super::properties::Object;
use super::{identity, map};
use crate::dialects::too_large;

/// Bytes of the attributes of a resource, or of a scope, as properties: each of its events
/// carries them.
const SHARED_BYTES_MAX: usize = 8 * 1024;

/// Properties of one batch take at most this many times its inflated bytes, as they repeat
/// what its events share.
const GROWTH_MAX: usize = 2;

/// What the records of one resource, or of one scope, share.
pub(super) struct Shared<'b> {
    pairs: Pairs<'b>,
    hash: u128,
    members: Object,
    /// Why none of its records can be taken.
    wrong: Option<Wrong>,
    /// The envelope knows of it.
    told: bool,
}

/// A batch in the making.
pub(super) struct Gather<'b, 'l> {
    limits: &'l Limits,
    batch: Batch<'b>,
    resources: usize,
    properties_bytes: usize,
}

// === impl Shared ===

impl<'b> Shared<'b> {
    pub(super) fn resource(read: Result<Pairs<'b>, Wrong>) -> Self {
        let (pairs, wrong) = split(read);
        let members = map::resource_members(&pairs);
        let wrong = wrong.or_else(|| too_long("resource", &members));
        Self { hash: identity::of_pairs(&pairs), pairs, members, wrong, told: false }
    }

    pub(super) fn scope(read: Result<Scope<'b>, Wrong>) -> Self {
        let (scope, wrong) = split(read);
        let mut members = Object::default();
        members.text("", "scope.name", &scope.name);
        members.text("", "scope.version", &scope.version);
        members.pairs("scope.", &scope.attributes);
        let wrong = wrong.or_else(|| too_long("scope", &members));
        let hash = identity::of_scope(&scope);
        Self { pairs: Pairs::new(), hash, members, wrong, told: true }
    }
}

fn split<T: Default>(read: Result<T, Wrong>) -> (T, Option<Wrong>) {
    read.map_or_else(|wrong| (T::default(), Some(wrong)), |read| (read, None))
}

fn too_long(place: &str, members: &Object) -> Option<Wrong> {
    let bytes = members.bytes();
    (bytes > SHARED_BYTES_MAX).then(|| {
        let detail =
            format!("{place}: its attributes take {bytes} bytes; at most {SHARED_BYTES_MAX}");
        (Reason::EventTooLarge, detail)
    })
}

// === impl Gather ===

impl<'b, 'l> Gather<'b, 'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self { limits, batch: Batch::default(), resources: 0, properties_bytes: 0 }
    }

    pub(super) fn limits(&self) -> &'l Limits {
        self.limits
    }

    /// Whether a record of this size is to be read. One that is too large has its fate.
    ///
    /// # Errors
    /// `too_many_events`.
    pub(super) fn takes(&mut self, bytes: usize) -> Result<bool, Refusal> {
        let max = self.limits.batch_events_max_of(Dialect::Otlp);
        if self.batch.events.len() >= max {
            let detail = format!("a request may carry {max} log records at most; send fewer");
            return Err(Refusal::new(Reason::TooManyEvents, detail).limit(max as u64));
        }
        let fits = bytes <= self.limits.event_bytes_max;
        if !fits {
            self.bad((Reason::EventTooLarge, too_large("record", bytes, self.limits)));
        }
        Ok(fits)
    }

    /// Adds a record that was read, or what was wrong with it.
    ///
    /// # Errors
    /// `inflated_too_large`, where the events become too large with what they share.
    pub(super) fn add(
        &mut self,
        resource: &mut Shared<'b>,
        scope: &Shared<'b>,
        read: Result<Record<'b>, Wrong>,
        bytes: usize,
    ) -> Result<(), Refusal> {
        if !resource.told {
            self.tell(resource);
        }
        let wrong = resource.wrong.as_ref().or(scope.wrong.as_ref());
        let record = match (read, wrong) {
            (Err(wrong), _) => {
                self.bad(wrong);
                return Ok(());
            }
            (Ok(_), Some(wrong)) => {
                self.bad(wrong.clone());
                return Ok(());
            }
            (Ok(record), None) => record,
        };
        let id = identity::of(resource.hash, scope.hash, &record);
        let shared = [&scope.members, &resource.members];
        let event = map::event(id, &resource.pairs, shared, record, bytes);
        self.properties_bytes += event.properties.len();
        let max = GROWTH_MAX * self.limits.inflated_bytes_max;
        if self.properties_bytes > max {
            let detail = format!(
                "the records take more than {max} bytes with the attributes of their resources; \
                 send fewer in a request"
            );
            return Err(Refusal::new(Reason::InflatedTooLarge, detail).limit(max as u64));
        }
        self.batch.events.push(Parsed::Event(event));
        Ok(())
    }

    /// Adds an element that is no record.
    pub(super) fn bad(&mut self, (reason, detail): Wrong) {
        self.batch.events.push(Parsed::Bad { id: String::new(), reason, detail });
    }

    /// Tells the envelope of a resource that has records.
    fn tell(&mut self, resource: &mut Shared<'b>) {
        let said = map::envelope(&resource.pairs);
        let envelope: &mut Envelope<'b> = &mut self.batch.envelope;
        if self.resources == 0 {
            *envelope = said;
        } else if envelope.env == said.env {
            map::agree(envelope, &said);
        } else {
            let detail = "deployment.environment.name: is not that of the request's first \
                          resource; send environments in requests of their own";
            resource.wrong.get_or_insert((Reason::FieldInvalid, detail.to_owned()));
        }
        self.resources += 1;
        resource.told = true;
    }

    pub(super) fn finish(self) -> Batch<'b> {
        self.batch
    }
}

#[cfg(test)]
mod tests {
    use super::super::any::Any;
    use super::*;

    fn resource(env: &'static str) -> Shared<'static> {
        let text = |text: &'static str| Any::Text(text.into());
        Shared::resource(Ok(vec![
            ("deployment.environment.name".into(), text(env)),
            ("service.version".into(), text("1")),
        ]))
    }

    fn add(
        gather: &mut Gather<'static, '_>,
        resource: &mut Shared<'static>,
    ) -> Result<(), Refusal> {
        let scope = Shared::scope(Ok(Scope::default()));
        gather.add(resource, &scope, Ok(Record::default()), 1)
    }

    fn reasons(batch: &Batch<'_>) -> Vec<Option<Reason>> {
        let reason = |parsed: &Parsed<'_>| match parsed {
            Parsed::Bad { reason, .. } => Some(*reason),
            Parsed::Event(_) => None,
        };
        batch.events.iter().map(reason).collect()
    }

    #[test]
    fn a_second_environment_is_refused_by_the_event() {
        let limits = Limits::default();
        let mut gather = Gather::new(&limits);
        let (mut first, mut same, mut other) =
            (resource("prod"), resource("production"), resource("staging"));
        for resource in [&mut first, &mut same, &mut other] {
            add(&mut gather, resource).expect("room");
        }
        add(&mut gather, &mut first).expect("room");
        let batch = gather.finish();
        assert_eq!((&*batch.envelope.env, &*batch.envelope.app_version), ("release", "1"));
        assert_eq!(reasons(&batch), [None, None, Some(Reason::FieldInvalid), None]);
    }

    #[test]
    fn what_is_shared_is_bounded() {
        let long = Any::Text("x".repeat(SHARED_BYTES_MAX).into());
        let mut large = Shared::resource(Ok(vec![("a".into(), long)]));
        let limits = Limits { inflated_bytes_max: 8 * 1024, ..Limits::default() };
        let mut gather = Gather::new(&limits);
        add(&mut gather, &mut large).expect("a fate");
        let text = Any::Text("x".repeat(7_000).into());
        let mut resource = Shared::resource(Ok(vec![("a".into(), text)]));
        add(&mut gather, &mut resource).expect("room");
        add(&mut gather, &mut resource).expect("room");
        let refusal = add(&mut gather, &mut resource).expect_err("grows too much");
        assert_eq!(refusal.reason, Reason::InflatedTooLarge);
        let batch = gather.finish();
        assert_eq!(reasons(&batch), [Some(Reason::EventTooLarge), None, None]);
    }

    #[test]
    fn records_are_counted_before_they_are_read() {
        let limits = Limits { batch_events_max: 1, event_bytes_max: 10, ..Limits::default() };
        let mut gather = Gather::new(&limits);
        for _ in 0..limits.batch_events_max_of(Dialect::Otlp) {
            assert!(!gather.takes(11).expect("room"), "too large");
        }
        assert_eq!(gather.takes(1).expect_err("no room").reason, Reason::TooManyEvents);
    }
}
