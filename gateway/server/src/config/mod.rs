//! Config: text → typed sections → build.
//!
//! Layers (defaults, file, environment, flags) are merged, secrets resolved,
//! then read into typed sections that refuse unknown keys. Nothing below the
//! server reads the environment or a file.

mod engines;
mod layers;
mod problem;
mod secret;
mod sections;
mod stray;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

pub use engines::{DocumentsEngine, LogEngine, RowsEngine, SECRETS};
pub use layers::{Layers, Origin};
pub use sections::{Config, DocumentsSection, DrainSection, LogSection, RowsSection};

use crate::cli::RoleArgs;

/// The port for HTTP and gRPC where none is given.
pub const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7080);
/// The admin port where none is given.
pub const ADMIN_LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7081);

/// A config that was read, with where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Typed sections.
    pub config: Config,
    /// What was merged.
    pub layers: Layers,
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// No app was configured: the demo app stands in.
    pub demo: bool,
}

// === impl Config ===

impl Config {
    /// Reads file, environment and flags.
    ///
    /// # Errors
    /// Every problem found, one a line, each with its place and what is allowed.
    #[allow(clippy::disallowed_methods)] // the one place that reads the environment
    pub fn load(args: &RoleArgs) -> Result<Loaded, String> {
        let env = |name: &str| std::env::var(name).ok();
        let known = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        load(args, known, &env)
    }
}

fn load(
    args: &RoleArgs,
    variables: impl Iterator<Item = (String, String)>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, String> {
    let variables: Vec<(String, String)> = variables.collect();
    let strays: Vec<_> = variables.iter().filter_map(|(name, _)| stray::complaint(name)).collect();
    if !strays.is_empty() {
        return Err(strays.join("\n"));
    }
    let mut layers = Layers::default();
    let mut base = PathBuf::from(".");
    if let Some(path) = &args.config {
        layers.table(read_file(path, env)?, &Origin::File(path.clone()));
        base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    }
    layers.environment(variables.into_iter());
    flags(args, &mut layers);
    let mut merged = layers.merged().clone();
    secret::resolve(&mut merged, &base, env).map_err(|errors| errors.join("\n"))?;
    let mut config: Config = merged
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| problem::explain(error.message(), &merged, &layers))?;
    let demo = config.apps.is_empty();
    if demo {
        config.apps = sluice_admit::AppsConfig::demo().apps;
        loopback_only(&config)?;
    }
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    Ok(Loaded { config, layers, file: args.config.clone(), demo })
}

/// Reads a file alone first, so that a mistake in it is told with line and column.
fn read_file(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Table, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the config file {shown}: {error}"))?;
    let table: Table = text.parse().map_err(|error| format!("{shown}: {error}"))?;
    let mut resolved = table.clone();
    let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    if secret::resolve(&mut resolved, &base, env).is_ok()
        && let Err(error) = resolved.try_into::<Config>()
        // Secrets are tables in the text and strings in the sections: only a text
        // without them can be read as it stands, with positions.
        && let Err(placed) = toml::from_str::<Config>(&text)
        && placed.message() == error.message()
    {
        let advice = problem::nearest(error.message());
        return Err(format!("{shown}: {}{advice}", placed.to_string().trim_end()));
    }
    Ok(table)
}

fn flags(args: &RoleArgs, layers: &mut Layers) {
    let text = |value: &dyn ToString| Value::String(value.to_string());
    if let Some(listen) = &args.listen {
        layers.set("listen", text(listen), Origin::Flag("--listen".into()));
    }
    if let Some(listen) = &args.admin_listen {
        layers.set("admin_listen", text(listen), Origin::Flag("--admin-listen".into()));
    }
    if let Some(dir) = &args.data_dir {
        layers.set("data_dir", text(&dir.display()), Origin::Flag("--data-dir".into()));
    }
}

/// The demo app's keys are public knowledge: it must not be reachable from outside.
fn loopback_only(config: &Config) -> Result<(), String> {
    for (name, address) in [("listen", config.listen), ("admin_listen", config.admin_listen)] {
        if !address.ip().is_loopback() {
            return Err(format!(
                "{name} {address}: without apps of your own only the demo app is there, whose \
                 keys everybody knows, and it is served on loopback only; put at least one \
                 [apps.<id>] into a config file and name it with --config"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str, vars: &[(&str, &str)]) -> Result<Loaded, String> {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("sluice.toml");
        std::fs::write(&path, text).expect("write");
        let args = RoleArgs { config: Some(path), ..RoleArgs::default() };
        let vars: Vec<_> = vars.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        load(&args, vars.into_iter(), &|_| None)
    }

    #[test]
    fn nothing_at_all_is_the_demo_app_on_loopback() {
        let loaded = load(&RoleArgs::default(), std::iter::empty(), &|_| None).expect("loads");
        assert!(loaded.demo);
        assert_eq!(loaded.config.listen, LISTEN_DEFAULT);
        assert_eq!(loaded.config.apps.keys().collect::<Vec<_>>(), ["demo"]);
        let args = RoleArgs { listen: "0.0.0.0:1".parse().ok(), ..RoleArgs::default() };
        let error = load(&args, std::iter::empty(), &|_| None).expect_err("refused");
        assert!(error.contains("loopback") && error.contains("[apps.<id>]"), "{error}");
    }

    #[test]
    fn apps_of_ones_own_replace_the_demo_app() {
        let text = "listen = '0.0.0.0:7080'\n[apps.shop]\nwrite_keys = ['w-0123456789']\n";
        let loaded = load_text(text, &[]).expect("loads");
        assert!(!loaded.demo);
        assert_eq!(loaded.config.apps.keys().collect::<Vec<_>>(), ["shop"]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_place_and_nearest() {
        let error = load_text("[log]\npartitons = 4\n", &[]).expect_err("refused");
        assert!(error.contains("sluice.toml") && error.contains("line 2"), "{error}");
        assert!(error.contains("partitons") && error.contains("`partitions`?"), "{error}");
        let error = load_text("", &[("SLUICE_LOG__PARTITONS", "4")]).expect_err("refused");
        assert!(error.contains("SLUICE_LOG__PARTITONS"), "{error}");
        assert!(error.contains("`partitions`?"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_with_key_and_layer() {
        let error = load_text("", &[("SLUICE_LOG__PARTITIONS", "four")]).expect_err("refused");
        assert!(error.starts_with("log.partitions (from env SLUICE_LOG__PARTITIONS): "), "{error}");
        assert!(error.contains("\"four\"") && error.contains("u32"), "{error}");
    }

    #[test]
    fn the_environment_is_over_the_file() {
        let text = "[log]\npartitions = 4\n";
        let loaded = load_text(text, &[("SLUICE_LOG__PARTITIONS", "2")]).expect("loads");
        assert_eq!(loaded.config.log.partitions, 2);
    }

    #[test]
    fn values_out_of_range_are_all_named() {
        let text = "[log]\npartitions = 0\n[drain]\ndeadline_ms = 0\n";
        let error = load_text(text, &[]).expect_err("refused");
        assert!(error.contains("log.partitions") && error.contains("drain.deadline_ms"), "{error}");
    }
}
