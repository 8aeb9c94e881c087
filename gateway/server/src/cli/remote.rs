//! Talks to the admin API of a running process, or runs one for the occasion.
//!
//! A data directory has one owner. Where a process owns it, the command asks
//! that process; where none does, the command runs fan out itself on loopback
//! ports of its own and asks that: one way in, whoever is running.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Failure, TargetArgs};
use crate::addresses::Addresses;
use crate::config::Config;
use crate::run::{self, Role};

/// A client of one admin API.
pub struct Admin {
    client: reqwest::Client,
    base: String,
}

/// Runs `work` against the process that owns the data directory, or against one
/// started for the occasion and stopped after it.
pub fn with_admin<F, W>(target: &TargetArgs, work: W) -> Result<(), Failure>
where
    W: FnOnce(Admin) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let loaded = Config::load(&target.as_role()).map_err(Failure::Usage)?;
    let data_dir = loaded.config.data_dir.clone();
    let runtime = run::runtime().map_err(Failure::Failed)?;
    runtime.block_on(async move {
        if let Some(addresses) = Addresses::of_running(&data_dir) {
            return work(Admin::new(&addresses)).await;
        }
        require_data(&data_dir)?;
        let node = run::Node::start(Role::FAN_OUT, loaded).await.map_err(Failure::Failed)?;
        let result = work(Admin::new(&node.addresses())).await;
        node.drain().await;
        result
    })
}

fn require_data(data_dir: &Path) -> Result<(), Failure> {
    if data_dir.is_dir() {
        return Ok(());
    }
    let shown = data_dir.display();
    Err(Failure::Usage(format!(
        "{shown} is not a data directory; name the right one with --data-dir or --config"
    )))
}

// === impl Admin ===

impl Admin {
    fn new(addresses: &Addresses) -> Self {
        let timeout = Duration::from_secs(30);
        let client = reqwest::Client::builder().timeout(timeout).no_proxy().build();
        // Building fails only where TLS set-up does, and none is used here.
        let client = client.unwrap_or_default();
        Self { client, base: format!("http://{}", addresses.admin) }
    }

    /// `GET path`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        Self::answer(self.client.get(format!("{}{path}", self.base)).send().await).await
    }

    /// `POST path` with a JSON body.
    pub async fn post<B, T>(&self, path: &str, body: &B) -> Result<T, Failure>
    where
        B: Serialize + ?Sized,
        T: DeserializeOwned,
    {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        Self::answer(request.send().await).await
    }

    async fn answer<T: DeserializeOwned>(
        response: reqwest::Result<reqwest::Response>,
    ) -> Result<T, Failure> {
        let failed = |error: reqwest::Error| Failure::Failed(format!("admin API: {error}"));
        let response = response.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        if !status.is_success() {
            let detail = serde_json::from_str::<serde_json::Value>(&text).ok();
            let detail = detail.and_then(|body| Some(body["error"]["detail"].as_str()?.to_owned()));
            return Err(Failure::Failed(detail.unwrap_or(format!("{status}: {text}"))));
        }
        serde_json::from_str(&text)
            .map_err(|error| Failure::Failed(format!("admin API answered {text:.200}: {error}")))
    }
}
