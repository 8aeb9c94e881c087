//! Memory stays within its bound, forgetting goes one by one and about oldest first,
//! and many threads have one winner a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sluice_remember::{BYTES_MIN, Fate, RememberConfig, Remembered, Verdict};
use sluice_seams::Key;
use sluice_telemetry::Registry;

fn remembered(registry: &Registry) -> Arc<Remembered> {
    let config = RememberConfig { bytes_max: BYTES_MIN, ..Default::default() };
    Remembered::new(config, registry).expect("valid bounds")
}

fn gauge(registry: &Registry, name: &str) -> u64 {
    let text = registry.encode().expect("encodes");
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    let value = line.and_then(|line| line.rsplit(' ').next()).expect("the family is there");
    value.parse().expect("a whole number")
}

#[test]
fn tables_are_allocated_when_keys_arrive() {
    let registry = Registry::new();
    let set = remembered(&registry);
    assert_eq!(gauge(&registry, "sluice_remember_bytes"), 0);
    set.seed(Key(1), 1);
    let bytes = gauge(&registry, "sluice_remember_bytes");
    assert!(bytes > 0 && bytes <= BYTES_MIN as u64 / 16, "{bytes}");
}

/// Ten times what fits: bytes stay bounded, the newest are there, what is counted is what
/// is held.
#[test]
fn oldest_are_forgotten_one_by_one() {
    let registry = Registry::new();
    let set = remembered(&registry);
    let capacity = set.capacity() as u128;
    for n in 0..capacity * 10 {
        set.seed(Key(n), 1);
        if n % 1_000 == 0 {
            assert!(gauge(&registry, "sluice_remember_bytes") <= BYTES_MIN as u64);
        }
    }
    let newest = capacity * 10 - 1;
    let back = |percent: u128| newest - capacity * percent / 100;
    let kept = |from, to| (from..to).filter(|&n| set.contains(Key(n))).count() as f64;
    let share = |from, to| kept(back(from), back(to)) / (back(to) - back(from)) as f64;
    // P(X < 22) of Poisson: 0.99999 on average up to 40 %, 0.53 down to 0.46 about 100 %.
    assert!(share(40, 0) > 0.999, "{}", share(40, 0));
    assert!((0.4..0.6).contains(&share(105, 95)), "{}", share(105, 95));
    assert!(!set.contains(Key(0)));
    let held = kept(0, newest + 1) as u64;
    assert_eq!(held, gauge(&registry, "sluice_remember_keys"));
    assert_eq!(held as u128, capacity, "every slot is in use");
    let forgotten = gauge(&registry, "sluice_remember_forgotten_total");
    assert_eq!(held + forgotten, newest as u64 + 1);
}

/// Threads fight over few keys. A winner that releases makes room for another;
/// a winner that confirms is the only one ever.
#[test]
fn one_winner_a_key_at_a_time() {
    const KEYS: usize = 64;
    const ROUNDS: usize = 3_000;
    let set = remembered(&Registry::new());
    let holders: Arc<Vec<AtomicU32>> = Arc::new((0..KEYS).map(|_| AtomicU32::new(0)).collect());
    let confirmed: Arc<Vec<AtomicU32>> = Arc::new((0..KEYS).map(|_| AtomicU32::new(0)).collect());
    let released = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let (set, holders) = (Arc::clone(&set), Arc::clone(&holders));
            let (confirmed, released) = (Arc::clone(&confirmed), Arc::clone(&released));
            std::thread::spawn(move || {
                let mut random = thread.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
                for _ in 0..ROUNDS {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let at = [(random >> 33) as usize % KEYS, (random >> 43) as usize % KEYS];
                    let keys = at.map(|at| (Key(at as u128), 1));
                    let mut guard = set.reserve(&keys).expect("room");
                    let won: Vec<usize> =
                        (0..2).filter(|&n| matches!(guard.verdicts()[n], Verdict::Fresh)).collect();
                    for &n in &won {
                        assert_eq!(holders[at[n]].fetch_add(1, Ordering::SeqCst), 0);
                        assert_eq!(confirmed[at[n]].load(Ordering::SeqCst), 0);
                    }
                    // Rarely confirm, so that keys are fought over for long.
                    let keep = (random >> 55) % 64 == 0;
                    for &n in &won {
                        holders[at[n]].fetch_sub(1, Ordering::SeqCst);
                        if keep {
                            confirmed[at[n]].fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    if keep {
                        guard.confirm(won);
                    } else {
                        released.fetch_add(won.len() as u64, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no assertion failed"));
    assert_eq!(set.in_flight(), 0);
    assert!(released.load(Ordering::SeqCst) > 0);
    for (at, count) in confirmed.iter().enumerate() {
        let count = count.load(Ordering::SeqCst);
        assert!(count <= 1, "key {at} had {count} confirmed winners");
        assert_eq!(set.contains(Key(at as u128)), count == 1);
    }
}

/// Tasks wait for one another and try again when released, until one confirms.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiters_take_over_until_one_confirms() {
    let set = remembered(&Registry::new());
    for key in 0..50u128 {
        let tries = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (set, tries) = (Arc::clone(&set), Arc::clone(&tries));
                tokio::spawn(async move {
                    for _ in 0..1_000 {
                        let mut guard = set.reserve(&[(Key(key), 7)]).expect("room");
                        match guard.verdicts()[0].clone() {
                            Verdict::Fresh => {
                                tokio::task::yield_now().await;
                                // The first four fail to append.
                                if tries.fetch_add(1, Ordering::SeqCst) < 4 {
                                    drop(guard);
                                    return false;
                                }
                                guard.confirm([0]);
                                return true;
                            }
                            Verdict::InFlight(waiter) => match waiter.fate().await {
                                Fate::Appended => return false,
                                Fate::Released => tokio::task::yield_now().await,
                            },
                            Verdict::Remembered { .. } => return false,
                            Verdict::Twin { .. } => panic!("one key, no twin"),
                        }
                    }
                    panic!("it never got its turn");
                })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            let won = tokio::time::timeout(std::time::Duration::from_secs(10), task).await;
            winners += u32::from(won.expect("no one waits for ever").expect("no panic"));
        }
        assert_eq!((winners, tries.load(Ordering::SeqCst)), (1, 5));
    }
}
