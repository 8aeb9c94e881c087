//! Cost of fan out above the stores, per event.
fn main() {}
