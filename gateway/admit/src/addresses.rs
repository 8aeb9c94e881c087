//! How often an address may come without a known key.
//!
//! The only limiter that strangers have a key in, so the only one with a cap:
//! when it is full and a sweep frees nothing, further addresses share one
//! bucket. Addresses behind one IPv6 /64 count as one.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use crate::config::GlobalLimits;
use crate::rate::{Ticks, wait_ms};

type Keyed = RateLimiter<IpAddr, HashMapStateStore<IpAddr>, Ticks, NoOpMiddleware<Duration>>;
type Shared = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>;

/// A full map is swept at most this often: a sweep looks at all of it.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Limits requests without a known key by address.
pub(crate) struct Addresses {
    keyed: Keyed,
    shared: Shared,
    addresses_max: usize,
    /// When the map was last swept. Held from the look at the map's size to the
    /// entry made in it, so that the cap is exact.
    swept_at: Mutex<Duration>,
    ticks: Ticks,
}

// === impl Addresses ===

impl Addresses {
    pub(crate) fn new(limits: &GlobalLimits, ticks: Ticks) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limits.unknown_keys_per_s))
            .allow_burst(at_least_one(limits.unknown_keys_burst));
        Self {
            keyed: RateLimiter::hashmap_with_clock(quota, ticks.clone()),
            shared: RateLimiter::direct_with_clock(quota, ticks.clone()),
            addresses_max: limits.addresses_max,
            swept_at: Mutex::new(ticks.now()),
            ticks,
        }
    }

    /// Counts a request without a known key; `Err`: milliseconds to wait.
    pub(crate) fn take(&self, peer: Option<IpAddr>) -> Result<(), u64> {
        let refused = match peer {
            Some(address) => {
                let mut swept_at = self.swept_at.lock();
                if self.has_room(&mut swept_at) {
                    self.keyed.check_key(&network(address))
                } else {
                    self.shared.check()
                }
            }
            None => self.shared.check(),
        };
        refused.map_err(|until| wait_ms(&until, &self.ticks))
    }

    /// Addresses remembered now.
    pub(crate) fn len(&self) -> usize {
        self.keyed.len()
    }

    fn has_room(&self, swept_at: &mut Duration) -> bool {
        if self.keyed.len() < self.addresses_max {
            return true;
        }
        let now = self.ticks.now();
        if now.saturating_sub(*swept_at) < SWEEP_EVERY {
            return false;
        }
        *swept_at = now;
        self.keyed.retain_recent();
        self.keyed.len() < self.addresses_max
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use sluice_telemetry::ManualClock;

    use super::*;

    fn addresses(addresses_max: usize) -> (Addresses, ManualClock) {
        let clock = ManualClock::at(1_000);
        let limits = GlobalLimits {
            unknown_keys_per_s: 1,
            unknown_keys_burst: 2,
            addresses_max,
            ..GlobalLimits::default()
        };
        (Addresses::new(&limits, Ticks::Clock(Arc::new(clock.clone()))), clock)
    }

    fn v4(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from(n)))
    }

    #[test]
    fn one_address_does_not_spend_what_is_anothers() {
        let (addresses, clock) = addresses(10);
        assert_eq!(addresses.take(v4(1)), Ok(()));
        assert_eq!(addresses.take(v4(1)), Ok(()));
        assert_eq!(addresses.take(v4(1)), Err(1_000));
        assert_eq!(addresses.take(v4(2)), Ok(()));
        clock.advance(1_000);
        assert_eq!(addresses.take(v4(1)), Ok(()));
    }

    #[test]
    fn a_flood_of_addresses_stays_within_the_cap() {
        let (addresses, clock) = addresses(1_000);
        let mut refused = 0;
        for n in 0..100_000 {
            refused += u32::from(addresses.take(v4(n)).is_err());
            assert!(addresses.len() <= 1_000);
        }
        // The shared bucket holds two.
        assert_eq!(refused, 100_000 - 1_000 - 2);
        clock.advance(5_000);
        assert_eq!(addresses.take(v4(7_000_000)), Ok(()));
        assert_eq!(addresses.len(), 1, "a sweep forgets whoever has a full bucket");
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let (addresses, _clock) = addresses(10);
        for n in 0..3u16 {
            let peer = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
            assert_eq!(addresses.take(Some(peer)).is_ok(), n < 2);
        }
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(network(mapped), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(addresses.len(), 1);
    }
}
