//! Progress of long commands: a bar on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a command is.
pub struct Progress {
    bar: ProgressBar,
    name: String,
    unit: &'static str,
    /// Tenths that were told in plain lines.
    told: u64,
}

// === impl Progress ===

impl Progress {
    /// Begins at 0 of `total`. `template` is indicatif's; `unit` is for plain lines.
    pub fn new(name: &str, total: u64, template: &str, unit: &'static str) -> Self {
        let bar = ProgressBar::new(total).with_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self { bar, name: name.to_owned(), unit, told: 0 }
    }

    /// A line of its own, above the bar where there is one.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            println!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Moves to `at`; without a bar, each further tenth is a line.
    pub fn at(&mut self, at: u64) {
        self.bar.set_position(at);
        let total = self.bar.length().unwrap_or(0).max(1);
        let tenth = at.saturating_mul(10) / total;
        if self.bar.is_hidden() && tenth > self.told {
            self.told = tenth;
            println!("{}: {at}/{total} {}", self.name, self.unit);
        }
    }

    /// The end.
    pub fn finish(&self) {
        self.bar.finish();
    }
}
