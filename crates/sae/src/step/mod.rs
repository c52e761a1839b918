//! One training step: a dense encoder product, then work on the active latents only. Begin with [`update`].

pub(crate) mod adam;
mod batch;
mod code_block;
mod codes;
mod dense;
pub(crate) mod encode;
mod gather;
mod inputs;
pub(crate) mod optimise;
pub(crate) mod pursuit;
mod residuals;
pub(crate) mod settings;
mod sinks;
mod task;
pub(crate) mod update;
pub(crate) mod workspace;
