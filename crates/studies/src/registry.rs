//! All claims of the workspace.

use collimate_claims::Claims;

/// Returns the claims of every crate, in reading order: foundations first, the real model last.
///
/// # Examples
/// ```
/// let claims = collimate_studies::registry();
/// assert!(claims.check().is_ok()); // no id occurs twice
/// assert!(claims.iter().any(|claim| claim.meta().id.starts_with("tensor/")));
/// ```
pub fn registry() -> Claims {
    Claims::new()
        .extend(crate::numerics::claims())
        .extend(collimate_attention::claims::claims())
        .extend(crate::induction::claims())
        .extend(collimate_transformer::claims::claims())
        .extend(collimate_superposition::claims())
        .extend(collimate_sae::claims::claims())
        .extend(collimate_slt::claims())
        .extend(crate::synthetic::claims())
        .extend(crate::language_model::claims())
}
