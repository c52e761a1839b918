//! The run of an exact claim: random inputs, guided search, shrinking.

use super::search::{Search, violates};
use super::{guided, shrink};
use crate::budget::Budget;
use crate::context::Context;
use crate::in_order;
use crate::outcome::{Counterexample, Outcome};
use crate::verdict::{Verdict, Why};
use std::ops::ControlFlow;

/// The numbers of margin evaluations after the random inputs.
struct Effort {
    guided: u64,
    shrink: u64,
}

impl Effort {
    /// Scales the effort of the budget to a claim with `count` random inputs.
    fn of(budget: &Budget, count: u64) -> Self {
        let share = count as f64 / budget.inputs.max(1) as f64;
        // Even a claim with few inputs needs enough evaluations to find a small counterexample.
        let shrink = ((budget.shrink as f64 * share) as u64).max(500).min(budget.shrink);
        Self { guided: (budget.guided as f64 * share) as u64, shrink }
    }
}

impl Search {
    /// Judges the claim.
    pub(super) fn run(&self, context: &mut Context) -> Outcome {
        if let Some(reason) = self.invalid() {
            return Outcome::inconclusive(Why::Invalid(reason.to_owned()));
        }
        let count = self.inputs.map_or(context.budget().inputs, |by_tier| context.by_tier(by_tier));
        let effort = Effort::of(context.budget(), count);
        let (mut judged, mut rejected, mut interrupted) = (0u64, 0u64, false);
        let mut worst = guided::Worst::new();
        let mut found = None;
        let base = context.named_stream("inputs");
        in_order::for_each(
            context.budget().threads,
            count,
            |i| self.sample(&mut base.child(i)),
            |i, sample| {
                match sample {
                    None => rejected += 1,
                    Some(sample) => {
                        judged += 1;
                        if violates(sample.margin) {
                            found = Some(sample);
                            return ControlFlow::Break(());
                        }
                        worst.offer(sample);
                    }
                }
                if i % 64 == 0 {
                    interrupted = context.interrupted();
                    context.progress(i, count, "random inputs");
                }
                if interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        let mut margin = worst.smallest();
        let mut tried = 0;
        let vacuous = 2 * rejected > judged + rejected;
        if found.is_none() && !vacuous && !interrupted {
            let climbed = guided::search(self, &worst, effort.guided, context);
            tried = climbed.evaluations;
            margin = margin.min(climbed.smallest);
            found = climbed.found;
        }
        let mut outcome = Outcome::upheld().trials(judged);
        (outcome.rejected, outcome.guided) = (rejected, tried);
        if let Some(violation) = found {
            let (smallest, steps) = shrink::shrink(self, violation, effort.shrink, context);
            outcome.verdict = Verdict::Refuted;
            outcome.counterexample = Some(Counterexample {
                literal: self.literal(&smallest.input, &smallest.dims, Some(smallest.margin)),
                dims: self.dims.iter().map(|(name, _)| *name).zip(smallest.dims.iter().copied()).collect(),
                margin: smallest.margin,
                shrink_steps: steps,
            });
            let by = if tried > 0 { "guided search" } else { "random inputs" };
            let note = format!("violation found by {by}, on input number {}", judged + tried);
            return outcome.margin(smallest.margin).note(note);
        }
        if interrupted {
            outcome.verdict = Verdict::Inconclusive(Why::Interrupted);
        } else if vacuous || judged == 0 {
            outcome.verdict = Verdict::Inconclusive(Why::Vacuous { rejected, drawn: judged + rejected });
        } else {
            outcome = outcome.note(no_violation(judged, tried));
        }
        if margin.is_finite() { outcome.margin(margin) } else { outcome }
    }
}

/// Returns the sentence that says what "no violation" means.
fn no_violation(judged: u64, guided: u64) -> String {
    let share = collimate_figures::short_number(3.0 / judged as f64);
    let mut text = format!(
        "no violation in {judged} inputs; violating share below {share} (3/N) at 95 % under this generator"
    );
    if guided > 0 {
        text += &format!("; guided search tried {guided} more, which do not count in N");
    }
    text
}
