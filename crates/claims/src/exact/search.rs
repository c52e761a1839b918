//! An exact claim without the type of its inputs, and the judgement of one input.

use super::erased::Input;
use super::judged::Judged;
use super::watch::Watch;
use crate::meta::Meta;
use crate::run::message;
use collimate_stream::RngStream;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The length of the longest literal that is printed.
const LONGEST_LITERAL: usize = 20_000;

/// The claim without the type of its inputs, so that the search for violations is compiled once for all types.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) meta: Meta,
    pub(super) dims: Vec<(&'static str, RangeInclusive<usize>)>,
    pub(super) names: Vec<&'static str>,
    pub(super) inputs: Option<[u64; 3]>,
    pub(super) draw: Option<Arc<dyn Fn(&[usize], &mut RngStream) -> Option<Input> + Send + Sync>>,
    pub(super) admits: Option<Arc<dyn Fn(&Input) -> bool + Send + Sync>>,
    pub(super) margin: Option<Arc<dyn Fn(&Input) -> f64 + Send + Sync>>,
}

impl Search {
    pub(super) fn new(meta: Meta) -> Self {
        let (dims, names) = (Vec::new(), Vec::new());
        Self { meta, dims, names, inputs: None, draw: None, admits: None, margin: None }
    }

    /// Draws an input at given dimensions. Returns `None` if the generator rejects the draw.
    ///
    /// # Panics
    /// If the generator panics. The message names the dimensions.
    pub(super) fn draw_at(&self, watch: &Watch, dims: &[usize], stream: &mut RngStream) -> Option<Input> {
        let draw = self.draw.as_ref()?;
        let drawn = catch_unwind(AssertUnwindSafe(|| watch.during(dims, None, || draw(dims, stream))));
        drawn.unwrap_or_else(|payload| {
            let text = message(&*payload);
            let place = if dims.is_empty() { String::new() } else { format!(" at {}", self.named(dims)) };
            // Continue to unwind without the hook, because the panic was already printed once.
            std::panic::resume_unwind(Box::new(format!("{text}; while an input was drawn{place}")))
        })
    }

    /// Draws an input at given dimensions and judges it. Returns `None` if it is rejected.
    pub(super) fn judge_at(&self, watch: &Watch, dims: Vec<usize>, stream: &mut RngStream) -> Option<Judged> {
        let input = self.draw_at(watch, &dims, stream)?;
        self.judge(watch, input, dims)
    }

    /// Judges an input. Returns `None` if it lies outside the domain.
    pub(super) fn judge(&self, watch: &Watch, input: Input, dims: Vec<usize>) -> Option<Judged> {
        let judged = watch.during(&dims, Some(&input), || {
            catch_unwind(AssertUnwindSafe(|| {
                let admitted = self.admits.as_ref().is_none_or(|admits| admits(&input));
                admitted.then(|| self.margin.as_ref().map_or(f64::NAN, |margin| margin(&input)))
            }))
        });
        let (margin, panic) = match judged {
            Ok(margin) => (margin?, None),
            Err(payload) => (f64::NAN, Some(message(&*payload))),
        };
        Some(Judged { input, dims, margin, panic })
    }

    /// Judges an input a second time. Returns the difference in words if the result is another one.
    pub(super) fn second_look(&self, watch: &Watch, first: &Judged) -> Option<String> {
        let again = self.judge(watch, first.input.clone(), first.dims.clone());
        let equal = again.as_ref().is_some_and(|again| {
            let bits = again.margin.to_bits() == first.margin.to_bits();
            (bits || again.margin.is_nan() && first.margin.is_nan())
                && again.panic.is_some() == first.panic.is_some()
        });
        (!equal).then(|| {
            let second = again.map_or_else(|| "outside the domain".to_owned(), |again| again.result());
            format!(
                "the margin is not a function of its input: it was {} at first and {second} when it was evaluated again, on the input\n{}",
                first.result(),
                self.literal(&first.input, &first.dims, None)
            )
        })
    }

    /// Draws the dimensions, then the input, and judges it.
    pub(super) fn sample(&self, watch: &Watch, stream: &mut RngStream) -> Option<Judged> {
        let draw = |(_, range): &(_, RangeInclusive<usize>)| {
            range.start() + stream.below(range.end().saturating_sub(*range.start()).saturating_add(1))
        };
        let dims = self.dims.iter().map(draw).collect();
        self.judge_at(watch, dims, stream)
    }

    /// Returns the dimensions with their names.
    pub(super) fn named(&self, dims: &[usize]) -> String {
        let named = |((name, _), value): (&(&str, _), &usize)| format!("{name} = {value}");
        self.dims.iter().zip(dims).map(named).collect::<Vec<_>>().join(", ")
    }

    /// Returns the input as Rust source, under a comment with its dimensions and its margin.
    pub(super) fn literal(&self, input: &Input, dims: &[usize], margin: Option<f64>) -> String {
        let mut head = self.named(dims);
        if let Some(margin) = margin {
            let comma = if head.is_empty() { "" } else { ", " };
            head += &format!("{comma}margin = {}", collimate_figures::short_number(margin));
        }
        // One line for each named part reads better than one long tuple.
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

    /// Returns what is wrong with the declaration of the claim, if anything.
    pub(super) fn invalid(&self) -> Option<&'static str> {
        if self.draw.is_none() {
            return Some("an exact claim needs `input`");
        }
        if self.margin.is_none() {
            return Some("an exact claim needs `margin`");
        }
        self.dims.iter().any(|(_, range)| range.is_empty()).then_some("a dimension has an empty range")
    }
}
