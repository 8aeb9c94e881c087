//! Keys, tokens, reloads and rates from the outside.
