//! Runs of claims, their reports, and the lock of recorded verdicts.

mod examine;
mod lock;
#[cfg(feature = "report")]
mod lock_file;
mod report;
mod results;
mod runner;

pub(crate) use examine::message;
pub use examine::{assert_claim, assert_claim_with, examine, examine_in};
pub use lock::{Change, Entry, Lock, Recorded, Surprise};
pub use report::Report;
pub use results::{LeftOut, Run};
pub use runner::{Progress, Runner};
