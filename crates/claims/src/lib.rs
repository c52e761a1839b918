#![doc = include_str!("../README.md")]

mod adapter;
mod budget;
mod case;
mod claim;
mod error;
mod exact;
mod figure;
mod in_order;
mod mean;
mod meta;
mod outcome;
mod proportion;
mod report;
mod sequence;
mod sprt;
mod verdict;
mod zone;

pub use adapter::{assert_claim, assert_claim_with};
pub use budget::{Budget, Context, Tick};
pub use case::Case;
pub use claim::{Claim, Claims, Study, examine, examine_in};
pub use error::ClaimsError;
pub use exact::Exact;
pub use figure::Figure;
pub use mean::Mean;
pub use meta::{Kind, Meta, Subject, Tier};
pub use outcome::{Counterexample, Outcome};
pub use proportion::Proportion;
pub use report::Report;
pub use sequence::{ConfidenceSequence, Method};
pub use sprt::{Errors, Sprt};
pub use verdict::{Verdict, Why};
pub use zone::Zone;
