//! The content that all forms of a report share.

use crate::meta::Kind;
use crate::run::{LeftOut, Lock, Report, Run};
use crate::verdict::Verdict;

/// The report of a run: `claims.json`, `claims.md` and `report.html`.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Claims, Lock, Meta, Outcome, Page, Runner, Study, Subject};
/// let meta = Meta::theorem("own/four", Subject::Own, "two and two is four, also where 1 < 2");
/// let claims = Claims::new().with(Study::new(meta).run(|_| Outcome::of_margin(0.0)));
/// let run = Runner::new(Budget::quick()).run(&claims).unwrap();
/// let page = Page { run: &run, lock: &Lock::default(), cpu_level: "avx2", version: "0.1.0" };
/// assert!(page.html().contains("also where 1 &lt; 2"));
/// assert!(page.json().contains("\"verdict\": \"upheld\""));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The run.
    pub run: &'a Run,
    /// The recorded verdicts that the run is compared with.
    pub lock: &'a Lock,
    /// The CPU level of the computation, on which the bits of the results depend.
    pub cpu_level: &'a str,
    /// The version of the software.
    pub version: &'a str,
}

impl Page<'_> {
    /// Returns one sentence on the whole run.
    pub(super) fn headline(&self) -> String {
        let ran = || self.run.reports.iter().filter(|report| !report.did_not_run());
        let count = |kind: Kind, good: fn(&Report) -> bool| {
            let of_kind = || ran().filter(move |report| report.meta.kind == kind);
            (of_kind().filter(|report| good(report)).count(), of_kind().count())
        };
        let (theorems, of_theorems) = count(Kind::Theorem, Report::upheld);
        let (counterexamples, of_counterexamples) = count(Kind::Counterexample, Report::refuted);
        let (upheld, hypotheses) = count(Kind::Empirical, Report::upheld);
        let (refuted, _) = count(Kind::Empirical, Report::refuted);
        let mut parts = Vec::new();
        if of_theorems > 0 {
            parts.push(format!("{theorems} of {of_theorems} theorems upheld"));
        }
        if of_counterexamples > 0 {
            parts.push(format!("{counterexamples} of {of_counterexamples} false beliefs refuted"));
        }
        if hypotheses > 0 {
            let open = hypotheses - upheld - refuted;
            parts.push(format!(
                "{hypotheses} hypotheses tested ({upheld} upheld, {refuted} refuted, {open} inconclusive)"
            ));
        }
        match self.run.reports.len() - ran().count() {
            0 => {}
            absent => parts.push(format!("{absent} could not run")),
        }
        if parts.is_empty() { "no claim was run".to_owned() } else { parts.join(", ") }
    }

    /// Returns tier, seed and machine in one line.
    pub(super) fn setting(&self) -> String {
        let Run { tier, seed, fresh, .. } = self.run;
        let drawn = if *fresh { " (drawn at random)" } else { "" };
        let seconds: f64 = self.run.reports.iter().map(|report| report.seconds).sum();
        let (version, cpu) = (self.version, self.cpu_level);
        format!("{tier} tier, seed {seed}{drawn}, {seconds:.1} s, CPU level {cpu}, version {version}")
    }
}

/// Returns the meaning of a verdict as a class name and a mark, so that colour is never the only difference.
pub(super) fn reading(report: &Report) -> (&'static str, &'static str) {
    match (&report.outcome.verdict, report.as_expected()) {
        _ if report.did_not_run() => ("absent", "–"),
        (_, false) => ("failed", "✗"),
        (_, true) if report.meta.kind != Kind::Empirical => ("expected", "✓"),
        (Verdict::Upheld, _) => ("upheld", "▲"),
        (Verdict::Refuted, _) => ("refuted", "▼"),
        (Verdict::Inconclusive(_), _) => ("open", "○"),
    }
}

/// Returns sentences on the claims left out and on changes from the lock.
pub(super) fn remarks(page: &Page) -> Vec<String> {
    let mut out = Vec::new();
    let ids = |why: LeftOut| {
        let ids: Vec<&str> =
            page.run.left_out.iter().filter(|(_, left)| *left == why).map(|(meta, _)| meta.id).collect();
        ids.join(", ")
    };
    for (why, words) in [
        (LeftOut::Interrupted, "Not started because the run was interrupted"),
        (LeftOut::Tier, "Left out because they belong to a more expensive tier"),
        (LeftOut::Real, "Left out because real data were excluded"),
        (LeftOut::OnRequest, "Left out because they need data that are fetched on request"),
    ] {
        let ids = ids(why);
        if !ids.is_empty() {
            out.push(format!("{words}: {ids}."));
        }
    }
    out.extend(page.lock.compare(page.run).iter().map(|change| format!("Changed: {change}.")));
    out
}

/// Returns a statement as a sentence: a capital first, a full stop last.
pub(super) fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    // A symbol such as λ keeps its case: its capital is another symbol.
    let first: String = rest.next().map(|c| c.to_ascii_uppercase()).into_iter().collect();
    let stop = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{stop}", rest.as_str())
}
