//! What cannot be stored is kept with its reason, and never blocks the rest.

mod support;

use bytes::Bytes;
use sluice_fanout::{DeadLetterChoice, FanOut};
use sluice_seams::EventLog;
use support::{World, event, record, view, world};

async fn refused(world: &World) -> FanOut {
    world.documents.refuse.lock().insert("bad".to_owned());
    for id in ["a", "bad", "c"] {
        world.append(0, &view(id)).await;
    }
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    fan_out
}

#[tokio::test]
async fn one_refused_write_is_put_aside_and_replayed() {
    let world = world(1);
    let fan_out = refused(&world).await;
    assert!(world.documents.holds("a") && world.documents.holds("c"));
    assert!(!world.documents.holds("bad") && world.rows.holds("bad"));

    let page = fan_out.dead_letters().list(0, 10).await.expect("listed");
    assert_eq!((page.letters.len(), page.next), (1, None));
    let listed = &page.letters[0];
    assert_eq!(
        (listed.letter.lane.as_str(), listed.letter.event_id.as_str()),
        ("documents", "bad")
    );
    assert_eq!((listed.letter.offset, listed.letter.index), (1, Some(0)));
    assert_eq!((listed.letter.reason.as_str(), listed.settled), ("refused", false));
    assert_eq!(listed.letter.detail, "refused by test");

    let again = fan_out.replay_dead_letters(DeadLetterChoice::All).await.expect("handed over");
    assert_eq!(again.refused, [(0, "refused by test".to_owned())]);
    world.documents.refuse.lock().clear();
    let again = fan_out.replay_dead_letters(DeadLetterChoice::All).await.expect("handed over");
    assert_eq!(again.settled, [0]);
    world.agrees();
    let again = fan_out.replay_dead_letters(DeadLetterChoice::All).await.expect("handed over");
    assert!(again.settled.is_empty(), "settled letters are left alone");

    drop(fan_out);
    let fan_out = world.start().await;
    let shown = fan_out.dead_letters().show(0).await.expect("read").expect("there");
    assert!(shown.settled, "also after a restart");
    assert_eq!(fan_out.dead_letters().show(77).await.expect("read"), None);
    assert_eq!(fan_out.dead_letters().show(1).await.expect("read"), None, "no letter");
    assert!(fan_out.replay_dead_letters(DeadLetterChoice::Ids(vec![77])).await.is_err());
    let again = fan_out.replay_dead_letters(DeadLetterChoice::Ids(vec![0])).await;
    assert_eq!(again.expect("handed over").settled, [0]);
    world.agrees();
}

/// A refused first event must not hide a later candidate of the same user.
#[tokio::test]
async fn a_refused_first_event_does_not_hide_the_next() {
    let world = world(1);
    world.documents.refuse.lock().insert("bad".to_owned());
    world.append(0, &record(vec![event("bad", "page_view", "d", -10)])).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    assert!(world.documents.state().first.is_empty());
    world.append(0, &record(vec![event("next", "page_view", "d", -5)])).await;
    world.settled(&fan_out).await;
    assert_eq!(world.documents.state().first["d"].0, support::NOW_MS - 5);
    world.documents.refuse.lock().clear();
    fan_out.replay_dead_letters(DeadLetterChoice::All).await.expect("handed over");
    world.agrees();
}

#[tokio::test]
async fn a_request_refused_as_a_whole_loses_one_event_only() {
    let world = world(1);
    *world.rows.indigestible.lock() = Some("e3".to_owned());
    let events = (0..7).map(|n| event(&format!("e{n}"), "page_view", "d", n));
    world.append(0, &record(events.collect())).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    assert_eq!(world.dead.dead_ids("rows"), ["e3"]);
    assert_eq!(world.rows.state().timeline.len(), 6);
    *world.rows.indigestible.lock() = None;
    fan_out.replay_dead_letters(DeadLetterChoice::All).await.expect("handed over");
    world.agrees();
}

#[tokio::test]
async fn what_cannot_be_read_never_blocks_the_partition() {
    let world = world(1);
    world.append(0, &view("a")).await;
    world.log.append(0, Bytes::from_static(b"\xff\xffnoise")).await.expect("appended");
    let mut keyless = event("k", "page_view", "d", 0);
    keyless.key = Bytes::from_static(b"short");
    world.append(0, &record(vec![keyless, event("b", "page_view", "d", 0)])).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
    assert_eq!(world.documents.state().events.len(), 2);
    let letters = fan_out.dead_letters().list(0, 10).await.expect("listed").letters;
    let spelt: Vec<_> = letters
        .iter()
        .map(|one| (one.letter.reason.as_str(), one.letter.offset, one.letter.index))
        .collect();
    assert_eq!(spelt, [("undecodable", 1, None), ("undecodable", 2, Some(0))]);
    assert_eq!(&letters[0].letter.payload[..], b"\xff\xffnoise");
    let again = fan_out.replay_dead_letters(DeadLetterChoice::All).await.expect("handed over");
    assert_eq!((again.settled.len(), again.refused.len()), (0, 2));
    let page = fan_out.dead_letters().list(0, 1).await.expect("listed");
    assert_eq!((page.letters.len(), page.next), (1, Some(1)));
}
