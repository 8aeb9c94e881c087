//! The sending side: one request at a time (SDK-BATCH-2), each answer's fate for
//! each event, and the settings. Runs on a thread of its own, so that it needs
//! nothing of the app's and holds up nothing of it (SDK-HOST-1).

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::encode::{self, Try};
use crate::error::Problem;
use crate::limits::{BODY_BYTES_MAX, SETTINGS_EVERY};
use crate::queue::Fate;
use crate::shared::{Next, Shared, State};
use crate::transport::Link;
use crate::verdict::{Listed, Outcome, Refusal, Verdict};

/// Sends what waits until the client is closed.
pub(crate) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let settings = tokio::spawn(ask_settings(Arc::clone(&shared), Arc::clone(&link)));
    loop {
        match shared.next() {
            Next::Send => send(&shared, &link).await,
            Next::At(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = shared.wake.notified() => {}
            },
            Next::Idle => shared.wake.notified().await,
            Next::End => break,
        }
    }
    settings.abort();
}

/// One request, from taking its events to their fates.
async fn send(shared: &Shared, link: &Link) {
    let (body, told, era) = {
        let mut state = shared.state.lock();
        let (plan, now) = (&shared.plan, Instant::now());
        let events_max = state.events_max(plan);
        let events = state.queue.take(events_max, plan.batch_bytes_max.min(BODY_BYTES_MAX));
        state.pace.last_sent = Some(now);
        state.pace.at_once = false;
        state.counts.requests += 1;
        let this = Try {
            sent_at_ms: plan.target.clock.now_ms(),
            attempt: state.pace.failures.saturating_add(1),
            dropped: state.queue.untold,
        };
        let body = encode::batch(&plan.origin, this, &events, plan.transport);
        (body, this.dropped, state.era)
    };
    let verdict = answer(shared, link, body, era).await;
    let problems = {
        let mut state = shared.state.lock();
        if state.era != era {
            return;
        }
        settle(&mut state, shared, verdict, told)
    };
    shared.room.notify_waiters();
    for problem in problems {
        // Nothing of the app's may end the sending (SDK-EVENT-3).
        let told = catch_unwind(AssertUnwindSafe(|| (shared.plan.on_problem)(&problem)));
        if told.is_err() {
            tracing::error!(reason = %problem.reason, "on_problem panicked");
        }
    }
}

/// The answer; none where the client's time is over, or its user opts out, before it
/// comes.
async fn answer(shared: &Shared, link: &Link, body: bytes::Bytes, era: u64) -> Verdict {
    let mut request = std::pin::pin!(link.send(body));
    loop {
        let (deadline, closing, now_era) = {
            let mut state = shared.state.lock();
            state.end_flushes(Instant::now());
            (state.deadline(), state.closing, state.era)
        };
        if now_era != era || closing.is_some_and(|until| Instant::now() >= until) {
            return Verdict::NO_ANSWER;
        }
        let far = || Instant::now() + Duration::from_secs(3_600);
        tokio::select! {
            verdict = &mut request => return verdict,
            () = shared.wake.notified() => {}
            () = sleep_until(deadline.unwrap_or_else(far)) => {}
        }
    }
}

/// Gives each event its fate (`sdk-spec/spec.md`, §6) and sets the pace; what the
/// developer should know of comes back.
fn settle(state: &mut State, shared: &Shared, verdict: Verdict, told: u64) -> Vec<Problem> {
    let now = Instant::now();
    let under_way = state.queue.len() - state.queue.waiting();
    match verdict {
        Verdict::Listed { results, rest_again, wait } => {
            return settle_listed(state, results, rest_again, wait, told);
        }
        Verdict::Taken => {
            state.queue.settle(|_| Fate::Over);
            state.counts.accepted += under_way as u64;
            confirm(state, told);
            state.pace.succeed();
        }
        Verdict::Again { wait } => {
            state.queue.settle(|_| Fate::Again);
            state.counts.failures += 1;
            state.pace.fail(now, wait);
        }
        Verdict::Halve { .. } if under_way > 1 => {
            state.queue.settle(|_| Fate::Again);
            state.counts.failures += 1;
            state.pace.halve(under_way);
        }
        Verdict::Halve { refusal } => {
            // SDK-RETRY-6: alone, and still too large.
            return vec![drop_batch(state, refusal)];
        }
        Verdict::Refused(refusal) => {
            let interval = state.interval(&shared.plan);
            state.pace.dropped(now, interval);
            return vec![drop_batch(state, refusal)];
        }
    }
    Vec::new()
}

