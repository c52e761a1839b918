//! The report as one HTML file that opens offline and needs no script.

use super::style::STYLE;
use super::summary::{Page, reading, remarks, sentence};
use crate::meta::{Kind, Subject, Tier};
use crate::run::Report;
use crate::verdict::Verdict;
use collimate_figures::escape;
use std::fmt::Write;

impl Page<'_> {
    /// Returns the run as one self-contained HTML file: a summary table, then a section for each claim.
    pub fn html(&self) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Claims: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1>Claims</h1>\n<p class=\"lead\">{}.</p>\n<p class=\"soft\">{}.</p>\n",
            escape(&self.setting()),
            escape(&self.headline()),
            escape(&self.setting())
        );
        for remark in remarks(self) {
            let _ = writeln!(out, "<p class=\"soft\">{}</p>", escape(&remark));
        }
        out += LEGEND;
        self.overview(&mut out);
        out += "</header>\n<main>\n";
        self.table(&mut out);
        for subject in self.subjects() {
            let _ = writeln!(out, "<section>\n<h2>{}</h2>", heading(subject));
            for report in self.run.reports.iter().filter(|report| report.meta.subject == subject) {
                article(&mut out, report);
            }
            out += "</section>\n";
        }
        out += "</main>\n</body>\n</html>\n";
        out
    }

    /// Returns the subjects in the order of their first claim.
    fn subjects(&self) -> Vec<Subject> {
        let mut out = Vec::new();
        for report in &self.run.reports {
            if !out.contains(&report.meta.subject) {
                out.push(report.meta.subject);
            }
        }
        out
    }

    /// Adds an overview of the run: one cell for each claim, one row for each subject.
    fn overview(&self, out: &mut String) {
        *out += "<div class=\"overview\">\n";
        for subject in self.subjects() {
            let _ = write!(out, "<span class=\"row\">{}</span><span>", heading(subject));
            for report in self.run.reports.iter().filter(|report| report.meta.subject == subject) {
                let (class, mark) = reading(report);
                let (id, anchor) = (escape(report.meta.id), anchor(report.meta.id));
                let word = word(report);
                let _ = write!(
                    out,
                    "<a class=\"cell {class}\" href=\"#{anchor}\" title=\"{id}: {word}\" aria-label=\"{id}: {word}\">{mark}</a>"
                );
            }
            *out += "</span>\n";
        }
        *out += "</div>\n";
    }

    fn table(&self, out: &mut String) {
        *out += "<table>\n<thead><tr><th>claim</th><th class=\"wide\">kind</th><th>verdict</th>\
                 <th class=\"wide\">result</th><th class=\"n wide\">seconds</th></tr></thead>\n<tbody>\n";
        for report in &self.run.reports {
            let _ = writeln!(
                out,
                "<tr><td><a href=\"#{anchor}\">{id}</a></td><td class=\"wide\">{kind}</td><td>{badge}</td>\
                 <td class=\"wide\">{result}</td><td class=\"n wide\">{seconds:.2}</td></tr>",
                anchor = anchor(report.meta.id),
                id = escape(report.meta.id),
                kind = report.meta.kind,
                badge = badge(report),
                result = escape(&report.summary()),
                seconds = report.seconds
            );
        }
        *out += "</tbody>\n</table>\n";
    }
}

const LEGEND: &str = "<p class=\"soft\"><span class=\"badge expected\">✓</span> as a theorem or a counterexample must be; \
<span class=\"badge failed\">✗</span> failed; a hypothesis is <span class=\"badge upheld\">▲ upheld</span>, \
<span class=\"badge refuted\">▼ refuted</span> or <span class=\"badge open\">○ inconclusive</span>; \
<span class=\"badge absent\">–</span> could not run.</p>\n";

/// Returns an id that is safe in an attribute and in a link.
fn anchor(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' }).collect()
}

fn badge(report: &Report) -> String {
    let (class, mark) = reading(report);
    format!("<span class=\"badge {class}\">{mark} {}</span>", word(report))
}

fn word(report: &Report) -> &'static str {
    if report.did_not_run() { "did not run" } else { report.outcome.verdict.word() }
}

fn heading(subject: Subject) -> &'static str {
    match subject {
        Subject::Tensor => "Numerics",
        Subject::Attention => "Attention",
        Subject::Transformer => "Transformers",
        Subject::Sae => "Sparse autoencoders",
        Subject::Superposition => "Superposition",
        Subject::Slt => "Singular learning theory",
        Subject::Own => "Other objects",
    }
}

