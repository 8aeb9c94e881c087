//! `gateway/METRICS.md` lists every metric family, and no other.

use std::fmt::Write;
use std::path::Path;

use sluice_server::cli::RoleArgs;
use sluice_server::config::{Config, Loaded};
use sluice_server::run::{Hooks, Parts, Role};

const HEAD: &str = "# Metrics\n\n`GET /metrics` on the admin listener, in OpenMetrics text. \
    Counters carry the suffix `_total`, histograms `_bucket`, `_sum` and `_count`. `app` is \
    always a verified app.\n\n| family | says |\n|---|---|\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_is_documented() {
    let dir = tempfile::tempdir().expect("temp dir");
    let args = RoleArgs { data_dir: Some(dir.path().join("data")), ..RoleArgs::default() };
    let Loaded { config, .. } = Config::load(&args).expect("defaults");
    let node = sluice_server::run::Node::start_with(
        Role::SERVE,
        Loaded {
            config: Config {
                listen: "127.0.0.1:0".parse().expect("address"),
                admin_listen: "127.0.0.1:0".parse().expect("address"),
                ..config
            },
            layers: Default::default(),
            file: None,
            demo: true,
        },
        Hooks::default(),
    );
    let node = node.await.expect("starts");
    let parts: std::sync::Arc<Parts> = node.parts();
    let mut wanted = HEAD.to_owned();
    for (name, help) in parts.registry.described() {
        let help = help.trim_end_matches('.');
        writeln!(wanted, "| `{name}` | {help} |").expect("a String grows");
    }
    node.drain().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../METRICS.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "gateway/METRICS.md must be:\n\n{wanted}");
}