/// SDK-RETRY-1, SDK-RETRY-2: event by event. 200 forgets what is not listed, 503
/// keeps it (SDK-RETRY-3).
fn settle_listed(
    state: &mut State,
    results: Vec<Listed>,
    rest_again: bool,
    wait: Duration,
    told: u64,
) -> Vec<Problem> {
    let under_way = state.queue.len() - state.queue.waiting();
    let (mut again, mut listed) = (HashSet::new(), HashSet::new());
    let mut problems = Vec::new();
    for Listed { index, outcome, refusal } in results {
        if index >= under_way || !listed.insert(index) {
            continue;
        }
        match outcome {
            Outcome::Retry => {
                again.insert(index);
            }
            Outcome::Duplicate => state.counts.duplicates += 1,
            Outcome::Rejected => {
                state.counts.rejected += 1;
                let Refusal { reason, detail } = refusal;
                problems.push(Problem { reason, detail, events: 1 });
            }
        }
    }
    if !rest_again {
        state.counts.accepted += (under_way - listed.len()) as u64;
        confirm(state, told);
    }
    let over = |index: usize| {
        if listed.contains(&index) { !again.contains(&index) } else { !rest_again }
    };
    let wanted = state.queue.settle(|index| if over(index) { Fate::Over } else { Fate::Again });
    if wanted == 0 && !rest_again {
        state.pace.succeed();
        return problems;
    }
    // SDK-RETRY-5: some went through, so this is the first failure in a row.
    if wanted < under_way {
        state.pace.failures = 0;
    }
    state.counts.failures += 1;
    state.pace.fail(Instant::now(), wait);
    problems
}

/// A reply of the 2xx range confirms the count that the batch told (SDK-QUEUE-3).
fn confirm(state: &mut State, told: u64) {
    state.queue.untold = state.queue.untold.saturating_sub(told);
}

/// SDK-RETRY-7: drops what is under way, counts it, and says why.
fn drop_batch(state: &mut State, refusal: Refusal) -> Problem {
    let events = state.queue.len() - state.queue.waiting();
    state.queue.settle(|_| Fate::Over);
    state.queue.lose(events as u64);
    state.counts.failures += 1;
    state.pace.failures = 0;
    Problem { reason: refusal.reason, detail: refusal.detail, events }
}

/// Asks for the settings at the start and then every ten minutes (SDK-CONFIG-1); a
/// failure is none of the sending's (SDK-CONFIG-5).
async fn ask_settings(shared: Arc<Shared>, link: Arc<Link>) {
    if !shared.plan.remote_settings {
        return;
    }
    let mut etag: Option<String> = None;
    loop {
        let asks = !shared.state.lock().opted_out;
        let answer = if asks { link.settings(etag.as_deref()).await } else { None };
        if let Some((200, tag, body)) = answer {
            let mut state = shared.state.lock();
            if let Some(settings) = state.settings.updated(&body) {
                state.settings = settings;
                etag = tag;
                if state.unsettled_until.is_some() {
                    state.queue.sample(settings.sample_rate);
                }
            }
        }
        shared.state.lock().unsettled_until = None;
        shared.room.notify_waiters();
        shared.wake.notify_one();
        tokio::time::sleep(SETTINGS_EVERY).await;
    }
}
