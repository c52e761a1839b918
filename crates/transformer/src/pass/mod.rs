//! The passes through a model: a program of operations, run forwards and backwards.

mod backward;
mod forward;
mod input;
mod layout;
mod operation;
mod precision;
mod program;
mod run;
mod setting;

pub(crate) use backward::Backward;
pub(crate) use forward::{Forward, Keep};
pub use input::Input;
pub(crate) use input::Seen;
pub(crate) use layout::{AngleTable, Layout, Lookup, Parameter, Slot, SlotInfo};
pub(crate) use operation::Operation;
pub(crate) use precision::Real;
pub(crate) use program::Program;
pub(crate) use setting::Setting;
