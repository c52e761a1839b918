//! Readers of the architectures whose input has further axes: each is one file.

pub(super) mod cross_layer;
pub(super) mod crosscoder;
pub(super) mod layout;
mod numbered;
pub(super) mod per_layer;
pub(super) mod temporal;
mod yaml;
