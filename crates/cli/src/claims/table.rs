//! The table at the end of a run.

use collimate_claims::{Kind, LeftOut, Lock, Report, Run, Verdict};
use std::fmt::Write;

/// Returns a sign for the verdict: ✓ as expected, ✗ not as expected, – did not run; for empirical claims ▲ ▼ ○.
pub(super) fn mark(report: &Report) -> &'static str {
    if report.did_not_run() {
        return "–";
    }
    match (&report.outcome.verdict, report.meta.kind) {
        _ if !report.as_expected() => "✗",
        (_, Kind::Theorem | Kind::Counterexample) => "✓",
        (Verdict::Upheld, Kind::Empirical) => "▲",
        (Verdict::Refuted, Kind::Empirical) => "▼",
        (Verdict::Inconclusive(_), Kind::Empirical) => "○",
    }
}

/// Returns the verdict of each claim on a chosen model beside the one that is recorded for SmolLM2.
pub(super) fn beside(run: &Run, recorded: &Lock) -> String {
    let mut out = String::new();
    let width = run.reports.iter().map(|report| report.meta.id.len()).max().unwrap_or(0);
    let _ = writeln!(out, "\n{:<width$}  {:<14} SmolLM2", "claim", "this model");
    for report in &run.reports {
        let id = report.meta.id;
        let entry = recorded.entries.get(id).and_then(|entry| entry.verdicts.get(&run.tier));
        let theirs = entry.map_or("not recorded".to_owned(), ToString::to_string);
        let _ = writeln!(out, "{id:<width$}  {:<14} {theirs}", report.outcome.verdict.word());
    }
    out
}

/// Returns one line for each claim, then the failures, the changes and the claims that did not run.
pub(super) fn text(run: &Run, lock: &Lock) -> String {
    let mut out = String::new();
    let width = run.reports.iter().map(|report| report.meta.id.len()).max().unwrap_or(0);
    let _ =
        writeln!(out, "\n  {:<width$}  {:<14} {:<12} {:>7}  result", "claim", "kind", "verdict", "seconds");
    for report in &run.reports {
        let (id, kind) = (report.meta.id, report.meta.kind);
        let (verdict, seconds) = (report.outcome.verdict.word(), report.seconds);
        let summary = report.summary();
        let _ = writeln!(
            out,
            "{} {id:<width$}  {kind:<14} {verdict:<12} {seconds:>7.1}  {summary}",
            mark(report)
        );
    }
    out.push('\n');
    for report in run.failures() {
        let _ = writeln!(out, "FAILED {report}\n");
    }
    for report in run.reports.iter().filter(|report| report.did_not_run()) {
        let _ = writeln!(out, "not run: {}: {}", report.meta.id, report.outcome.verdict);
    }
    for change in lock.compare(run) {
        let _ = writeln!(out, "changed: {change}");
    }
    for (reason, words) in [
        (LeftOut::Interrupted, "interrupted before they were finished"),
        (LeftOut::Real, "left out by --no-real"),
        (LeftOut::OnRequest, "left out, because they need the labelled corpus, which --full downloads"),
        (LeftOut::Tier, "left out, because they belong to a more expensive tier"),
    ] {
        let ids: Vec<&str> =
            run.left_out.iter().filter(|(_, left)| *left == reason).map(|(meta, _)| meta.id).collect();
        if !ids.is_empty() {
            let _ = writeln!(out, "{words}: {}", ids.join(", "));
        }
    }
    let seconds: f64 = run.reports.iter().map(|report| report.seconds).sum();
    let failures = run.failures().count();
    let _ = writeln!(
        out,
        "{} claims in {seconds:.1} s ({} tier, seed {}): {failures} failed, {} could not run",
        run.reports.len(),
        run.tier,
        run.seed,
        run.not_run().len(),
    );
    out
}
