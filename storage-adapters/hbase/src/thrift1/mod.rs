//! Thrift1: bounded connections, and a pool of them over several servers.

pub(crate) mod channel;
pub(crate) mod connection;
pub(crate) mod pool;
pub(crate) mod protocol;
pub(crate) mod server;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

/// One call of HBase, for the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `mutateRowsTs`.
    Write,
    /// `getRows…`.
    Read,
    /// A scanner, opened to closed.
    Scan,
    /// Tables at the start.
    Tables,
}

// === impl Call ===

impl Call {
    pub(crate) const ALL: [Self; 4] = [Self::Write, Self::Read, Self::Scan, Self::Tables];

    /// Label of the figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Scan => "scan",
            Self::Tables => "tables",
        }
    }
}
