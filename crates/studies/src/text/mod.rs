//! Texts as documents: the embedded Jargon File, and the Brown corpus if the user has downloaded it.

pub mod brown;
mod document;
mod jargon;
mod split;

pub use document::Document;
pub use jargon::{jargon, jargon_file};
pub use split::Split;
