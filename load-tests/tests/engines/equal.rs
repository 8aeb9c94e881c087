//! The same events, the same answers: embedded and real engines.
