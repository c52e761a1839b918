//! The claims about products, kernels and optimisers come out as they must.

use collimate_claims::assert_claim;

#[test]
fn theorems_hold_and_false_beliefs_fall() {
    for claim in collimate_studies::numerics::claims().iter() {
        assert_claim(claim);
    }
}
