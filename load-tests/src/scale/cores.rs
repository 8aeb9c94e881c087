//! The cores of the machine, shared out between the generator and gateways; and
//! how far a gateway comes on one of them, two, … all.

use super::context::{Context, LogOf};
use super::load::{self, Point};
use super::table::Table;
use crate::drive::Plan;
use crate::measure::{cores, pin_to};

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    /// Half of them, at least one.
    pub generator: Vec<usize>,
    /// The others; none where there is only one core.
    pub gateway: Vec<usize>,
}

// === impl Cores ===

impl Cores {
    /// Shares them out and keeps this thread, and those that it starts from now
    /// on, to those of the generator.
    ///
    /// # Errors
    /// What the system said.
    pub fn split() -> Result<Self, String> {
        let split = Self::of(cores());
        pin_to(&split.generator)?;
        Ok(split)
    }

    fn of(mut all: Vec<usize>) -> Self {
        let gateway = all.split_off((all.len() / 2).max(1).min(all.len()));
        Self { generator: all, gateway }
    }

    /// One core for a gateway; none where it has to share.
    pub fn one(&self) -> &[usize] {
        &self.gateway[..self.gateway.len().min(1)]
    }

    /// All, the generator's too.
    pub fn all(&self) -> Vec<usize> {
        [&self.generator[..], &self.gateway[..]].concat()
    }

    /// 1, 2, 4 … of the gateway's, all of the gateway's, and all there are.
    fn steps(&self) -> Vec<Vec<usize>> {
        let most = self.gateway.len();
        let mut counts: Vec<usize> =
            (0..usize::BITS).map(|bit| 1 << bit).take_while(|count| *count < most).collect();
        counts.extend((most > 0).then_some(most));
        let mut steps: Vec<Vec<usize>> =
            counts.into_iter().map(|count| self.gateway[..count].to_vec()).collect();
        steps.push(self.all());
        steps
    }
}

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let shared = context.cores.all().len();
    let note = format!(
        "collector, JSON, 50 events a batch; the generator keeps to {} cores and shares them with \
         the gateway that has all {shared}",
        context.cores.generator.len(),
    );
    let mut table = Table::new("cores", "cores of the gateway", note);
    let mut points = Vec::new();
    for cores in context.cores.steps() {
        for log in [LogOf::Null(4), LogOf::Embedded(4)] {
            let gateway = context.collector(&log, &cores, "")?;
            let value = cores.len().to_string();
            points.push(Point::new(log.name(), &value, gateway, plan(context, &cores))?);
        }
    }
    load::measure(context, &mut table, points).await?;
    Ok(table)
}

/// Enough connections that every core has something to do.
fn plan(context: &Context, cores: &[usize]) -> Plan {
    let mut plan = context.plan();
    plan.connections = plan.connections.max(cores.len() * 8);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generator_and_gateway_share_no_core_but_where_all_are_wanted() {
        let four = Cores::of((0..4).collect());
        assert_eq!((&four.generator[..], &four.gateway[..]), (&[0, 1][..], &[2, 3][..]));
        assert_eq!(four.one(), [2]);
        assert_eq!(four.steps(), [vec![2], vec![2, 3], vec![0, 1, 2, 3]]);
        let twelve = Cores::of((0..12).collect());
        let sizes: Vec<usize> = twelve.steps().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 2, 4, 6, 12]);
    }

    #[test]
    fn two_cores_are_one_each_and_both() {
        let two = Cores::of(vec![3, 5]);
        assert_eq!(two.steps(), [vec![5], vec![3, 5]]);
    }

    #[test]
    fn a_single_core_is_shared() {
        let one = Cores::of(vec![0]);
        assert!(one.one().is_empty());
        assert_eq!(one.steps(), [vec![0]]);
    }
}
