//! One claim, run alone or inside `cargo test`.

use super::report::Report;
use crate::budget::Budget;
use crate::claim::Claim;
use crate::context::{Context, NO_RESULT};
use crate::outcome::Outcome;
use crate::verdict::Why;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// Runs a claim. A panic inside becomes Inconclusive with its message.
///
/// # Determinism
/// One claim, budget and binary give one outcome, on any number of threads and beside any other claims.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Meta, Study, Subject, Verdict, Why, examine};
/// let meta = Meta::theorem("own/broken", Subject::Own, "this study works");
/// let report = examine(&Study::new(meta).run(|_| panic!("a bug")), &Budget::quick());
/// assert_eq!(report.outcome.verdict, Verdict::Inconclusive(Why::Panicked("a bug".to_owned())));
/// ```
pub fn examine(claim: &dyn Claim, budget: &Budget) -> Report {
    examine_in(claim, Context::new(claim.meta().id, budget))
}

/// Runs a claim like [`examine`], in a context with, for example, an interruption flag or a progress callback.
pub fn examine_in(claim: &dyn Claim, mut context: Context) -> Report {
    let budget = context.budget().clone();
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| claim.run(&mut context)))
        .unwrap_or_else(|payload| Outcome::inconclusive(Why::Panicked(message(&*payload))));
    Report {
        meta: *claim.meta(),
        outcome,
        tier: budget.tier,
        seed: budget.seed,
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// Returns the message of a panic, if it has one.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

/// Runs a claim on the quick budget, and panics with its report unless the verdict is as its kind demands.
///
/// # Panics
/// If a theorem is not Upheld, a counterexample is not Refuted, or an empirical claim is malformed or panics.
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

/// Runs a claim like [`assert_claim`], with a given budget. An input or a trial without a result after ten seconds is named on the
/// standard error.
///
/// # Panics
/// Like [`assert_claim`].
#[track_caller]
pub fn assert_claim_with(claim: &dyn Claim, budget: &Budget) {
    let id = claim.meta().id;
    let say = move |_: u64, _: u64, note: &str| {
        if note.starts_with(NO_RESULT) {
            eprintln!("{id}: {note}");
        }
    };
    let report = examine_in(claim, Context::new(id, budget).on_progress(Arc::new(say)));
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
