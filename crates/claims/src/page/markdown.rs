//! The report as Markdown.

use super::summary::{Page, reading, remarks, sentence};
use crate::meta::{Kind, Tier};
use crate::verdict::Verdict;
use std::fmt::Write;

impl Page<'_> {
    /// Returns the run as Markdown: a table, then a section for each claim.
    pub fn markdown(&self) -> String {
        let mut out = format!("# Claims\n\n{}.\n\n{}.\n\n", self.headline(), self.setting());
        for remark in remarks(self) {
            let _ = writeln!(out, "* {}", plain(&remark));
        }
        out += "\n| claim | kind | verdict | result | seconds |\n|---|---|---|---|---:|\n";
        for report in &self.run.reports {
            let (_, mark) = reading(report);
            let verdict = report.outcome.verdict.word();
            let result = plain(&report.summary());
            let _ = writeln!(
                out,
                "| `{}` | {} | {mark} {verdict} | {result} | {:.2} |",
                report.meta.id, report.meta.kind, report.seconds
            );
        }
        for report in &self.run.reports {
            let (meta, outcome) = (&report.meta, &report.outcome);
            let _ = write!(
                out,
                "\n## `{}`: {}\n\n{}\n",
                meta.id,
                plain(&outcome.verdict.to_string()),
                plain(&sentence(meta.statement))
            );
            let mut item = |name: &str, text: &str| {
                if !text.is_empty() {
                    let _ = write!(out, "\n* {name}: {}", plain(text));
                }
            };
            if meta.kind == Kind::Counterexample && outcome.verdict == Verdict::Refuted {
                item("Kind", "a false belief, refuted as it should be");
            }
            item("Source", meta.source);
            item("Protocol", meta.protocol);
            if report.tier != Tier::Nightly {
                item("Below nightly", meta.below_nightly);
            }
            item("Result", &report.summary());
            outcome.measurements.iter().for_each(|measurement| item("Measured", &measurement.to_string()));
            outcome.notes.iter().for_each(|note| item("Note", note));
            out.push('\n');
            if let Some(counterexample) = &outcome.counterexample {
                // The fence must be longer than any run of backticks inside.
                let longest = counterexample.literal.split(|c| c != '`').map(str::len).max().unwrap_or(0);
                let fence = "`".repeat(longest.max(2) + 1);
                let _ = write!(out, "\n{fence}rust\n{}\n{fence}\n", counterexample.literal);
            }
        }
        out
    }
}

/// Returns text that Markdown shows literally, on one line and inside a table.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
