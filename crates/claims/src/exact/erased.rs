//! Inputs without their type.

use super::case::Case;
use std::any::Any;
use std::sync::Arc;

/// An input of a claim, without its type. A copy shares the input.
#[derive(Clone)]
pub(super) struct Input(Arc<dyn AnyCase>);

/// [`Case`] as an object.
trait AnyCase: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn literal(&self) -> String;
    fn parts(&self) -> Vec<String>;
    fn coordinates(&self) -> Vec<f64>;
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Input>;
    fn lengths(&self) -> Vec<usize>;
    fn cut(&self, shape: &dyn Any, at: usize) -> Option<Input>;
}

impl<I: Case> AnyCase for I {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn literal(&self) -> String {
        Case::literal(self)
    }

    fn parts(&self) -> Vec<String> {
        Case::parts(self)
    }

    fn coordinates(&self) -> Vec<f64> {
        Case::coordinates(self)
    }

    fn with_coordinates(&self, numbers: &[f64]) -> Option<Input> {
        Case::with_coordinates(self, numbers).map(Input::new)
    }

    fn lengths(&self) -> Vec<usize> {
        Case::lengths(self)
    }

    fn cut(&self, shape: &dyn Any, at: usize) -> Option<Input> {
        Case::cut(self, shape.downcast_ref()?, at).map(Input::new)
    }
}

impl Input {
    pub(super) fn new<I: Case>(case: I) -> Self {
        Self(Arc::new(case))
    }

    /// Returns the input with its type.
    ///
    /// # Panics
    /// If the type is wrong, which would be a fault of this crate.
    pub(super) fn get<I: Case>(&self) -> &I {
        self.0.as_any().downcast_ref().expect("the inputs of a claim have one type")
    }

    /// Returns the input as Rust source.
    pub(super) fn literal(&self) -> String {
        (*self.0).literal()
    }

    /// Returns the parts of the input as Rust source.
    pub(super) fn parts(&self) -> Vec<String> {
        (*self.0).parts()
    }

    /// Returns the numbers of the input.
    pub(super) fn coordinates(&self) -> Vec<f64> {
        (*self.0).coordinates()
    }

    /// Returns the input with other numbers, or `None` if its type cannot hold one of them.
    pub(super) fn with_coordinates(&self, numbers: &[f64]) -> Option<Self> {
        (*self.0).with_coordinates(numbers)
    }

    /// Returns the lengths of the lists and axes of the input.
    pub(super) fn lengths(&self) -> Vec<usize> {
        (*self.0).lengths()
    }

    /// Returns the input without the entries that `shape` has no place for, or `None` if `shape` is not smaller.
    pub(super) fn cut(&self, shape: &Self, at: usize) -> Option<Self> {
        (*self.0).cut(shape.0.as_any(), at)
    }
}
