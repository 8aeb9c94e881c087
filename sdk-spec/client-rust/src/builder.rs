//! How a client is made: what is asked for, and what is allowed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::clock::Clock;
use crate::encode::Origin;
use crate::error::{BuildError, Problem};
use crate::limits::{BATCH_EVENTS_MAX, BODY_BYTES_MAX, TEXT_BYTES_MAX};
use crate::settings::Settings;
use crate::transport::{Target, Transport};

/// Settings of a client; made by [`Client::builder`]. `Debug` shows no secret.
#[must_use = "nothing is reported before `build`"]
pub struct Builder(Plan);

/// What a client goes by.
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) transport: Transport,
    pub(crate) origin: Origin,
    pub(crate) batch_events_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) linger: Option<Duration>,
    pub(crate) queue_events_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) drop_wait: Duration,
    pub(crate) remote_settings: bool,
    /// Those before the gateway's first answer.
    pub(crate) settings: Settings,
    pub(crate) on_problem: OnProblem,
}

type OnProblem = Arc<dyn Fn(&Problem) + Send + Sync>;

// === impl Builder ===

impl Builder {
    pub(crate) fn new(url: String, key: String) -> Self {
        let timeout = Duration::from_secs(15);
        let url = url.trim_end_matches('/').to_owned();
        Self(Plan {
            target: Target { url, key, secret: None, timeout, clock: Clock::default() },
            transport: Transport::default(),
            origin: Origin::default(),
            batch_events_max: BATCH_EVENTS_MAX,
            batch_bytes_max: BODY_BYTES_MAX,
            linger: None,
            queue_events_max: 10_000,
            queue_bytes_max: 16 << 20,
            drop_wait: Duration::from_secs(2),
            remote_settings: true,
            settings: Settings::default(),
            on_problem: Arc::new(|problem| {
                let Problem { reason, detail, events } = problem;
                tracing::warn!(%reason, %detail, events, "events were not taken");
            }),
        })
    }

