//! Measures by the CPU time of this process, user and system, of all threads:
//! what a machine that does nothing else could do with one core. Wall time says
//! more about the neighbours than about the code.

use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Unit of CPU time in `/proc` (`USER_HZ`, 100 on every Linux that is built today).
const TICKS_PER_S: u64 = 100;

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

/// CPU time that a process has used, user and system, of all threads, to a
/// hundredth of a second; 0 once it has ended.
pub fn process_cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: fields 14 and 15 of proc(5).
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_S)
}

/// CPU time that this thread has used.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Cores that this thread may run on.
pub fn cores() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
}

/// Keeps this thread, and those that it starts from now on, to the first core
/// where there are two, and gives the second away: generator and gateway do not
/// share one.
///
/// # Errors
/// What the system said.
pub fn pin_apart() -> Result<Option<usize>, String> {
    match cores()[..] {
        [own, other, ..] => pin_where(Some(own)).map(|()| Some(other)),
        _ => Ok(None),
    }
}

/// Keeps this thread, and those that it starts from now on, to one core; to none
/// where none is given.
///
/// # Errors
/// Where there is no such core.
pub fn pin_where(core: Option<usize>) -> Result<(), String> {
    pin_to(core.as_slice())
}

/// Keeps this thread, and those that it starts from now on, to some cores; where
/// none is given, it stays as it is.
///
/// # Errors
/// Where there is no such core.
pub fn pin_to(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU {
            return Err(format!("core {core}: allowed is 0 to {}", CpuSet::MAX_CPU - 1));
        }
        set.set(*core);
    }
    if cores.is_empty() {
        return Ok(());
    }
    sched_setaffinity(None, &set).map_err(|error| format!("cores {cores:?}: {error}"))
}

/// Runs what works in this process on threads that may use these cores; blocks
/// until it is done.
///
/// # Errors
/// What it says, or that there are no such threads.
pub fn on_cores<T: Send>(
    cores: &[usize],
    work: impl Future<Output = Result<T, String>> + Send,
) -> Result<T, String> {
    let run = || {
        // Threads keep to the cores of the one that starts them.
        pin_to(cores)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(work)
    };
    let joined = || std::thread::scope(|scope| scope.spawn(run).join());
    tokio::task::block_in_place(joined).map_err(|_| "it panicked".to_owned())?
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
