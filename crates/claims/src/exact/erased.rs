//! Inputs without their type.

use super::case::Case;
use std::any::Any;

/// An input of a claim, without its type.
#[derive(Clone)]
pub(super) struct Input(Box<dyn AnyCase>);

/// [`Case`] as an object.
trait AnyCase: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn clone_box(&self) -> Box<dyn AnyCase>;
    fn literal(&self) -> String;
    fn parts(&self) -> Vec<String>;
    fn coordinates(&self) -> Vec<f64>;
    fn with_coordinates(&self, numbers: &[f64]) -> Option<Box<dyn AnyCase>>;
}

impl<I: Case> AnyCase for I {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn clone_box(&self) -> Box<dyn AnyCase> {
        Box::new(self.clone())
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

    fn with_coordinates(&self, numbers: &[f64]) -> Option<Box<dyn AnyCase>> {
        Case::with_coordinates(self, numbers).map(|case| Box::new(case) as Box<dyn AnyCase>)
    }
}

impl Clone for Box<dyn AnyCase> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

impl Input {
    pub(super) fn new<I: Case>(case: I) -> Self {
        Self(Box::new(case))
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
        (*self.0).with_coordinates(numbers).map(Self)
    }
}
