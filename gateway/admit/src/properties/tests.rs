//! Properties against the reader that comes later.
