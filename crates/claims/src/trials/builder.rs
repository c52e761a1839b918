//! The builder that all claims judged from independent trials share.

use crate::claim::Claim;
use crate::context::{Alarm, Context};
use crate::in_order;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::verdict::{Verdict, Why};
use crate::zone::Zone;
use collimate_stream::RngStream;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The error rates of a statistical claim, fixed when the claim is registered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// The bound on the probability of Upheld when the claim is false.
    pub false_support: f64,
    /// The bound on the probability of Refuted when the claim is true.
    pub false_refutation: f64,
}

impl Default for Errors {
    /// Returns 10⁻⁴ for both rates: over a hundred claims, the probability of any error stays near one in a hundred.
    fn default() -> Self {
        Self { false_support: 1e-4, false_refutation: 1e-4 }
    }
}

impl Errors {
    /// Returns the reason why the rates make no sense, if there is one: each must be positive and below `limit`, and their sum must
    /// be below 1, because a coin reaches 1 without any data.
    pub(super) fn fault(&self, limit: f64) -> Option<String> {
        let (support, refutation) = (self.false_support, self.false_refutation);
        let fits = |rate: f64| rate > 0.0 && rate < limit;
        (!fits(support) || !fits(refutation) || support + refutation >= 1.0).then(|| {
            format!(
                "error rates must lie between 0 and {limit}, with a sum below 1, given {support} and {refutation}"
            )
        })
    }
}

/// A claim judged from independent trials. [`Proportion`](crate::Proportion), [`Mean`](crate::Mean),
/// [`Quantile`](crate::Quantile) and [`Approximate`](crate::Approximate) are this struct, each with its own judge `J`.
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim, so the outcome is the same on any number of threads.
pub struct Trials<J: Judge> {
    meta: Meta,
    pub(super) zone: Zone,
    pub(super) errors: Errors,
    pub(super) caps: [u64; 3],
    trial: Option<Trial<J::Value>>,
    pub(super) judge: J,
}

type Trial<T> = Arc<dyn Fn(&mut RngStream) -> T + Send + Sync>;

/// The way a claim is judged from its trials. Public only because [`Trials`] requires it; it cannot be named outside this crate.
pub trait Judge: Send + Sync + Sized {
    /// The result of one trial.
    type Value: Send + 'static;

    /// The name of the form, as an error message says it.
    const FORM: &'static str;

    /// Returns the first thing that is wrong with the declaration of the claim.
    fn invalid(claim: &Trials<Self>) -> Option<String>;

    /// Runs the trials and judges them.
    fn judge(claim: &Trials<Self>, context: &Context) -> Outcome;
}

/// A judge whose hypotheses are two values of the quantity itself.
pub trait ComparesValues: Judge {}

impl<J: Judge> Trials<J> {
    pub(super) fn of(meta: Meta, cap: u64, judge: J) -> Self {
        let zone = Zone::new(f64::NAN, f64::NAN);
        Self { meta, zone, errors: Errors::default(), caps: [cap; 3], trial: None, judge }
    }

    /// Sets the bounds on the probabilities of false support and of false refutation; both are 10⁻⁴ by default.
    pub fn errors(mut self, false_support: f64, false_refutation: f64) -> Self {
        self.errors = Errors { false_support, false_refutation };
        self
    }

    /// Sets the number of trials after which the claim is Inconclusive, in every tier.
    pub fn cap(self, trials: u64) -> Self {
        self.caps([trials; 3])
    }

    /// Sets the cap on the number of trials by tier (quick, standard, nightly).
    pub fn caps(mut self, by_tier: [u64; 3]) -> Self {
        self.caps = by_tier;
        self
    }

    /// Sets the function that runs one independent trial.
    pub fn trial(mut self, trial: impl Fn(&mut RngStream) -> J::Value + Send + Sync + 'static) -> Self {
        self.trial = Some(Arc::new(trial));
        self
    }

    /// Runs trials in order and hands each result to `take`, until it gives a verdict. Trials after the deciding one are dropped.
    ///
    /// Without a verdict, the result is Inconclusive: [`Why::Interrupted`] after an interruption, and [`Why::Cap`] when all `cap`
    /// trials were taken.
    pub(super) fn run_until(
        &self,
        context: &Context,
        cap: u64,
        mut take: impl FnMut(u64, J::Value) -> Option<Verdict>,
    ) -> Verdict {
        let trial = Arc::clone(self.trial.as_ref().expect("checked before the claim is judged"));
        let base = context.named_stream("trials");
        let mut decided = None;
        let mut alarm = Alarm::default();
        in_order::for_each_abandoning(
            context.budget().threads,
            cap,
            context.watched(),
            move |i| trial(&mut base.child(i)),
            |i, value| {
                decided = take(i, value);
                if decided.is_some() || context.interrupted() {
                    return ControlFlow::Break(());
                }
                context.progress(i + 1, cap, "trials");
                ControlFlow::Continue(())
            },
            |i, since| {
                if alarm.rings(since) {
                    context.no_result(i, cap, since, &format!("in trial {i}"));
                }
                if context.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        let open = || if context.interrupted() { Why::Interrupted } else { Why::Cap };
        decided.unwrap_or_else(|| Verdict::Inconclusive(open()))
    }
}

impl<J: ComparesValues> Trials<J> {
    /// Sets the value at which the claim is false and the value at which it is true. Either may be the larger one.
    pub fn hypotheses(mut self, null: f64, alternative: f64) -> Self {
        self.zone = Zone::new(null, alternative);
        self
    }

    /// Claims that the value is at least `threshold`, with an indifference zone of width `zone` below it.
    pub fn at_least(mut self, threshold: f64, zone: f64) -> Self {
        self.zone = Zone::at_least(threshold, zone);
        self
    }

    /// Claims that the value is at most `threshold`, with an indifference zone of width `zone` above it.
    pub fn at_most(mut self, threshold: f64, zone: f64) -> Self {
        self.zone = Zone::at_most(threshold, zone);
        self
    }
}

impl<J: Judge> Claim for Trials<J> {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        let missing = || self.trial.is_none().then(|| format!("{} needs `trial`", J::FORM));
        let empty = || (context.by_tier(self.caps) == 0).then(|| format!("{} needs a trial", J::FORM));
        match J::invalid(self).or_else(missing).or_else(empty) {
            Some(reason) => Outcome::inconclusive(Why::Invalid(reason)),
            None => J::judge(self, context),
        }
    }
}

/// Returns the sentence on hypotheses and error rates that every report of a statistical claim carries.
pub(super) fn rates(zone: Zone, errors: Errors, cap: u64) -> String {
    let (null, alternative) =
        (collimate_figures::short_number(zone.null), collimate_figures::short_number(zone.alternative));
    let (less, more) = if zone.rising() { ("≤", "≥") } else { ("≥", "≤") };
    format!(
        "Upheld with probability at most {} if the value is {less} {null}; Refuted with probability at most {} if it is {more} {alternative}; cap {cap}",
        errors.false_support, errors.false_refutation
    )
}
