//! Forward passes: whole, from a layer, up to a layer, and what is read from them.

mod heads;
mod losses;
mod names;
mod part;
mod run;
mod whole;

pub use run::Run;
pub use whole::Outputs;
