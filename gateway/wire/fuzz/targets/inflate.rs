//! Fuzz target `inflate`; see `exercise.rs`.

#![no_main]

#[path = "../exercise.rs"]
#[allow(dead_code)] // the table of targets is the test's
mod exercise;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    exercise::exercise("inflate", input);
});
