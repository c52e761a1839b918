//! SmolLM2 on the Jargon File and the Brown corpus: captured activations, dictionaries trained on them, and the claims about both.

mod capture;
mod claims;
mod dictionaries;
mod pieces;
mod setup;

pub use capture::{CaptureTarget, LAYER, RESIDUAL, capture, capture_into, mean_row, source_of};
pub use claims::claims;
pub use collimate_sae::presets::{Preset, Recipe};
pub use dictionaries::COMPARED;
pub use pieces::Pieces;
pub use setup::{CONTEXT, LanguageModelSetup, START};
