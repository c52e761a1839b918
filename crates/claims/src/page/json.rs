//! The machine-readable report.

use super::summary::Page;
use crate::claim::Claim;
use crate::meta::Meta;
use crate::run::{LeftOut, Report};
use crate::verdict::{Verdict, Why};
use serde_json::{Map, Value, json};

impl Page<'_> {
    /// Returns the run as JSON: an object whose list `claims` holds one object for each claim.
    ///
    /// Non-finite numbers become `null`; `counterexample` is Rust source or `null`.
    pub fn json(&self) -> String {
        let left_out = |(meta, why): &(Meta, LeftOut)| {
            let why = match why {
                LeftOut::Tier => "tier",
                LeftOut::Real => "real",
                LeftOut::OnRequest => "on_request",
                LeftOut::Interrupted => "interrupted",
            };
            json!({ "id": meta.id, "why": why })
        };
        let changes: Vec<Value> = self
            .lock
            .compare(self.run)
            .iter()
            .map(|c| {
                json!({ "id": c.id, "recorded": c.recorded.to_string(), "found": c.found.to_string(), "fails": c.fails() })
            })
            .collect();
        let page = json!({
            "version": self.version,
            "tier": self.run.tier.to_string(),
            "seed": self.run.seed,
            "fresh": self.run.fresh,
            "cpu_level": self.cpu_level,
            "exit_status": self.run.exit_status(self.lock),
            "claims": self.run.reports.iter().map(claim).collect::<Vec<Value>>(),
            "left_out": self.run.left_out.iter().map(left_out).collect::<Vec<Value>>(),
            "changes": changes,
        });
        serde_json::to_string_pretty(&page).expect("a value of strings and numbers") + "\n"
    }
}

/// Returns the descriptions of claims as JSON, without running them: an object whose list `claims` holds one object for each claim.
///
/// # Examples
/// ```
/// use collimate_claims::{Claim, Meta, Outcome, Study, Subject, list_json};
/// let meta = Meta::theorem("own/four", Subject::Own, "two and two is four");
/// let study = Study::new(meta).run(|_| Outcome::of_margin(0.0));
/// assert!(list_json(&[&study]).contains("\"kind\": \"theorem\""));
/// ```
pub fn list_json(claims: &[&dyn Claim]) -> String {
    let listed = |claim: &&dyn Claim| {
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
    let claims: Vec<Value> = claims.iter().map(listed).collect();
    serde_json::to_string_pretty(&json!({ "claims": claims })).expect("a value of strings") + "\n"
}

fn claim(report: &Report) -> Value {
    let (meta, outcome) = (&report.meta, &report.outcome);
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("id", json!(meta.id));
    put("code", json!(meta.code));
    put("subject", json!(meta.subject.to_string()));
    put("statement", json!(meta.statement));
    put("kind", json!(meta.kind.to_string()));
    put("source", json!(meta.source));
    put("protocol", json!(meta.protocol));
    put("verdict", json!(outcome.verdict.word()));
    if let Verdict::Inconclusive(why) = &outcome.verdict {
        put("why", json!(why.to_string()));
        if let Why::Unavailable { missing, how_to_get } = why {
            put("missing", json!(missing));
            put("how_to_get", json!(how_to_get));
        }
    }
    put("as_expected", json!(report.as_expected()));
    put("trials", json!(outcome.trials));
    put("rejected", json!(outcome.rejected));
    put("guided", json!(outcome.guided));
    put("margin", json!(outcome.margin));
    put("estimate", json!(outcome.estimate));
    let interval = outcome.interval.map(|i| {
        json!({ "low": i.low, "high": i.high, "confidence": i.confidence, "approximate": outcome.approximate })
    });
    put("interval", json!(interval));
    put("seconds", json!(report.seconds));
    put("seed", json!(report.seed));
    put("real", json!(meta.real));
    put("counterexample", json!(outcome.counterexample.as_ref().map(|c| &c.literal)));
    let measured = |m: &collimate_measure::Measurement| {
        json!({
            "name": m.quantity.name,
            "definition": m.quantity.definition,
            "unit": m.quantity.unit.to_string(),
            "value": m.value,
            "standard_error": m.standard_error,
            "n": m.n,
            "estimand": m.estimand,
        })
    };
    put("measurements", outcome.measurements.iter().map(measured).collect());
    put("notes", json!(outcome.notes));
    put(
        "figures",
        outcome.figures.iter().map(|f| json!({ "title": f.title, "caption": f.caption })).collect(),
    );
    Value::Object(out)
}
