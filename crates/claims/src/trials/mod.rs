//! Claims judged from independent trials, and the sequential tests behind them.

mod approximate;
mod builder;
mod mean;
mod proportion;
mod quantile;
mod sequence;
mod sprt;

pub use approximate::Approximate;
pub use builder::{Errors, Trials};
pub use mean::Mean;
pub use proportion::Proportion;
pub use quantile::Quantile;
pub use sequence::{ConfidenceSequence, Method};
pub use sprt::Sprt;
