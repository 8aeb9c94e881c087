//! Within its capacity the set answers as a plain set does, whatever the order
//! of reserving, confirming and releasing.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use sluice_remember::{BYTES_MIN, RememberConfig, Remembered, Reservations, Verdict};
use sluice_seams::Key;
use sluice_telemetry::Registry;

#[derive(Debug, Clone)]
enum Step {
    /// Reserve these keys in one call, keep the guard.
    Reserve(Vec<(u128, u64)>),
    /// Confirm one key of a guard that is held.
    Confirm {
        guard: usize,
        index: usize,
    },
    /// Drop a guard that is held.
    Drop {
        guard: usize,
    },
    Seed(u128, u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    Pending { guard: u64, index: usize },
    Durable,
}

struct Model {
    keys: HashMap<u128, (u64, Held)>,
    guards: Vec<(u64, Vec<u128>, Reservations)>,
    next: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || (0u128..40, 1u64..3);
    let step = prop_oneof![
        3 => prop::collection::vec(key(), 1..8).prop_map(Step::Reserve),
        3 => (0usize..8, 0usize..8).prop_map(|(guard, index)| Step::Confirm { guard, index }),
        2 => (0usize..8).prop_map(|guard| Step::Drop { guard }),
        1 => key().prop_map(|(key, fingerprint)| Step::Seed(key, fingerprint)),
    ];
    prop::collection::vec(step, 0..60)
}

fn remembered() -> Arc<Remembered> {
    let config = RememberConfig { bytes_max: BYTES_MIN, ..Default::default() };
    Remembered::new(config, &Registry::new()).expect("valid bounds")
}

impl Model {
    fn reserve(&mut self, set: &Arc<Remembered>, asked: &[(u128, u64)]) {
        let guard = self.next;
        self.next += 1;
        let keys: Vec<_> = asked.iter().map(|&(key, print)| (Key(key), print)).collect();
        let reservations = set.reserve(&keys).expect("far below the bound");
        for (index, (&(key, print), verdict)) in
            asked.iter().zip(reservations.verdicts()).enumerate()
        {
            let known = self.keys.get(&key).copied();
            match (known, verdict) {
                (None, Verdict::Fresh) => {
                    self.keys.insert(key, (print, Held::Pending { guard, index }));
                }
                (Some((known, Held::Durable)), Verdict::Remembered { same }) => {
                    assert_eq!(*same, known == print);
                }
                (Some((known, Held::Pending { guard: by, index: at })), verdict) => match verdict {
                    Verdict::Twin { first, same } if by == guard => {
                        assert_eq!((*first, *same), (at, known == print));
                    }
                    Verdict::InFlight(waiter) if by != guard => {
                        assert_eq!(waiter.same(), known == print);
                    }
                    other => panic!("{key}: {other:?} though guard {by} holds it"),
                },
                (known, verdict) => panic!("{key}: {verdict:?} though it is {known:?}"),
            }
        }
        self.guards.push((guard, asked.iter().map(|&(key, _)| key).collect(), reservations));
    }

    fn confirm(&mut self, guard: usize, index: usize) {
        let Some((guard, keys, reservations)) = self.guards.get_mut(guard) else { return };
        reservations.confirm([index]);
        let Some(key) = keys.get(index) else { return };
        if let Some((_, held)) = self.keys.get_mut(key)
            && *held == (Held::Pending { guard: *guard, index })
        {
            *held = Held::Durable;
        }
    }

    fn drop_guard(&mut self, guard: usize) {
        if guard < self.guards.len() {
            let (id, ..) = self.guards.swap_remove(guard);
            self.keys.retain(
                |_, (_, held)| !matches!(held, Held::Pending { guard, .. } if *guard == id),
            );
        }
    }
}

proptest! {
    #[test]
    fn answers_as_a_plain_set(steps in steps()) {
        let set = remembered();
        let mut model = Model { keys: HashMap::new(), guards: Vec::new(), next: 0 };
        for step in steps {
            match step {
                Step::Reserve(asked) => model.reserve(&set, &asked),
                Step::Confirm { guard, index } => model.confirm(guard, index),
                Step::Drop { guard } => model.drop_guard(guard),
                Step::Seed(key, print) => {
                    // At start nothing is in flight: seed only what is not.
                    if !matches!(model.keys.get(&key), Some((_, Held::Pending { .. }))) {
                        set.seed(Key(key), print);
                        model.keys.entry(key).or_insert((print, Held::Durable));
                    }
                }
            }
            let pending = model.keys.values().filter(|(_, held)| *held != Held::Durable).count();
            prop_assert_eq!(set.in_flight(), pending);
        }
        for key in 0..40 {
            let durable = matches!(model.keys.get(&key), Some((_, Held::Durable)));
            prop_assert_eq!(set.contains(Key(key)), durable);
        }
    }
}

/// A million keys that differ from the remembered ones in one bit each: none is
/// taken for one of them.
#[test]
fn a_hit_is_never_a_guess() {
    let set = remembered();
    let keys: Vec<u128> = (0..8_000u128).map(|n| n << 64 | n << 7).collect();
    keys.iter().for_each(|&key| set.seed(Key(key), 1));
    for &key in &keys {
        assert!(set.contains(Key(key)));
        for bit in 0..128 {
            let other = key ^ (1 << bit);
            assert_eq!(set.contains(Key(other)), keys.binary_search(&other).is_ok());
        }
    }
}
