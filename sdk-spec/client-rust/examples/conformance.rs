//! The client behind the adapter protocol of `sdk-spec/conformance`: one JSON
//! object a line on standard input, one answer a line on standard output.
//!
//! A server has no device of its own; the scenarios' events are reported on behalf
//! of one, which the adapter makes up at its start.

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sluice_client::{Client, Event};

/// How long a flush is kept in mind; scenarios end sooner.
const FLUSH: Duration = Duration::from_secs(120);

/// What a command reports back, beside `ok`.
type Answer = Result<Value, Box<dyn Error>>;

#[derive(Default)]
struct Adapter {
    client: Option<Client>,
    device_id: String,
    devices: u32,
    user_id: String,
    offset_ms: Arc<AtomicI64>,
}

// === impl Adapter ===

impl Adapter {
    fn command(&mut self, command: &Value) -> Answer {
        let text = |name: &str| command[name].as_str().unwrap_or_default().to_owned();
        match command["cmd"].as_str().unwrap_or_default() {
            "hello" => {
                let capabilities = ["clock", "timeout", "queue_bound"];
                return Ok(json!({"name": "sluice-client rust", "capabilities": capabilities}));
            }
            "init" => self.init(&text("url"), &text("key"), &command["options"])?,
            "track" => self.track(&text("name"), &command["properties"])?,
            "opt_out" => self.opt_out(command["out"] == true)?,
            "identify" => self.user_id = text("user_id"),
            // Asks also where nobody waits for it.
            "flush" | "hide" => drop(self.client()?.flush(FLUSH)),
            "show" => {}
            "clock" => {
                self.offset_ms.store(command["offset_ms"].as_i64().unwrap_or_default(), Relaxed);
            }
            other => return Err(format!("{other}: a server has no such thing").into()),
        }
        Ok(json!({}))
    }

    fn client(&self) -> Result<&Client, &'static str> {
        self.client.as_ref().ok_or("init comes first")
    }

    fn init(&mut self, url: &str, key: &str, options: &Value) -> Result<(), Box<dyn Error>> {
        let offset_ms = Arc::clone(&self.offset_ms);
        let clock = move || now_ms() + offset_ms.load(Relaxed);
        let mut builder = Client::builder(url, key).platform("server").clock(clock);
        builder = builder.on_problem(|problem| eprintln!("{problem:?}"));
        if let Some(timeout) = options["timeout_ms"].as_u64() {
            builder = builder.request_timeout(Duration::from_millis(timeout));
        }
        if let Some(events) = options["queue_events_max"].as_u64() {
            builder = builder.queue_events_max(usize::try_from(events)?);
        }
        self.new_device();
        self.client = Some(builder.build()?);
        Ok(())
    }

    /// The device and its user are the app's, and so is forgetting them.
    fn opt_out(&mut self, out: bool) -> Result<(), Box<dyn Error>> {
        self.client()?.opt_out(out);
        if out {
            self.user_id.clear();
            self.new_device();
        }
        Ok(())
    }

    fn new_device(&mut self) {
        self.devices += 1;
        self.device_id = format!("conformance-{}-{}", std::process::id(), self.devices);
    }

    fn track(&self, name: &str, properties: &Value) -> Result<(), Box<dyn Error>> {
        let mut event = Event::new(name).device_id(&self.device_id).user_id(&self.user_id);
        if let Value::Object(properties) = properties {
            event = event.properties(properties.clone());
        }
        // What is refused is the developer's to know, and no failure (SDK-EVENT-2).
        if let Err(refused) = self.client()?.push(event) {
            eprintln!("{name}: {refused}");
        }
        Ok(())
    }
}

fn now_ms() -> i64 {
    #[allow(clippy::disallowed_methods)] // the clock that the scenarios turn
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut adapter = Adapter::default();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let mut answer = match adapter.command(&command) {
            Ok(mut answer) => {
                answer["ok"] = json!(true);
                answer
            }
            Err(error) => json!({"ok": false, "error": error.to_string()}),
        };
        answer["id"] = command["id"].clone();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
