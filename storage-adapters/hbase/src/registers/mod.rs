//! Registers: cells of a user that several writers fill, without turns.
//!
//! A register is a value that only ever grows in an order of its own: when a
//! user was seen (a span that widens), the latest set of a property, the
//! earliest set-once. HBase alone cannot keep one: the cell with the larger
//! timestamp wins, and Thrift1 has one timestamp for a whole call, so that the
//! event's time as the timestamp would cost a round trip for every distinct
//! millisecond and could not decide ties.
//!
//! So each writer (one open store) has a cell of its own in the register, named
//! by its random id, and the register's value is the join of the cells:
//!
//! * A writer reads a user once, joins what it finds with what it brings, and
//!   puts the join into its own cell; nobody else ever writes there. A batch of
//!   any size is one call.
//! * Timestamps are the writer's own clock, which only rises: a put that comes
//!   late, after its call was given up, loses to every put made since.
//! * A put holds everything that its writer has issued for that register, also
//!   what is still on its way or was given up, so that two calls at once do not
//!   undo each other and a cell never loses what somebody has seen in it.
//! * A write is left out only where the join known to be *durable* holds it.
//! * Cells of others are deleted once an own, durable cell holds strictly more,
//!   at the very timestamp that was read: what
//!   their writer puts later stays. So no value is ever lost, and cells of
//!   writers that are gone do not gather.

pub(crate) mod cache;
pub(crate) mod value;

#[cfg(test)]
mod tests;
