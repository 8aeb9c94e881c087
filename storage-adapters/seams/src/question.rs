//! Questions to a document store, and their answers.
//!
//! A question is what every store can answer exactly: filter, group, count,
//! count distinct users. Metrics, time zones, sorting and paging are the query
//! crate's business; it turns them into questions whose bucket edges are plain
//! milliseconds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{EventDocument, Field};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Event documents, by corrected time.
    Events,
    /// The first event of each user, by its corrected time.
    FirstSeen,
    /// Follow and unfollow events, kept for ever, by corrected time.
    Follows,
}

/// A condition on one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Every document.
    All,
    /// Every part holds.
    And(Vec<Filter>),
    /// Some part holds.
    Or(Vec<Filter>),
    /// The part does not hold.
    Not(Box<Filter>),
    /// Some value of the field passes the test. A document without a value
    /// passes none.
    Test(Field, Test),
}

/// A test of one text value.
#[derive(Debug, Clone)]
pub enum Test {
    /// Equals one of these.
    Is(Vec<String>),
    /// Contains one of these as a substring, case-sensitive.
    Contains(Vec<String>),
    /// Matches somewhere (`regex` syntax, linear time).
    Matches(regex::Regex),
    /// Is less: as numbers where both are, else as text by code point.
    Less(String),
    /// Is greater: as numbers where both are, else as text by code point.
    Greater(String),
    /// There is any value.
    Exists,
}

/// What documents are grouped by.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupKey {
    /// Buckets `[edges[i], edges[i + 1])` of corrected time, edges ascending.
    /// The key is the bucket's index.
    Time(Arc<[i64]>),
    /// The field's value; a document counts under each of several values, and
    /// under `Missing` where it has none.
    Field(Field),
}

/// What is measured in each group, over the documents that pass its own filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// Number of documents.
    Count(Filter),
    /// Number of distinct users (user id, else device id).
    Users(Filter),
    /// Number of distinct values of a field.
    Distinct(Field, Filter),
}

/// A question about one app.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// App.
    pub app_id: Arc<str>,
    /// What is looked at.
    pub source: Source,
    /// Corrected time, milliseconds: from, inclusive.
    pub from_ms: i64,
    /// Corrected time, milliseconds: to, exclusive.
    pub to_ms: i64,
    /// Over all measures.
    pub filter: Filter,
    /// Kind of answer.
    pub ask: Ask,
}

/// Kind of answer wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Measures per group.
    Groups {
        /// Group keys; none: one group over everything.
        by: Vec<GroupKey>,
        /// Measures, all of them in one pass.
        measures: Vec<Measure>,
        /// Refuse (not cut off) beyond this many groups.
        groups_max: usize,
    },
    /// The documents themselves in `(user, time, key)` order, reduced to who,
    /// when, what, and the values of some fields: for sessions and follow states.
    Visits {
        /// Fields whose first value is wanted.
        fields: Vec<Field>,
        /// Refuse beyond this many documents.
        visits_max: usize,
    },
}

/// The value of a group key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyValue {
    /// Index of a time bucket.
    Bucket(u32),
    /// A field's value.
    Text(Arc<str>),
    /// The document has no value there.
    Missing,
}

/// One group of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// A value for each group key.
    pub keys: Vec<KeyValue>,
    /// A value for each measure.
    pub values: Vec<u64>,
}

/// One document of a `Visits` answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Stands for one user within this answer: equal iff the user is.
    pub user: u128,
    /// Corrected time, milliseconds.
    pub time_ms: i64,
    /// The event's key, which orders events of the same millisecond.
    pub key: u128,
    /// Event name.
    pub name: Arc<str>,
    /// A value for each wanted field, `None` where it has none.
    pub fields: Vec<Option<Arc<str>>>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// To `Ask::Groups`: groups in no order; only groups in which some measure
    /// is not zero (with no group keys: always exactly one).
    Groups(Vec<Group>),
    /// To `Ask::Visits`.
    Visits(Vec<Visit>),
}

// === impl Filter ===

impl Filter {
    /// `field is one of values`.
    pub fn is<I: Into<String>>(field: Field, values: impl IntoIterator<Item = I>) -> Self {
        Self::Test(field, Test::Is(values.into_iter().map(Into::into).collect()))
    }

    /// Both hold; `All` vanishes.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, one) | (one, Self::All) => one,
            (Self::And(mut parts), other) => {
                parts.push(other);
                Self::And(parts)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }

    /// Whether a document passes: the meaning of a filter. Stores answer faster,
    /// but never differently.
    pub fn passes(&self, document: &EventDocument) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.passes(document)),
            Self::Or(parts) => parts.iter().any(|part| part.passes(document)),
            Self::Not(part) => !part.passes(document),
            Self::Test(field, test) => {
                document.values(field).iter().any(|value| test.passes(value))
            }
        }
    }
}

// === impl Test ===

impl Test {
    /// Whether one value passes.
    pub fn passes(&self, value: &str) -> bool {
        match self {
            Self::Is(values) => values.iter().any(|wanted| wanted == value),
            Self::Contains(parts) => parts.iter().any(|part| value.contains(part.as_str())),
            Self::Matches(regex) => regex.is_match(value),
            Self::Less(bound) => compare(value, bound).is_lt(),
            Self::Greater(bound) => compare(value, bound).is_gt(),
            Self::Exists => true,
        }
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Is(a), Self::Is(b)) | (Self::Contains(a), Self::Contains(b)) => a == b,
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            (Self::Less(a), Self::Less(b)) | (Self::Greater(a), Self::Greater(b)) => a == b,
            (Self::Exists, Self::Exists) => true,
            _ => false,
        }
    }
}

/// Numbers by value, everything else by code point; a number sorts before text.
fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite());
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}
