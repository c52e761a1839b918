//! The builder of exact claims.

use super::case::Case;
use super::erased::Input;
use super::judge;
use super::search::Search;
use crate::claim::Claim;
use crate::context::Context;
use crate::meta::Meta;
use crate::outcome::Outcome;
use collimate_stream::RngStream;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A claim that a signed margin is never negative, judged on inputs that are drawn from dimensions and a seed.
///
/// ```text
/// margin ≥ 0 on every admitted input: Upheld        margin < 0 or NaN on one: Refuted
/// ```
/// After the random inputs, guided search moves from those with the smallest margins, at various dimensions, towards a violation.
/// A violation is made smaller: first in the dimensions, with several seeds at each, then by deletion of entries and by simpler
/// numbers, one by one and several together. An input on which the margin panics is made smaller like one that violates, and the
/// claim is Inconclusive. If more than half of the inputs are rejected, the claim is Inconclusive.
///
/// Every violation is evaluated twice. If the two results differ, the claim is Inconclusive, because its margin is not a function of
/// its input.
///
/// Guided search and shrinking change numbers only if [`Exact::admits`] defines the domain. Otherwise a claim about, for example,
/// orthonormal matrices could be refuted by a matrix that is not orthonormal.
///
/// # Determinism
/// One seed gives one outcome, on any number of threads.
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
    search: Arc<Search>,
    input: PhantomData<fn(&I)>,
}

impl<I: Case> Exact<I> {
    /// Returns a claim that still needs its inputs and its margin.
    pub fn new(meta: Meta) -> Self {
        Self { search: Arc::new(Search::new(meta)), input: PhantomData }
    }

    /// Returns the declaration, to change it. A run that was left behind keeps its own.
    fn part(&mut self) -> &mut Search {
        Arc::make_mut(&mut self.search)
    }

    /// Sets the named dimensions and the ranges they are drawn from. The smallest values should be the simplest case.
    pub fn dims(mut self, dims: &[(&'static str, RangeInclusive<usize>)]) -> Self {
        self.part().dims = dims.to_vec();
        self
    }

    /// Names the parts of a tuple input. The names are printed with the counterexample.
    pub fn names(mut self, names: &[&'static str]) -> Self {
        self.part().names = names.to_vec();
        self
    }

    /// Sets the number of random inputs by tier (quick, standard, nightly); the default comes from the budget.
    ///
    /// The effort of guided search and shrinking is proportional to it.
    pub fn inputs(mut self, by_tier: [u64; 3]) -> Self {
        self.part().inputs = Some(by_tier);
        self
    }

    /// Sets the function that draws an input for given dimensions; `None` rejects the draw.
    pub fn input(
        mut self,
        draw: impl Fn(&[usize], &mut RngStream) -> Option<I> + Send + Sync + 'static,
    ) -> Self {
        self.part().draw = Some(Arc::new(move |dims, stream| draw(dims, stream).map(Input::new)));
        self
    }

    /// Defines the domain of the claim. Inputs outside it are rejected. Numbers may be changed within it, and entries deleted if the
    /// generator draws the smaller shape too.
    pub fn admits(mut self, domain: impl Fn(&I) -> bool + Send + Sync + 'static) -> Self {
        self.part().admits = Some(Arc::new(move |input| domain(input.get())));
        self
    }

    /// Defines the domain as every finite input of the drawn shape.
    pub fn admits_all(self) -> Self {
        self.admits(|input| input.coordinates().iter().all(|x| x.is_finite()))
    }

    /// Sets the signed margin: at least zero where the claim holds, tolerance included.
    pub fn margin(mut self, margin: impl Fn(&I) -> f64 + Send + Sync + 'static) -> Self {
        self.part().margin = Some(Arc::new(move |input| margin(input.get())));
        self
    }
}

impl<I: Case> Claim for Exact<I> {
    fn meta(&self) -> &Meta {
        &self.search.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        judge::run(&self.search, context)
    }
}
