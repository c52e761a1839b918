#![doc = include_str!("../README.md")]

mod adapter;
mod approximate;
#[cfg(feature = "report")]
mod atomic;
mod budget;
mod case;
mod claim;
mod error;
mod exact;
mod in_order;
mod lock;
#[cfg(feature = "report")]
mod lock_file;
mod mean;
mod meta;
mod outcome;
#[cfg(feature = "report")]
mod page;
mod proportion;
mod quantile;
mod report;
mod runner;
mod sequence;
mod sprt;
#[cfg(feature = "proptest")]
pub mod strategies;
mod verdict;
mod zone;

pub use collimate_figures as figures;
pub use collimate_figures::Figure;

pub use adapter::{assert_claim, assert_claim_with};
pub use approximate::Approximate;
pub use budget::{Budget, Context, Tick};
pub use case::Case;
pub use claim::{Claim, Claims, Study, examine, examine_in};
pub use error::ClaimsError;
pub use exact::Exact;
pub use lock::{Change, Entry, Lock, Recorded, Surprise};
pub use mean::Mean;
pub use meta::{Kind, Meta, Subject, Tier};
pub use outcome::{Counterexample, Outcome};
#[cfg(feature = "report")]
pub use page::Page;
pub use proportion::Proportion;
pub use quantile::Quantile;
pub use report::Report;
pub use runner::{LeftOut, Progress, Run, Runner};
pub use sequence::{ConfidenceSequence, Method};
pub use sprt::{Errors, Sprt};
pub use verdict::{Verdict, Why};
pub use zone::Zone;
