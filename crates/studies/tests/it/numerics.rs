//! The claims about products, kernels and optimisers have the expected verdicts.

use collimate_claims::assert_claim;

#[test]
fn theorems_are_upheld_and_false_beliefs_refuted() {
    for claim in collimate_studies::numerics::claims().iter() {
        assert_claim(claim);
    }
}