    /// How batches are handed over; [`Transport::Json`] where left out.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.0.transport = transport;
        self
    }

    /// The key's secret, where the key demands a signature on each request.
    pub fn signing_secret(mut self, secret: impl Into<String>) -> Self {
        self.0.target.secret = Some(secret.into());
        self
    }

    /// `platform` of the batches, `server` say.
    pub fn platform(mut self, platform: impl Into<String>) -> Self {
        self.0.origin.platform = platform.into();
        self
    }

    /// `host_app` of the batches: the mini program that this server is the back end of.
    pub fn host_app(mut self, host_app: impl Into<String>) -> Self {
        self.0.origin.host_app = host_app.into();
        self
    }

    /// `env` of the batches; only `release`, the default, is counted.
    pub fn env(mut self, env: impl Into<String>) -> Self {
        self.0.origin.env = env.into();
        self
    }

    /// `app_version` of the batches.
    pub fn app_version(mut self, version: impl Into<String>) -> Self {
        self.0.origin.app_version = version.into();
        self
    }

    /// Events of a request: 1–500, 500 where left out. `batch_events_max` of the app's
    /// settings (50 by default) holds besides: raise it there for more throughput.
    pub fn batch_events_max(mut self, events: usize) -> Self {
        self.0.batch_events_max = events;
        self
    }

    /// Bytes of a request's events: 64 KiB – 1,000,000, the latter where left out.
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.0.batch_bytes_max = bytes;
        self
    }

    /// How long an event waits for company, 1 ms – 1 h; where left out
    /// `flush_interval_ms` of the app's settings (5 s by default).
    pub fn linger(mut self, linger: Duration) -> Self {
        self.0.linger = Some(linger);
        self
    }

    /// Events that may wait: 1–10,000,000, 10,000 where left out.
    pub fn queue_events_max(mut self, events: usize) -> Self {
        self.0.queue_events_max = events;
        self
    }

    /// Bytes that may wait: 64 KiB – 4 GiB, 16 MiB where left out.
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.0.queue_bytes_max = bytes;
        self
    }

    /// For one request, 1 ms – 10 min; 15 s where left out (SDK-RETRY-8).
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.0.target.timeout = timeout;
        self
    }

    /// How long dropping the last handle may take to send what waits, 0 – 10 min; 2 s
    /// where left out.
    pub fn drop_wait(mut self, wait: Duration) -> Self {
        self.0.drop_wait = wait;
        self
    }

    /// Whether to ask `GET /v1/config` for the app's settings: the kill switch, the
    /// sample and the sizes of batches (SDK-CONFIG). Without it the defaults are in force.
    pub fn remote_settings(mut self, ask: bool) -> Self {
        self.0.remote_settings = ask;
        self
    }

    /// Called with everything that a developer should know of: rejected events, dropped
    /// batches. On the client's own thread: it should not block. Logged with `tracing`
    /// where left out.
    pub fn on_problem(mut self, call: impl Fn(&Problem) + Send + Sync + 'static) -> Self {
        self.0.on_problem = Arc::new(call);
        self
    }

    /// The clock of `time` and `sent_at`, milliseconds since 1970-01-01 UTC; the
    /// system's where left out.
    pub fn clock(mut self, now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.0.target.clock = Clock::new(now_ms);
        self
    }

    /// Starts the client, on a thread of its own. Nothing is sent yet.
    pub fn build(self) -> Result<Client, BuildError> {
        let plan = self.0;
        check_url(&plan.target.url)?;
        if plan.target.key.is_empty() || !plan.target.key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BuildError::Key);
        }
        let within = |name, value: u128, low: u128, high: u128, allowed| {
            let fine = (low..=high).contains(&value);
            fine.then_some(()).ok_or(BuildError::Bound { name, value, allowed })
        };
        let ms = |duration: Duration| duration.as_millis();
        let Plan { batch_events_max, batch_bytes_max, queue_events_max, .. } = plan;
        within("batch_events_max", batch_events_max as u128, 1, 500, "1-500")?;
        within("batch_bytes_max", batch_bytes_max as u128, 65_536, 1_000_000, "65536-1000000")?;
        within("queue_events_max", queue_events_max as u128, 1, 10_000_000, "1-10000000")?;
        let queue_bytes = plan.queue_bytes_max as u128;
        within("queue_bytes_max", queue_bytes, 65_536, 4 << 30, "65536-4294967296")?;
        let linger = plan.linger.map_or(1, ms);
        within("linger (ms)", linger, 1, 3_600_000, "1-3600000")?;
        within("request_timeout (ms)", ms(plan.target.timeout), 1, 600_000, "1-600000")?;
        let Origin { platform, host_app, env, app_version } = &plan.origin;
        for (name, text) in [
            ("platform", platform),
            ("host_app", host_app),
            ("env", env),
            ("app_version", app_version),
        ] {
            let max = TEXT_BYTES_MAX as u128;
            within(name, text.len() as u128, 0, max, "at most 8192 bytes")?;
        }
        within("drop_wait (ms)", ms(plan.drop_wait), 0, 600_000, "0-600000")?;
        Client::start(plan)
    }
}

fn check_url(url: &str) -> Result<(), BuildError> {
    let wrong = |what: &str| Err(BuildError::Url(format!("{url}: {what}")));
    let parsed = match reqwest::Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => return wrong(&error.to_string()),
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(BuildError::Url("must not hold credentials; the key goes by itself".into()));
    }
    match parsed.scheme() {
        "http" => {}
        "https" if cfg!(feature = "tls") => {}
        "https" => return wrong("https:// needs the feature `tls`"),
        _ => return wrong("must begin with http:// or https://"),
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return wrong("must be the gateway's address alone, without ? and #");
    }
    Ok(())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { target, transport, .. } = &self.0;
        let mut all = f.debug_struct("Builder");
        all.field("url", &target.url).field("transport", transport).finish_non_exhaustive()
    }
}
