//! An exact claim without the type of its inputs, and the judgement of one input.

use super::erased::Input;
use crate::meta::Meta;
use crate::run::message;
use collimate_stream::RngStream;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The length of the longest literal that is printed.
const LONGEST_LITERAL: usize = 20_000;

/// The claim without the type of its inputs, so that the search for violations is compiled once for all types.
pub(super) struct Search {
    pub(super) meta: Meta,
    pub(super) dims: Vec<(&'static str, RangeInclusive<usize>)>,
    pub(super) names: Vec<&'static str>,
    pub(super) inputs: Option<[u64; 3]>,
    pub(super) draw: Option<Box<dyn Fn(&[usize], &mut RngStream) -> Option<Input> + Send + Sync>>,
    pub(super) admits: Option<Box<dyn Fn(&Input) -> bool + Send + Sync>>,
    pub(super) margin: Option<Box<dyn Fn(&Input) -> f64 + Send + Sync>>,
}

/// An admitted input with its margin.
#[derive(Clone)]
pub(super) struct Judged {
    pub(super) input: Input,
    pub(super) dims: Vec<usize>,
    pub(super) margin: f64,
}

/// Returns true if a margin is negative or NaN.
pub(super) fn violates(margin: f64) -> bool {
    margin.is_nan() || margin < 0.0
}

impl Search {
    pub(super) fn new(meta: Meta) -> Self {
        let (dims, names) = (Vec::new(), Vec::new());
        Self { meta, dims, names, inputs: None, draw: None, admits: None, margin: None }
    }

    /// Draws an input at given dimensions and judges it. Returns `None` if it is rejected.
    pub(super) fn judge_at(&self, dims: Vec<usize>, stream: &mut RngStream) -> Option<Judged> {
        let input = (self.draw.as_ref()?)(&dims, stream)?;
        self.judge(input, dims)
    }

    /// Judges an input. Returns `None` if it lies outside the domain. A panic message names the input.
    pub(super) fn judge(&self, input: Input, dims: Vec<usize>) -> Option<Judged> {
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let admitted = self.admits.as_ref().is_none_or(|admits| admits(&input));
            admitted.then(|| self.margin.as_ref().map_or(f64::NAN, |margin| margin(&input)))
        }));
        match judged {
            Ok(margin) => margin.map(|margin| Judged { input, dims, margin }),
            Err(payload) => {
                let text = message(&*payload);
                // Continue to unwind without the hook, because the panic was already printed once.
                std::panic::resume_unwind(Box::new(format!(
                    "{text}; on the input\n{}",
                    self.literal(&input, &dims, None)
                )))
            }
        }
    }

    /// Draws the dimensions, then the input, and judges it.
    pub(super) fn sample(&self, stream: &mut RngStream) -> Option<Judged> {
        let draw = |(_, range): &(_, RangeInclusive<usize>)| {
            range.start() + stream.below(range.end().saturating_sub(*range.start()) + 1)
        };
        let dims = self.dims.iter().map(draw).collect();
        self.judge_at(dims, stream)
    }

    /// Returns the input as Rust source, under a comment with its dimensions and its margin.
    pub(super) fn literal(&self, input: &Input, dims: &[usize], margin: Option<f64>) -> String {
        let mut head: Vec<String> =
            self.dims.iter().zip(dims).map(|((name, _), value)| format!("{name} = {value}")).collect();
        head.extend(margin.map(|margin| format!("margin = {}", collimate_figures::short_number(margin))));
        let head = head.join(", ");
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
