//! `collimate claims --list`.

use collimate_claims::{Claim, Meta};
use std::fmt::Write;

/// Returns one line for each claim.
pub(super) fn text(claims: &[&dyn Claim]) -> String {
    let mut out = String::new();
    let width = claims.iter().map(|claim| claim.meta().id.len()).max().unwrap_or(0);
    for claim in claims {
        let Meta { id, kind, tier, statement, real, .. } = claim.meta();
        let real = if *real { "real" } else { "" };
        let _ = writeln!(out, "{id:<width$}  {kind:<14} {tier:<8} {real:<4}  {statement}");
    }
    let _ = writeln!(out, "{} claims", claims.len());
    out
}
