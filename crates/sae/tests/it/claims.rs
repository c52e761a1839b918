//! Every claim comes out as its kind demands.

use collimate_claims::{Budget, Tier, examine};
use collimate_sae::claims::claims;

fn as_expected(tier: Tier) {
    let all = claims();
    all.check().unwrap();
    let mut failed = Vec::new();
    for claim in all.iter().filter(|claim| claim.meta().tier == tier) {
        let report = examine(claim, &Budget::of(tier));
        println!("{:7.2} s  {}", report.seconds, report);
        if !report.as_expected() {
            failed.push(report.meta.id);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn quick_claims_come_out_as_expected() {
    as_expected(Tier::Quick);
}

#[test]
fn standard_claims_come_out_as_expected() {
    as_expected(Tier::Standard);
}
