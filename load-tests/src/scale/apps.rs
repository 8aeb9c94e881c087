//! More apps, each with a key, limits and metrics of its own.

use super::context::{Context, LogOf};
use super::load::{self, Point};
use super::table::Table;
use crate::drive::Plan;
use crate::drive::shape::Shape;

const APPS: [u32; 4] = [1, 10, 100, 1_000];
/// What write keys begin with.
const KEY: &str = "scale-write-key";

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let note = "collector on one core, JSON, 50 events a batch; each batch is of an app at random";
    let mut table = Table::new("apps", "apps", note);
    let mut points = Vec::new();
    for apps in context.values(&APPS) {
        let log = LogOf::Null(4);
        let placed = context.collector(&log, context.cores.one(), &config(apps))?;
        let shape = Shape { apps, ..Shape::USUAL };
        let plan = Plan { shape, ..context.plan() };
        points.push(Point::new(log.name(), &apps.to_string(), placed, plan)?.key(KEY));
    }
    load::measure(context, &mut table, points).await?;
    Ok(table)
}

fn config(apps: u32) -> String {
    let app = |n| format!("[apps.app-{n}]\nwrite_keys = [\"{KEY}-{n}\"]\n");
    (0..apps).map(app).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_a_run_may_use_is_configured() {
        let (text, shape) = (config(7), Shape { apps: 7, ..Shape::USUAL });
        let keys = (0..200).filter_map(|batch| shape.key(KEY, batch));
        for key in keys {
            assert!(text.contains(&format!("[\"{key}\"]")), "{key} is not in\n{text}");
        }
        assert_eq!(text.matches("[apps.").count(), 7);
    }
}
