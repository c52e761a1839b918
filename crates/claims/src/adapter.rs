//! Claims inside `cargo test`.

use crate::{Budget, Claim, examine};

/// Runs a claim on the quick budget and panics with its report unless the verdict is the one its kind demands.
///
/// # Panics
/// When a theorem is not Upheld, a counterexample not Refuted, or an empirical claim malformed or panicking.
///
/// # Examples
/// ```
/// use collimate_claims::{Exact, Meta, Subject, assert_claim};
/// let meta = Meta::theorem("own/square", Subject::Own, "a square is not negative");
/// assert_claim(&Exact::new(meta).input(|_, stream| Some(stream.normal())).admits_all().margin(|x| x * x));
/// ```
#[track_caller]
pub fn assert_claim(claim: &dyn Claim) {
    assert_claim_with(claim, &Budget::quick());
}

/// As [`assert_claim`] with a budget of one's own.
///
/// # Panics
/// As [`assert_claim`].
#[track_caller]
pub fn assert_claim_with(claim: &dyn Claim, budget: &Budget) {
    let report = examine(claim, budget);
    assert!(report.as_expected(), "{report}");
}

/// Turns a claim into a test: `claim_test!(name, claim)`.
///
/// # Examples
/// ```
/// use collimate_claims::{Exact, Meta, Subject, claim_test};
/// claim_test!(squares, Exact::new(Meta::theorem("own/square", Subject::Own, "a square is not negative"))
///     .input(|_, stream| Some(stream.normal()))
///     .margin(|x| x * x));
/// ```
#[macro_export]
macro_rules! claim_test {
    ($name:ident, $claim:expr) => {
        #[test]
        fn $name() {
            $crate::assert_claim(&$claim);
        }
    };
}
