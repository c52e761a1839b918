//! The run of an exact claim: random inputs, guided search, a second look, shrinking.

use super::guided;
use super::judged::Judged;
use super::search::Search;
use super::shrink::{Shrunk, shrink};
use super::watch::Watch;
use crate::budget::Budget;
use crate::context::{Alarm, Context};
use crate::in_order;
use crate::outcome::{Counterexample, Outcome};
use crate::verdict::{Verdict, Why};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The time between two looks at the interruption flag.
const LOOK: Duration = Duration::from_millis(20);
/// The time that a run gets to end by itself after an interruption.
const GRACE: Duration = Duration::from_millis(500);
/// The time without a result after which an interruption names the input.
const LONG: Duration = Duration::from_millis(250);

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

/// Judges a claim. If somebody can interrupt it or reads its progress, the evaluations run on other threads: one that does not return
/// is named, and is left behind at an interruption.
pub(super) fn run(search: &Arc<Search>, context: &Context) -> Outcome {
    let watch = Arc::new(Watch::default());
    if !context.watched() {
        return judge(search, context, &watch);
    }
    let (sender, receiver) = channel();
    let (claim, own, watched) = (Arc::clone(search), context.clone(), Arc::clone(&watch));
    let work = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| judge(&claim, &own, &watched)));
        // Nobody receives the outcome of a run that was left behind.
        let _ = sender.send(outcome);
    };
    if let Err(error) = std::thread::Builder::new().stack_size(in_order::STACK).spawn(work) {
        return Outcome::inconclusive(Why::Other(format!("a thread could not be started: {error}")));
    }
    let mut alarm = Alarm::default();
    let mut asked: Option<Instant> = None;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(payload)) => resume_unwind(payload),
            Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends before it ends"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let longest = watch.longest();
        if let Some((running, since)) = &longest
            && alarm.rings(*since)
        {
            let (done, total) = watch.at();
            context.no_result(done, total, *since, &place(search, running));
        }
        if context.interrupted() && asked.get_or_insert_with(Instant::now).elapsed() > GRACE {
            return abandoned(search, &watch);
        }
    }
}

/// Returns the words for the place of an evaluation.
fn place(search: &Search, running: &super::watch::Running) -> String {
    match &running.input {
        Some(input) => format!("on the input\n{}", search.literal(input, &running.dims, None)),
        None => format!("while an input was drawn\n// {}", search.named(&running.dims)),
    }
}

/// Returns the note on an evaluation that was left behind, if one has run for long.
fn left_behind(search: &Search, watch: &Watch) -> Option<String> {
    let (running, since) = watch.longest().filter(|(_, since)| *since >= LONG)?;
    Some(format!(
        "interrupted after {:.1} s without a result {}",
        since.as_secs_f64(),
        place(search, &running)
    ))
}

/// Returns the outcome of an interrupted run whose evaluation does not return.
fn abandoned(search: &Search, watch: &Watch) -> Outcome {
    let (done, _) = watch.at();
    let mut outcome = match watch.found() {
        Some((violation, steps)) => failed(search, Outcome::upheld(), &violation, steps),
        None => Outcome::inconclusive(Why::Interrupted),
    };
    outcome.trials = done;
    outcome.notes.extend(left_behind(search, watch));
    outcome
}

/// Adds the verdict on an input that violates or panics.
fn failed(search: &Search, mut outcome: Outcome, smallest: &Judged, steps: u64) -> Outcome {
    if let Some(text) = &smallest.panic {
        let literal = search.literal(&smallest.input, &smallest.dims, None);
        outcome.verdict = Verdict::Inconclusive(Why::Panicked(format!("{text}; on the input\n{literal}")));
        return outcome;
    }
    outcome.verdict = Verdict::Refuted;
    outcome.counterexample = Some(Counterexample {
        literal: search.literal(&smallest.input, &smallest.dims, Some(smallest.margin)),
        dims: search.dims.iter().map(|(name, _)| *name).zip(smallest.dims.iter().copied()).collect(),
        margin: smallest.margin,
        shrink_steps: steps,
    });
    outcome.margin(smallest.margin)
}

/// The results of the random inputs.
struct Random {
    judged: u64,
    rejected: u64,
    interrupted: bool,
    worst: guided::Worst,
    found: Option<Judged>,
}

/// Judges random inputs in order, up to the first that fails.
fn random_inputs(search: &Arc<Search>, context: &Context, watch: &Arc<Watch>, count: u64) -> Random {
    let mut random =
        Random { judged: 0, rejected: 0, interrupted: false, worst: guided::Worst::default(), found: None };
    let base = context.named_stream("inputs");
    let (claim, seen) = (Arc::clone(search), Arc::clone(watch));
    let mut left = false;
    in_order::for_each_abandoning(
        context.budget().threads,
        count,
        context.watched(),
        move |i| claim.sample(&seen, &mut base.child(i)),
        |i, sample| {
            match sample {
                None => random.rejected += 1,
                Some(sample) => {
                    random.judged += 1;
                    if sample.fails() {
                        random.found = Some(sample);
                        return ControlFlow::Break(());
                    }
                    random.worst.offer(sample);
                }
            }
            if i % 64 == 0 {
                random.interrupted = context.interrupted();
                watch.progress(i, count);
                context.progress(i, count, "random inputs");
            }
            if random.interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
        |_, _| {
            left = context.interrupted();
            if left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    random.interrupted |= left;
    random
}

/// Judges the claim on this thread and its helpers.
fn judge(search: &Arc<Search>, context: &Context, watch: &Arc<Watch>) -> Outcome {
    if let Some(reason) = search.invalid() {
        return Outcome::inconclusive(Why::Invalid(reason.to_owned()));
    }
    let count = search.inputs.map_or(context.budget().inputs, |by_tier| context.by_tier(by_tier));
    let effort = Effort::of(context.budget(), count);
    let Random { judged, rejected, interrupted, worst, mut found } =
        random_inputs(search, context, watch, count);
    let mut margin = worst.smallest();
    let mut tried = 0;
    let vacuous = 2 * rejected > judged + rejected;
    if found.is_none() && !vacuous && !interrupted {
        let climbed = guided::search(search, watch, &worst, effort.guided, context);
        tried = climbed.evaluations;
        margin = margin.min(climbed.smallest);
        found = climbed.found;
    }
    let mut outcome = Outcome::upheld().trials(judged);
    (outcome.rejected, outcome.guided) = (rejected, tried);
    if let Some(violation) = found {
        let by = if tried > 0 { "guided search" } else { "random inputs" };
        let word = if violation.panic.is_some() { "panic" } else { "violation" };
        let note = format!("{word} found by {by}, on input number {}", judged + tried);
        return match shrink(search, watch, violation, effort.shrink, context) {
            Ok(Shrunk { smallest, steps }) => failed(search, outcome, &smallest, steps).note(note),
            Err(reason) => {
                outcome.verdict = Verdict::Inconclusive(Why::Invalid(reason));
                outcome
            }
        };
    }
    if interrupted || context.interrupted() {
        outcome.verdict = Verdict::Inconclusive(Why::Interrupted);
        outcome.notes.extend(left_behind(search, watch));
    } else if vacuous || judged == 0 {
        outcome.verdict = Verdict::Inconclusive(Why::Vacuous { rejected, drawn: judged + rejected });
    } else {
        outcome = outcome.note(no_violation(judged, tried));
    }
    if margin.is_finite() { outcome.margin(margin) } else { outcome }
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
