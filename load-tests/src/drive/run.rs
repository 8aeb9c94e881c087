//! A run: connections take what is due, send it and note the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use sluice_proto::v1::BatchReply;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::answer::Answer;
use super::forge::{Forge, number};
use super::grpc::GrpcLine;
use super::http::{ANSWER_MAX, HttpLine};
use super::kind::Kind;
use super::ledger::Ledger;
use super::schedule::Schedule;
use super::shape::Shape;
use super::tally::Tally;
use super::{Plan, Target};

/// Batches of one stream that are under way.
const STREAM_WINDOW: usize = 16;
/// Pause of a connection after no answer came, so that a dead target is not
/// connected to in a loop.
const LOST_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of a run share.
pub struct Shared {
    pub target: Target,
    pub prefix: String,
    pub forge: Forge,
    pub shape: Shape,
    pub schedule: Schedule,
    pub tally: Tally,
    pub ledger: Option<Ledger>,
}

/// Batches of a stream that wait for their answers, by number, with when they
/// were due; few, and one may wait twice, as a resend.
type Waiting = Arc<Mutex<Vec<(u64, Instant)>>>;

/// Starts the connections of a run; each ends with the schedule.
pub fn connections(plan: &Plan, shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let one = |_| {
        let (shared, kind) = (Arc::clone(shared), plan.kind);
        match kind {
            Kind::GrpcStream => tokio::spawn(streams(shared)),
            Kind::Grpc | Kind::OtlpGrpc => tokio::spawn(calls(shared, kind)),
            _ => tokio::spawn(posts(shared, kind)),
        }
    };
    (0..plan.connections).map(one).collect()
}

async fn posts(shared: Arc<Shared>, kind: Kind) {
    let mut line = HttpLine::new(shared.target.clone(), kind);
    while let Some((arrival, due)) = shared.schedule.take().await {
        let made = shared.forge.make(arrival);
        shared.sent(made.batch);
        if let Some(key) = shared.shape.key(&shared.target.key, made.batch) {
            line.speak_for(&key);
        }
        let answer = line.post(&made).await;
        shared.answered(made.batch, due, answer).await;
    }
}

async fn calls(shared: Arc<Shared>, kind: Kind) {
    let mut line = GrpcLine::new(shared.target.clone());
    while let Some((arrival, due)) = shared.schedule.take().await {
        let made = shared.forge.make(arrival);
        shared.sent(made.batch);
        let answer = line.call(kind, &made).await;
        shared.answered(made.batch, due, answer).await;
    }
}

/// Stream after stream: one that breaks is followed by another.
async fn streams(shared: Arc<Shared>) {
    let mut line = GrpcLine::new(shared.target.clone());
    loop {
        let waiting = Waiting::default();
        let room = Arc::new(Semaphore::new(STREAM_WINDOW));
        let (batches, out) = mpsc::channel(1);
        let sending = tokio::spawn(feed(
            Arc::clone(&shared),
            batches,
            Arc::clone(&room),
            Arc::clone(&waiting),
        ));
        let why = match line.stream(ReceiverStream::new(out)).await {
            Ok(mut replies) => loop {
                match tokio::time::timeout(ANSWER_MAX, replies.next()).await {
                    Ok(Some(Ok(reply))) => shared.replied(&reply, &waiting, &room).await,
                    Ok(Some(Err(status))) => break status.to_string(),
                    Ok(None) => break "the stream ended".to_owned(),
                    // Nothing is missing where nothing was sent.
                    Err(_) if waiting.lock().is_empty() => {}
                    Err(_) => break format!("no answer within {ANSWER_MAX:?}"),
                }
            },
            Err(error) => error,
        };
        room.close();
        let over = sending.await.unwrap_or(true);
        let left = std::mem::take(&mut *waiting.lock());
        let broken = !left.is_empty();
        for (batch, due) in left {
            shared.answered(batch, due, Answer::Lost(why.clone())).await;
        }
        if over {
            return;
        }
        if broken {
            line = GrpcLine::new(shared.target.clone());
        }
    }
}

/// Sends what is due into a stream; `true` when nothing more comes.
async fn feed(
    shared: Arc<Shared>,
    batches: mpsc::Sender<Bytes>,
    room: Arc<Semaphore>,
    waiting: Waiting,
) -> bool {
    loop {
        let Ok(permit) = room.acquire().await else { return false };
        permit.forget();
        let Some((arrival, due)) = shared.schedule.take().await else { return true };
        let made = shared.forge.make(arrival);
        shared.sent(made.batch);
        waiting.lock().push((made.batch, due));
        if batches.send(made.body).await.is_err() {
            return false;
        }
    }
}

// === impl Shared ===

impl Shared {
    fn sent(&self, batch: u64) {
        if let Some(ledger) = &self.ledger {
            ledger.sent(batch);
        }
    }

    async fn answered(&self, batch: u64, due: Instant, answer: Answer) {
        self.tally.note(due, &answer);
        let lost = matches!(answer, Answer::Lost(_));
        if let Some(ledger) = &self.ledger {
            ledger.answered(batch, answer);
        }
        if lost {
            tokio::time::sleep(LOST_PAUSE).await;
        }
    }

    async fn replied(&self, reply: &BatchReply, waiting: &Waiting, room: &Semaphore) {
        let Some(batch) = number(&self.prefix, &reply.batch_id) else { return };
        let found = {
            let mut waiting = waiting.lock();
            let at = waiting.iter().position(|(of, _)| *of == batch);
            at.map(|at| waiting.swap_remove(at))
        };
        if let Some((batch, due)) = found {
            self.answered(batch, due, Answer::of_grpc(reply)).await;
            room.add_permits(1);
        }
    }
}
