//! `collimate llc replay`, `collimate susceptibilities` and `collimate influence`: estimates from losses that another program recorded.

mod influence;
mod llc;
mod susceptibilities;
mod traces;

pub(crate) use influence::Options as InfluenceOptions;
pub(crate) use llc::{Options as LlcOptions, run as run_llc};
pub(crate) use susceptibilities::Options as SusceptibilitiesOptions;
pub(crate) use {influence::run as run_influence, susceptibilities::run as run_susceptibilities};
