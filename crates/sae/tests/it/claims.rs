//! The verdict of every claim is as its kind demands.

use collimate_claims::{Budget, Runner, Tier};
use collimate_sae::claims::claims;

/// Runs the claims of a tier in one run, so that they share the dictionaries that are trained on planted data.
fn as_expected(tier: Tier) {
    let all = claims();
    let of_tier = || all.iter().map(|claim| claim.meta()).filter(|meta| meta.tier == tier);
    let runner = of_tier().fold(Runner::new(Budget::of(tier)), |runner, meta| runner.filter(meta.id));
    let run = runner.run(&all).unwrap();
    for report in &run.reports {
        println!("{:7.2} s  {report}", report.seconds);
    }
    assert!(run.reports.len() >= of_tier().count());
    let failed: Vec<&str> =
        run.reports.iter().filter(|report| !report.as_expected()).map(|report| report.meta.id).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn quick_claims_are_as_expected() {
    as_expected(Tier::Quick);
}

#[test]
fn standard_claims_are_as_expected() {
    as_expected(Tier::Standard);
}
