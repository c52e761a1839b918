//! Every claim has the verdict that its kind demands.

use collimate_claims::{Budget, Tier, examine};
use collimate_superposition::claims;

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
fn quick_claims_have_the_expected_verdict() {
    as_expected(Tier::Quick);
}

#[test]
fn standard_claims_have_the_expected_verdict() {
    as_expected(Tier::Standard);
}

#[test]
fn a_claim_has_a_source_and_one_sentence() {
    for claim in claims().iter() {
        let meta = claim.meta();
        assert!(meta.id.starts_with("superposition/"), "{}", meta.id);
        assert!(!meta.source.is_empty() && !meta.statement.ends_with('.'), "{}", meta.id);
    }
}
