//! The results of a run.

use super::report::Report;
use crate::meta::{Meta, Tier};

/// The reason why a claim that matched the filter was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The claim belongs to a more expensive tier.
    Tier,
    /// The claim needs real data, and the run excludes such claims.
    Real,
    /// The claim needs data that are fetched on request, and they were not requested.
    OnRequest,
    /// The run was interrupted before the claim started.
    Interrupted,
}

/// The results of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The reports in registered order.
    pub reports: Vec<Report>,
    /// The claims that matched the filter but were not run, and why.
    pub left_out: Vec<(Meta, LeftOut)>,
    /// The tier.
    pub tier: Tier,
    /// The seed.
    pub seed: u64,
    /// True if the seed was drawn at random.
    pub fresh: bool,
    /// True if a filter was set.
    pub filtered: bool,
}

impl Run {
    /// Returns the reports whose verdict is not as the kind demands: theorems not Upheld, counterexamples not Refuted, and empirical
    /// claims that panicked or are malformed. Claims that could not run are not among them.
    pub fn failures(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter().filter(|report| !report.as_expected() && !report.did_not_run())
    }

    /// Returns the ids of selected claims that could not run.
    pub fn not_run(&self) -> Vec<&'static str> {
        let unavailable =
            self.reports.iter().filter(|report| report.did_not_run()).map(|report| report.meta.id);
        let interrupted = self.left_out.iter().filter(|(_, why)| *why == LeftOut::Interrupted);
        unavailable.chain(interrupted.map(|(meta, _)| meta.id)).collect()
    }
}
