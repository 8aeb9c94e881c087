//! Measures by the CPU time of this process, user and system, of all threads:
//! what a machine that does nothing else could do with one core. Wall time says
//! more about the neighbours than about the code.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What one round took.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// CPU time of the process.
    pub cpu: Duration,
    /// Time on the wall.
    pub wall: Duration,
}

/// Runs from here.
pub struct Stopwatch {
    cpu: Duration,
    wall: Instant,
}

// === impl Stopwatch ===

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self { cpu: cpu(), wall: Instant::now() }
    }

    /// What was spent since the start.
    pub fn spent(&self) -> Spent {
        Spent { cpu: cpu() - self.cpu, wall: self.wall.elapsed() }
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Least, median and greatest CPU time of rounds, nanoseconds for one of `of`.
pub fn spread(rounds: &[Spent], of: usize) -> [f64; 3] {
    let mut each: Vec<f64> =
        rounds.iter().map(|spent| spent.cpu.as_nanos() as f64 / of as f64).collect();
    each.sort_unstable_by(f64::total_cmp);
    [each[0], each[each.len() / 2], each[each.len() - 1]]
}

/// Prints one line: nanoseconds an event and events per CPU-second.
pub fn report(name: &str, rounds: &[Spent], events: usize) {
    let [least, median, greatest] = spread(rounds, events);
    let wall: f64 = rounds.iter().map(|spent| spent.wall.as_secs_f64()).sum();
    println!(
        "{name:<34} {median:>8.0} ns/event ({least:.0} to {greatest:.0})  {:>9.0} events/CPU-s \
         ({:.0} to {:.0})  {} rounds, {wall:.1} s",
        1e9 / median,
        1e9 / greatest,
        1e9 / least,
        rounds.len(),
    );
}

/// Whether a part of a bench is wanted: all are, or those whose name holds a
/// word of the command line.
pub fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}
