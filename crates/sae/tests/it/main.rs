//! The integration tests of the crate.

#[cfg(feature = "files")]
mod arranged;
mod cases;
#[cfg(feature = "claims")]
mod claims;
mod conformance;
#[cfg(feature = "files")]
mod crosscoders;
mod crowded;
mod effects;
mod family;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "files")]
mod formats;
mod golden;
mod gradients;
#[cfg(feature = "files")]
mod killed;
mod members;
mod metrics;
#[cfg(feature = "files")]
mod published;
#[cfg(feature = "files")]
mod refused;
mod shards;
#[cfg(feature = "files")]
mod temporal;
#[cfg(feature = "files")]
mod torch_files;
mod training;
