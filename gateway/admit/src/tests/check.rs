//! Every rule for values, as a table.
