//! The claims of this crate, run as a user runs them.

use collimate_claims::{Budget, Kind, examine};
use collimate_transformer::claims::{Models, SmallModels, claims};

#[test]
fn every_claim_comes_out_as_its_kind_demands() {
    let claims = claims();
    claims.check().unwrap();
    assert_eq!(claims.iter().filter(|claim| claim.meta().kind == Kind::Counterexample).count(), 6);
    for claim in claims.iter() {
        let start = std::time::Instant::now();
        let report = examine(claim, &Budget::quick());
        println!("{} took {:?}", claim.meta().id, start.elapsed());
        assert!(report.as_expected(), "{report}");
    }
}

#[test]
fn every_small_model_uses_all_its_parameters() {
    let models = SmallModels::all();
    for architecture in 0..models.count() {
        let mut stream = collimate_stream::RngStream::new(3, 0);
        let model = models.model(architecture, &mut stream);
        for (name, x) in model.parameters() {
            let drawn = x.iter().all(|x: &f64| x.is_finite() && *x != 0.0 && *x != 1.0);
            assert!(drawn, "{}: {name}", model.description().name);
        }
    }
}
