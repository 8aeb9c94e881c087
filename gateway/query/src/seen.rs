//! Names that apps are known to have sent. What was sent once stays sent, though its
//! days are dropped: a question that names it need not ask the store again.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// Names that are kept, over all apps; beyond that all are forgotten.
const NAMES_MAX: usize = 100_000;

/// An app, a kind of name and a name.
type Name = (Arc<str>, &'static str, String);

/// Names known to be sent, bounded.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashSet<Name>>);

// === impl Seen ===

impl Seen {
    /// Those of `names` that are not known to be sent.
    pub(crate) fn unknown(
        &self,
        app: &Arc<str>,
        kind: &'static str,
        names: HashSet<String>,
    ) -> HashSet<String> {
        let seen = self.0.lock();
        let unknown = |name: &String| !seen.contains(&(Arc::clone(app), kind, name.clone()));
        names.into_iter().filter(unknown).collect()
    }

    /// Remembers names that were sent.
    pub(crate) fn know(&self, app: &Arc<str>, kind: &'static str, names: HashSet<String>) {
        let mut seen = self.0.lock();
        if seen.len() + names.len() > NAMES_MAX {
            seen.clear();
        }
        seen.extend(names.into_iter().map(|name| (Arc::clone(app), kind, name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> HashSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn names_are_known_by_app_and_kind() {
        let (seen, app, other) = (Seen::default(), Arc::from("a"), Arc::from("b"));
        seen.know(&app, "ids.", names(&["x"]));
        assert_eq!(seen.unknown(&app, "ids.", names(&["x", "y"])), names(&["y"]));
        assert_eq!(seen.unknown(&app, "properties.", names(&["x"])), names(&["x"]));
        assert_eq!(seen.unknown(&other, "ids.", names(&["x"])), names(&["x"]));
    }

    #[test]
    fn they_are_bounded() {
        let (seen, app) = (Seen::default(), Arc::from("a"));
        for part in 0..3 {
            let many = (0..NAMES_MAX / 2 + 1).map(|name| format!("{part}.{name}"));
            seen.know(&app, "ids.", many.collect());
            assert!(seen.0.lock().len() <= NAMES_MAX);
        }
    }
}
