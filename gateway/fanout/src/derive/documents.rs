//! What the document store is told.
//!
//! | write | for |
//! |---|---|
//! | `Event` | every first event |
//! | `Visitor` | `app_show`, `page_view` of a release, per user and day of corrected time |
//! | `FirstSeen` | the smallest `(corrected time, key)` per user among what users *do* (track, error, perf, request) in a release |
//! | `Follow` | `follow`, `unfollow` in any environment |
//!
//! Visit metrics count releases only, and "new" must mean new there: so only
//! release events (an empty `env` is one) make visitors and first-seen.

use ahash::{AHashMap, AHashSet};
use sluice_proto::v1::EventType;
use sluice_seams::{Day, DocumentWrite, EventDocument, UserKey};

use super::{Derived, user_of};
use crate::known::{Known, When};

/// Derives the writes of a batch; what is `known` is not written again.
pub(crate) fn derive(events: &[&EventDocument], known: &Known) -> Derived<DocumentWrite> {
    let mut derived = Derived::with_capacity(events.len() + events.len() / 4);
    let mut first: AHashMap<UserKey, (When, usize)> = AHashMap::new();
    let mut visits: AHashSet<(UserKey, Day)> = AHashSet::new();
    for (at, &event) in events.iter().enumerate() {
        derived.push(at, DocumentWrite::Event(event.clone()));
        let Some(user) = user_of(event) else { continue };
        let inner = event.inner();
        if is_follow(inner.r#type(), &inner.name) {
            derived.push(at, DocumentWrite::Follow(event.clone()));
        }
        if !is_release(event) || !is_deed(inner.r#type()) {
            continue;
        }
        let when = (event.time_ms(), event.key);
        if !known.first_by(user, when) {
            let held = first.entry(user).or_insert((when, at));
            *held = (*held).min((when, at));
        }
        let day = Day::of(event.time_ms());
        if is_visit(inner.r#type(), &inner.name)
            && !known.visit(user, day)
            && visits.insert((user, day))
        {
            derived.push(at, visitor(event, day));
        }
    }
    let mut candidates: Vec<_> = first.into_iter().collect();
    candidates.sort_unstable_by_key(|(_, (_, at))| *at);
    for (user, (when, at)) in candidates {
        derived.push(at, DocumentWrite::FirstSeen(events[at].clone()));
        derived.learned.first.push((user, when));
    }
    derived.learned.visits.extend(visits);
    derived
}

fn visitor(event: &EventDocument, day: Day) -> DocumentWrite {
    DocumentWrite::Visitor { app_id: event.app_id().into(), day, user: event.user().into() }
}

fn is_release(event: &EventDocument) -> bool {
    matches!(event.envelope.env.as_str(), "" | "release")
}

/// Something a user did, as opposed to a change of the profile.
fn is_deed(r#type: EventType) -> bool {
    match r#type {
        EventType::Track | EventType::Error | EventType::Perf | EventType::Request => true,
        EventType::UserSet | EventType::UserSetOnce | EventType::UserUnset | EventType::Alias => {
            false
        }
    }
}

fn is_visit(r#type: EventType, name: &str) -> bool {
    r#type == EventType::Track && matches!(name, "app_show" | "page_view")
}

fn is_follow(r#type: EventType, name: &str) -> bool {
    r#type == EventType::Track && matches!(name, "follow" | "unfollow")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::document;

    /// Derives and spells each write as `kind user-or-id origin`.
    fn check(events: &[EventDocument], known: &Known, expected: &[&str]) -> Derived<DocumentWrite> {
        let refs: Vec<_> = events.iter().collect();
        let derived = derive(&refs, known);
        let mut spelt: Vec<String> = derived
            .writes
            .iter()
            .zip(&derived.origins)
            .map(|(write, origin)| match write {
                DocumentWrite::Event(event) => format!("event {} {origin}", event.inner().id),
                DocumentWrite::Visitor { user, day, .. } => {
                    format!("visitor {user}@{} {origin}", day.0)
                }
                DocumentWrite::FirstSeen(event) => format!("first {} {origin}", event.inner().id),
                DocumentWrite::Follow(event) => format!("follow {} {origin}", event.inner().id),
            })
            .filter(|text| !text.starts_with("event"))
            .collect();
        spelt.sort();
        assert_eq!(spelt, expected);
        let documents =
            derived.writes.iter().filter(|write| matches!(write, DocumentWrite::Event(_)));
        assert_eq!(documents.count(), events.len(), "every first event is a document");
        derived
    }

    #[test]
    fn one_visitor_a_user_and_day_and_the_smallest_first() {
        let events = [
            document("b", "app_show", "u", 86_400_500),
            document("a", "page_view", "u", 86_400_400),
            document("c", "page_view", "u", 172_800_000),
        ];
        check(&events, &Known::new(9), &["first a 1", "visitor u@1 0", "visitor u@2 2"]);
    }

    #[test]
    fn equal_times_are_decided_by_key() {
        let events = [document("a", "x", "u", 5), document("b", "x", "u", 5)];
        let smaller = usize::from(events[1].key < events[0].key);
        let expected = format!("first {} {smaller}", events[smaller].inner().id);
        check(&events, &Known::new(9), &[&expected]);
    }

    #[test]
    fn what_is_known_is_not_written_but_what_is_earlier_is() {
        let mut known = Known::new(9);
        let visit = document("a", "page_view", "u", 100);
        let derived = check(&[visit], &known, &["first a 0", "visitor u@0 0"]);
        known.learn(derived.learned);
        check(&[document("b", "page_view", "u", 200)], &known, &[]);
        check(&[document("c", "page_view", "u", 50)], &known, &["first c 0"]);
    }

    #[test]
    fn a_trial_makes_documents_and_follows_only() {
        let mut events = [document("a", "page_view", "u", 5), document("f", "follow", "u", 6)];
        for event in &mut events {
            let mut envelope = (*event.envelope).clone();
            envelope.env = "trial".to_owned();
            event.envelope = envelope.into();
        }
        check(&events, &Known::new(9), &["follow f 1"]);
    }

    #[test]
    fn a_profile_change_is_no_visit_and_nobody_is_no_user() {
        let mut set = document("s", "page_view", "u", 5);
        let mut inner = (*set.event).clone();
        inner.event.as_mut().expect("whole").r#type = EventType::UserSet.into();
        set.event = inner.into();
        check(&[set, document("n", "page_view", "", 5)], &Known::new(9), &[]);
    }

    #[test]
    fn a_follow_is_a_deed_too() {
        check(
            &[document("f", "follow", "u", 5), document("g", "unfollow", "u", 4)],
            &Known::new(9),
            &["first g 1", "follow f 0", "follow g 1"],
        );
    }
}
