//! A question, prepared once for all segments: every field it reads and every
//! test it makes gets a number.

use std::sync::Arc;

use sluice_seams::question::Test;
use sluice_seams::{Field, Filter, GroupKey, Measure, NamedField};

/// Fields and tests of a question.
#[derive(Debug, Default)]
pub struct Plan {
    /// Fields read, each once.
    pub fields: Vec<Field>,
    /// Tests made: the field's number and the test.
    pub tests: Vec<(usize, Test)>,
}

/// A filter whose tests are numbers.
#[derive(Debug)]
pub enum Node {
    /// Every part holds; without parts: always.
    And(Vec<Node>),
    /// Some part holds.
    Or(Vec<Node>),
    /// The part does not hold.
    Not(Box<Node>),
    /// The test of this number holds.
    Test(usize),
}

/// A group key whose field is a number.
#[derive(Debug)]
pub enum By {
    /// Buckets between edges, milliseconds.
    Time(Arc<[i64]>),
    /// Values of a field.
    Field(usize),
}

/// A measure whose field is a number.
#[derive(Debug)]
pub enum Gauge {
    /// Documents.
    Count(Node),
    /// Distinct values of a field; users are those of the field `user`.
    Distinct(usize, Node),
}

// === impl Plan ===

impl Plan {
    /// The number of a field.
    pub fn field(&mut self, field: &Field) -> usize {
        self.fields.iter().position(|held| held == field).unwrap_or_else(|| {
            self.fields.push(field.clone());
            self.fields.len() - 1
        })
    }

    /// A filter with its tests numbered; equal tests share a number.
    pub fn filter(&mut self, filter: &Filter) -> Node {
        match filter {
            Filter::All => Node::And(Vec::new()),
            Filter::And(parts) => Node::And(parts.iter().map(|part| self.filter(part)).collect()),
            Filter::Or(parts) => Node::Or(parts.iter().map(|part| self.filter(part)).collect()),
            Filter::Not(part) => Node::Not(Box::new(self.filter(part))),
            Filter::Test(field, test) => {
                let test = (self.field(field), test.clone());
                Node::Test(self.tests.iter().position(|held| *held == test).unwrap_or_else(|| {
                    self.tests.push(test);
                    self.tests.len() - 1
                }))
            }
        }
    }

    /// A group key with its field numbered.
    pub fn by(&mut self, key: &GroupKey) -> By {
        match key {
            GroupKey::Time(edges) => By::Time(edges.clone()),
            GroupKey::Field(field) => By::Field(self.field(field)),
        }
    }

    /// A measure with its field and tests numbered.
    pub fn gauge(&mut self, measure: &Measure) -> Gauge {
        match measure {
            Measure::Count(filter) => Gauge::Count(self.filter(filter)),
            Measure::Users(filter) => {
                let user = self.field(&Field::Named(NamedField::User));
                Gauge::Distinct(user, self.filter(filter))
            }
            Measure::Distinct(field, filter) => {
                Gauge::Distinct(self.field(field), self.filter(filter))
            }
        }
    }
}
