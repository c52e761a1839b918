//! The arrangement of directions in one line.

use collimate_superposition::{PolytopeFactor, RecognisedPolytopes};

/// Returns an arrangement in one line: factors joined by `+`, alternatives by `or`, names of several factors in brackets.
pub(super) fn words(found: &RecognisedPolytopes) -> String {
    let factor = |f: &PolytopeFactor| {
        let names: Vec<String> = f.candidates.iter().map(|(shape, _)| shape.to_string()).collect();
        match names.len() {
            0 => format!("{} features in {} dimensions", f.features.len(), f.dimensions),
            _ => names.join(" or "),
        }
    };
    let mut text = match found.factors.is_empty() {
        true => "none".to_owned(),
        false => found.factors.iter().map(factor).collect::<Vec<_>>().join(" + "),
    };
    for (shape, factors) in found.merged_readings() {
        text += &format!(" [{} of these: {shape}]", factors.len());
    }
    if !found.absent.is_empty() {
        text += &format!("; {} absent", found.absent.len());
    }
    text
}
