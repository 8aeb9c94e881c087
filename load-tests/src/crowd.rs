//! A crowd of clients that keeps sending through whatever happens to a gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::population::{Population, Random};
use crate::sender::Sender;

/// Events of one batch.
const BATCH_EVENTS: usize = 25;
/// Batches of a client after it was told to finish.
const BATCHES_AFTER: u64 = 3;
/// Between a client's batches: enough load, few enough events.
const PAUSE: Duration = Duration::from_millis(25);
/// Longest that a batch may be wanted again and again.
const DELIVER_MAX: Duration = Duration::from_secs(150);

/// Clients at work.
pub struct Crowd {
    http: Arc<Mutex<String>>,
    finishing: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

/// The machine's clock, milliseconds.
#[allow(clippy::disallowed_methods)] // a client's clock is the machine's
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

// === impl Crowd ===

impl Crowd {
    /// Sets `size` clients to work on a gateway; ids begin with `prefix`.
    pub fn start(sender: &Sender, http: &str, prefix: &str, size: u64) -> Self {
        Self::paced(sender, http, prefix, size, PAUSE)
    }

    /// The same with a pause of one's own between a client's batches.
    pub fn paced(sender: &Sender, http: &str, prefix: &str, size: u64, pause: Duration) -> Self {
        let http = Arc::new(Mutex::new(http.to_owned()));
        let finishing = Arc::new(AtomicBool::new(false));
        let clients = (0..size)
            .map(|number| {
                let prefix = format!("{prefix}-c{number}");
                let seed =
                    prefix.bytes().fold(number, |seed, b| seed.wrapping_mul(31) + u64::from(b));
                let population = Population::new(seed, &prefix, 200, 20);
                let shared = (sender.clone(), Arc::clone(&http), Arc::clone(&finishing));
                tokio::spawn(client(shared.0, shared.1, shared.2, population, seed, pause))
            })
            .collect();
        Self { http, finishing, clients }
    }

    /// Another gateway has taken over.
    pub fn turn_to(&self, http: &str) {
        *self.http.lock() = http.to_owned();
    }

    /// Every client delivers what it has begun, a few batches more, and ends.
    pub async fn finish(self) -> Result<(), String> {
        self.finishing.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

/// Posts batches, each until it is answered, now and then once more.
async fn client(
    sender: Sender,
    http: Arc<Mutex<String>>,
    finishing: Arc<AtomicBool>,
    mut population: Population,
    seed: u64,
    pause: Duration,
) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut after = 0;
    while after < BATCHES_AFTER {
        after += u64::from(finishing.load(Ordering::SeqCst));
        let events = population.events(BATCH_EVENTS, now_ms());
        let address = || http.lock().clone();
        sender.deliver(address, &events, now_ms, DELIVER_MAX).await?;
        if random.below(4) == 0 {
            // A retry whose first answer was lost on the way.
            sender.deliver(address, &events, now_ms, DELIVER_MAX).await?;
        }
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
