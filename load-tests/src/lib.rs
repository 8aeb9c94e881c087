//! Loads, faults and oracles for whole gateways, from the outside.
//!
//! Nothing here is shared with the code that it checks: the oracle is told only
//! what was sent and what was acknowledged. `sluice-faulty` is the binary
//! `sluice` with faults between its parts; `load-tests` puts load on a gateway and
//! measures it.

// Benches allocate as the gateway does: the server crate names the allocator.
use sluice_server as _;

pub mod check;
pub mod children;
pub mod crowd;
pub mod disk;
pub mod drive;
pub mod faults;
pub mod gateway;
pub mod limits;
pub mod measure;
pub mod null;
pub mod peers;
pub mod population;
pub mod proxy;
pub mod reader;
pub mod report;
pub mod scale;
pub mod sender;
pub mod services;
pub mod soak;
pub mod stored;
pub mod traffic;
pub mod verdict;
