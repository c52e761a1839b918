#![doc = include_str!("../README.md")]

mod concentration;
mod error;
mod fingerprint;
pub mod interval;
mod measurement;
mod moments;

pub use concentration::{effective_number, gini, herfindahl};
pub use error::{MeasureError, OutOfRange, WrongLength, ensure, same_length};
pub use fingerprint::Fingerprint;
pub use interval::Interval;
pub use measurement::{Measurement, Quantity, Unit};
pub use moments::{BLOCK, Covariance, Moments};