fn article(out: &mut String, report: &Report) {
    let (meta, outcome) = (&report.meta, &report.outcome);
    let (class, _) = reading(report);
    let code = if meta.code.is_empty() { String::new() } else { format!(" · {}", escape(meta.code)) };
    let _ = write!(
        out,
        "<article class=\"{class}\" id=\"{}\">\n<div class=\"inner\">\n<p class=\"tag\">{} <code>{}</code></p>\n\
         <h3>{}</h3>\n<dl>\n<dt>Kind</dt><dd>{}{}{code}</dd>\n",
        anchor(meta.id),
        badge(report),
        escape(meta.id),
        escape(&sentence(meta.statement)),
        kind_in_words(meta.kind),
        if meta.real { ", on real data" } else { "" }
    );
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(text));
        }
    };
    if let Verdict::Inconclusive(why) = &outcome.verdict {
        row("Why", &why.to_string());
    }
    row("Source", meta.source);
    row("Protocol", meta.protocol);
    if report.tier != Tier::Nightly {
        row("Below nightly", meta.below_nightly);
    }
    row("Result", &report.summary());
    if outcome.rejected > 0 {
        row("Rejected", &format!("{} inputs", outcome.rejected));
    }
    row("Run", &format!("{} tier, seed {}, {:.2} s", report.tier, report.seed, report.seconds));
    *out += "</dl>\n";
    let lines = outcome.measurements.iter().map(ToString::to_string).chain(outcome.notes.iter().cloned());
    let items: String = lines.map(|line| format!("<li>{}</li>\n", escape(&line))).collect();
    if !items.is_empty() {
        let _ = write!(out, "<ul>\n{items}</ul>\n");
    }
    for figure in &outcome.figures {
        let _ = write!(
            out,
            "<figure>\n<figcaption><b>{}.</b> {}</figcaption>\n{}\n</figure>\n",
            escape(&figure.title),
            escape(&figure.caption),
            picture(&figure.svg)
        );
    }
    if let Some(counterexample) = &outcome.counterexample {
        let _ = writeln!(out, "<pre>{}</pre>", escape(&counterexample.literal));
    }
    *out += "</div>\n</article>\n";
}

/// Returns the picture as markup if it is a plain drawing, and otherwise as visible text, because a figure may hold any string.
fn picture(svg: &str) -> String {
    let lower = svg.to_ascii_lowercase();
    let words = ["<script", "<foreignobject", "<iframe", "<!", "<?", "<style", "javascript:", "href", "url("];
    // An event handler: `on…=` after white space, a quote or a slash.
    let handler = lower.match_indices("on").any(|(at, _)| {
        let before = lower[..at].ends_with([' ', '\t', '\n', '\r', '\u{c}', '"', '\'', '/']);
        let name = lower[at..].trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        before && name.trim_start().starts_with('=')
    });
    let drawing = lower.starts_with("<svg") && lower.trim_end().ends_with("</svg>");
    let single = lower.matches("<svg").count() == 1 && lower.matches("</svg").count() == 1;
    if drawing && single && !handler && !words.iter().any(|word| lower.contains(word)) {
        svg.to_owned()
    } else {
        format!("<pre>{}</pre>", escape(svg))
    }
}

fn kind_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Theorem => "theorem: must be upheld",
        Kind::Counterexample => "a false belief: must be refuted",
        Kind::Empirical => "hypothesis: the verdict is data",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_drawings_become_markup() {
        let good = "<svg viewBox=\"0 0 1 1\"><text>1 on = one</text></svg>";
        // Even text that looks like an event handler is shown as text.
        assert!(picture(good).starts_with("<pre>"));
        let good = "<svg viewBox=\"0 0 1 1\"><text>one</text></svg>";
        assert_eq!(picture(good), good);
        for bad in [
            "<b>x</b>",
            "<svg><script>x</script></svg>",
            "<svg onload=\"x\"></svg>",
            "<svg/onload=x></svg>",
            "<svg></svg><img src=x onerror =x><svg></svg>",
            "<svg><a href='javascript:x'>y</a></svg>",
        ] {
            let shown = picture(bad);
            assert!(
                shown.starts_with("<pre>") && !shown.contains("<svg") && !shown.contains("<b>"),
                "{shown}"
            );
        }
    }
}
