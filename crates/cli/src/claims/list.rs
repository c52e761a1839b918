//! `collimate claims --list`.

use collimate_claims::{Claim, Meta};
use serde_json::{Value, json};
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

/// Returns the claims as JSON: an object with a list `claims`.
pub(super) fn json(claims: &[&dyn Claim]) -> String {
    let entry = |claim: &&dyn Claim| {
        let meta = claim.meta();
        json!({
            "id": meta.id,
            "code": meta.code,
            "subject": meta.subject.to_string(),
            "statement": meta.statement,
            "kind": meta.kind.to_string(),
            "tier": meta.tier.to_string(),
            "source": meta.source,
            "protocol": meta.protocol,
            "below_nightly": meta.below_nightly,
            "real": meta.real,
        })
    };
    let list: Vec<Value> = claims.iter().map(entry).collect();
    format!("{:#}\n", json!({ "claims": list }))
}
