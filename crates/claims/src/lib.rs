#![doc = include_str!("../README.md")]

mod budget;
mod claim;
mod context;
mod error;
mod exact;
mod in_order;
mod meta;
mod outcome;
#[cfg(feature = "report")]
mod page;
mod run;
#[cfg(feature = "proptest")]
pub mod strategies;
mod trials;
mod verdict;
mod zone;

pub use collimate_figures as figures;
pub use collimate_figures::Figure;
pub use collimate_measure::{Interval, Measurement};
#[cfg(feature = "report")]
pub use collimate_output::OutputError;
pub use collimate_stream::RngStream;

pub use budget::Budget;
pub use claim::{Claim, Claims, Study};
pub use context::{Context, Tick};
pub use error::ClaimsError;
pub use exact::{Case, Exact, larger, smaller};
pub use meta::{Kind, Meta, Subject, Tier};
pub use outcome::{Counterexample, Outcome};
#[cfg(feature = "report")]
pub use page::{Page, list_json};
pub use run::{
    Change, Entry, LeftOut, Lock, Progress, Recorded, Report, Run, Runner, Surprise, assert_claim,
    assert_claim_with, examine, examine_in,
};
pub use trials::{Approximate, ConfidenceSequence, Errors, Mean, Method, Proportion, Quantile, Sprt, Trials};
pub use verdict::{Verdict, Why};
pub use zone::Zone;
