use collimate_attention::claims::{self, SelfAttention, future_is_invisible, permutation_equivariance};
use collimate_attention::{Attention, Mask, Offset};
use collimate_claims::{Budget, Kind, examine};
use ndarray::Array2;

#[test]
fn every_claim_comes_out_as_its_kind_demands() {
    let claims = claims::claims();
    claims.check().unwrap();
    assert!(claims.iter().filter(|claim| claim.meta().kind == Kind::Counterexample).count() >= 5);
    for claim in claims.iter() {
        let report = examine(claim, &Budget::quick());
        assert!(report.as_expected(), "{report}");
    }
}

#[test]
fn counterexamples_are_the_smallest() {
    let claims = claims::claims();
    let found = |id| examine(claims.get(id).unwrap(), &Budget::quick()).outcome.counterexample.unwrap();
    assert_eq!(found("attention/causal-permutation-equivariance").dims, [("tokens", 2), ("width", 1)]);
    assert_eq!(found("attention/pattern-rank").dims, [("tokens", 2), ("width", 1)]);
    assert_eq!(found("attention/correlated-scores-stay-small").dims, [("width", 2)]);
    assert_eq!(found("attention/rotary-decays").dims, [("pairs", 1)]);
    assert_eq!(found("attention/global-lipschitz").dims, [("tokens", 2), ("width", 1)]);
}

/// The rows in reverse order.
struct Reverse;

impl SelfAttention for Reverse {
    fn attend(&self, x: &Array2<f64>) -> Array2<f64> {
        x.slice(ndarray::s![..;-1, ..]).to_owned()
    }
}

#[test]
fn claims_judge_attention_that_is_not_ours() {
    assert!(examine(&permutation_equivariance(Reverse), &Budget::quick()).refuted());
    assert!(examine(&future_is_invisible(Reverse), &Budget::quick()).refuted());
    let shifted = Attention::scaled_dot_product().mask(Mask::causal(Offset::fixed(1)));
    assert!(examine(&future_is_invisible(shifted), &Budget::quick()).refuted());
}
