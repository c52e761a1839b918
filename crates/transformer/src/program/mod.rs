//! The program of a description: its operations in order, their slots and their parameters.

mod build;

pub(crate) use build::build;
