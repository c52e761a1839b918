//! Exact claims: a signed margin over drawn inputs.

mod erased;
mod guided;
mod shrink;

use erased::Input;

use crate::{Budget, Case, Claim, Context, Counterexample, Meta, Outcome, Verdict, Why, in_order};
use collimate_stream::RngStream;
use std::marker::PhantomData;
use std::ops::{ControlFlow, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A literal longer than this is replaced by how to draw the input again.
const LONGEST_LITERAL: usize = 20_000;

/// A claim that a signed margin is never negative, judged on inputs drawn by a `(dims, seed)` strategy.
///
/// ```text
/// margin ≥ 0 on every admitted input: Upheld        margin < 0 or NaN on one: Refuted
/// ```
/// A violation is made smaller: first in the dimensions, with several seeds at each, then number by number.
/// When more than half of the inputs are rejected the claim is Inconclusive: "no violation" would say little.
/// Guided search then climbs towards a violation from the inputs with the smallest margins.
/// Numbers are only changed when [`Exact::admits`] says which inputs belong to the domain: a generator that
/// builds, say, orthonormal matrices must not be refuted by a matrix that is not.
///
/// # Determinism
/// The same seed gives the same outcome on any number of threads.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Exact, Meta, Subject, examine};
/// use ndarray::Array1;
/// let belief = Meta::counterexample("own/product", Subject::Own, "the product of numbers is at most their sum");
/// let claim = Exact::new(belief)
///     .dims(&[("n", 1..=6)])
///     .input(|dims, stream| Some(Array1::from_shape_fn(dims[0], |_| stream.normal())))
///     .admits(|x| x.iter().all(|v| v.abs() <= 10.0))
///     .margin(|x| x.sum() - x.product());
/// let report = examine(&claim, &Budget::quick());
/// assert!(report.refuted());
/// let found = report.outcome.counterexample.unwrap();
/// assert_eq!(found.dims, [("n", 2)]); // for one number the two agree
/// ```
pub struct Exact<I> {
    search: Search,
    input: PhantomData<fn(&I)>,
}

/// The claim without the type of its inputs, so that the search for violations is compiled once for all types.
struct Search {
    meta: Meta,
    dims: Vec<(&'static str, RangeInclusive<usize>)>,
    names: Vec<&'static str>,
    inputs: Option<[u64; 3]>,
    draw: Option<Box<dyn Fn(&[usize], &mut RngStream) -> Option<Input> + Send + Sync>>,
    admits: Option<Box<dyn Fn(&Input) -> bool + Send + Sync>>,
    margin: Option<Box<dyn Fn(&Input) -> f64 + Send + Sync>>,
}

/// An admitted input with its margin.
#[derive(Clone)]
struct Judged {
    input: Input,
    dims: Vec<usize>,
    margin: f64,
}

impl<I: Case> Exact<I> {
    /// A claim that still needs its inputs and its margin.
    pub fn new(meta: Meta) -> Self {
        let (dims, names) = (Vec::new(), Vec::new());
        let search = Search { meta, dims, names, inputs: None, draw: None, admits: None, margin: None };
        Self { search, input: PhantomData }
    }

    /// The named dimensions and the ranges they are drawn from; the smallest values should be the simplest case.
    pub fn dims(mut self, dims: &[(&'static str, RangeInclusive<usize>)]) -> Self {
        self.search.dims = dims.to_vec();
        self
    }

    /// Names for the parts of a tuple input, printed with the counterexample.
    pub fn names(mut self, names: &[&'static str]) -> Self {
        self.search.names = names.to_vec();
        self
    }

    /// How many random inputs to judge, by tier (quick, standard, nightly); without it the budget says.
    ///
    /// Guided search and shrinking get their share in proportion, so a costly margin needs only this number.
    pub fn inputs(mut self, by_tier: [u64; 3]) -> Self {
        self.search.inputs = Some(by_tier);
        self
    }

    /// How an input is drawn for given dimensions; `None` rejects the draw.
    pub fn input(
        mut self,
        draw: impl Fn(&[usize], &mut RngStream) -> Option<I> + Send + Sync + 'static,
    ) -> Self {
        self.search.draw = Some(Box::new(move |dims, stream| draw(dims, stream).map(Input::new)));
        self
    }

    /// The domain of the claim: drawn inputs outside it are rejected, and numbers may be changed within it.
    pub fn admits(mut self, domain: impl Fn(&I) -> bool + Send + Sync + 'static) -> Self {
        self.search.admits = Some(Box::new(move |input| domain(input.get())));
        self
    }

    /// Says that every finite input of the drawn shape belongs to the domain.
    pub fn admits_all(self) -> Self {
        self.admits(|input| input.coordinates().iter().all(|x| x.is_finite()))
    }

    /// The signed margin: at least zero where the claim holds, tolerance included.
    pub fn margin(mut self, margin: impl Fn(&I) -> f64 + Send + Sync + 'static) -> Self {
        self.search.margin = Some(Box::new(move |input| margin(input.get())));
        self
    }
}

impl Search {
    /// Draws an input at given dimensions and judges it; `None` when it is rejected.
    fn judge_at(&self, dims: Vec<usize>, stream: &mut RngStream) -> Option<Judged> {
        let input = (self.draw.as_ref()?)(&dims, stream)?;
        self.judge(input, dims)
    }

    /// Judges an input; `None` when it lies outside the domain. A panic names the input.
    fn judge(&self, input: Input, dims: Vec<usize>) -> Option<Judged> {
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let admitted = self.admits.as_ref().is_none_or(|admits| admits(&input));
            admitted.then(|| self.margin.as_ref().map_or(f64::NAN, |margin| margin(&input)))
        }));
        match judged {
            Ok(margin) => margin.map(|margin| Judged { input, dims, margin }),
            Err(payload) => {
                let text = crate::claim::message(&*payload);
                // Unwinding on without the hook: the panic was already printed once.
                std::panic::resume_unwind(Box::new(format!(
                    "{text}; on the input\n{}",
                    self.literal(&input, &dims, None)
                )))
            }
        }
    }

    /// Draws the dimensions, then the input.
    fn sample(&self, stream: &mut RngStream) -> Option<Judged> {
        let draw = |(_, range): &(_, RangeInclusive<usize>)| {
            range.start() + stream.below(range.end().saturating_sub(*range.start()) + 1)
        };
        let dims = self.dims.iter().map(draw).collect();
        self.judge_at(dims, stream)
    }

    /// The input as Rust source under a comment with its dimensions and margin.
    fn literal(&self, input: &Input, dims: &[usize], margin: Option<f64>) -> String {
        let mut head: Vec<String> =
            self.dims.iter().zip(dims).map(|((name, _), value)| format!("{name} = {value}")).collect();
        head.extend(margin.map(|margin| format!("margin = {}", collimate_figures::short_number(margin))));
        let head = head.join(", ");
        // A named part a line reads better than one long tuple.
        let (names, values) = match input.parts() {
            parts if parts.len() == self.names.len() => (self.names.clone(), parts),
            _ => (vec![if self.names.len() == 1 { self.names[0] } else { "input" }], vec![input.literal()]),
        };
        if values.iter().map(String::len).sum::<usize>() > LONGEST_LITERAL {
            return format!("// {head}\n// {} numbers, too many to print", input.coordinates().len());
        }
        let lines: Vec<String> =
            names.iter().zip(values).map(|(name, value)| format!("let {name} = {value};")).collect();
        format!("// {head}\n{}", lines.join("\n"))
    }

    fn invalid(&self) -> Option<&'static str> {
        if self.draw.is_none() {
            return Some("an exact claim needs `input`");
        }
        if self.margin.is_none() {
            return Some("an exact claim needs `margin`");
        }
        self.dims.iter().any(|(_, range)| range.is_empty()).then_some("a dimension has an empty range")
    }
}

/// Margin evaluations beside the random inputs.
struct Effort {
    guided: u64,
    shrink: u64,
}

impl Effort {
    /// The budget's own proportions for a claim that judges `count` random inputs.
    fn of(budget: &Budget, count: u64) -> Self {
        let share = count as f64 / budget.inputs.max(1) as f64;
        // Even the most costly claim gets a fair try at a small counterexample.
        let shrink = ((budget.shrink as f64 * share) as u64).max(500).min(budget.shrink);
        Self { guided: (budget.guided as f64 * share) as u64, shrink }
    }
}

/// Whether a margin violates the claim: NaN does.
fn violates(margin: f64) -> bool {
    margin.is_nan() || margin < 0.0
}

impl<I: Case> Claim for Exact<I> {
    fn meta(&self) -> &Meta {
        &self.search.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        self.search.run(context)
    }
}

impl Search {
    fn run(&self, context: &mut Context) -> Outcome {
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

/// What "no violation" says, and what it does not say.
fn no_violation(judged: u64, guided: u64) -> String {
    let share = collimate_figures::short_number(3.0 / judged as f64);
    let mut text = format!(
        "no violation in {judged} inputs; violating share below {share} (3/N) at 95 % under this generator"
    );
    if guided > 0 {
        text += &format!("; guided search tried {guided} more on top, which do not count in N");
    }
    text
}
