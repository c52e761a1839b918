//! The words of comments, documentation, strings and pages. `CONTRIBUTING.md` has the rules.

mod passages;
mod phrases;
mod verbs;

use super::problem::Problem;
use passages::passages;
use phrases::Finding;
use std::collections::BTreeMap;

/// Files whose words are not checked, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("claims.lock", "written by `cargo claims --bless`; the statements are checked in the code"),
    ("docs/claims.md", "written by `cargo xtask docs --claims`; the statements are checked in the code"),
    ("docs/faults.md", "written by `cargo xtask faults`; the names are checked in the lists"),
    ("xtask/src/tidy/prose/phrases.rs", "holds the phrases"),
];

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// A phrase that is hard to read.
    Phrase,
    /// A documentation comment that begins with a word that leads astray.
    Beginning,
    /// A shape that is not written `[b, d]`.
    Shape,
    /// The documentation of a function without a verb.
    Verb,
}

/// A breach of a rule.
pub(super) struct Breach {
    file: String,
    line: usize,
    words: String,
    rule: Rule,
}

impl Breach {
    fn describe(&self) -> Problem {
        let why = match self.rule {
            Rule::Phrase => "say it in plain words",
            Rule::Beginning => "begin with a verb or with a noun and its article",
            Rule::Shape => "write the shape as [b, d]",
            Rule::Verb => "begin the documentation of a function with a verb: Returns, Reads, Adds",
        };
        format!("{}:{}: {:?}: {why}", self.file, self.line, self.words)
    }
}

/// Returns every breach in these files.
pub(super) fn breaches(texts: &[(String, String)]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (file, text) in texts.iter().filter(|(file, _)| !LEFT_OUT.iter().any(|(name, _)| name == file)) {
        let mut add = |rule: Rule, found: Vec<Finding>| {
            let breach = |(line, words)| Breach { file: file.clone(), line, words, rule };
            breaches.extend(found.into_iter().map(breach));
        };
        for passage in passages(file, text) {
            add(Rule::Phrase, phrases::phrases(&passage));
            add(Rule::Beginning, phrases::beginning(&passage).into_iter().collect());
            add(Rule::Shape, phrases::shapes(&passage));
        }
        if file.ends_with(".rs") {
            add(Rule::Verb, verbs::missing_verbs(text));
        }
    }
    breaches
}

/// Returns the descriptions of the breaches of the rules that `wanted` names.
pub(super) fn check(texts: &[(String, String)], wanted: &[Rule]) -> Vec<Problem> {
    breaches(texts).iter().filter(|breach| wanted.contains(&breach.rule)).map(Breach::describe).collect()
}

/// Returns the breaches below a path, and how often each occurs.
pub(super) fn report(texts: &[(String, String)], below: &str) -> String {
    let found = breaches(texts);
    let found: Vec<&Breach> = found.iter().filter(|breach| breach.file.starts_with(below)).collect();
    let mut counts: BTreeMap<(Rule, &str), usize> = BTreeMap::new();
    for breach in &found {
        let words = if breach.rule == Rule::Verb { "" } else { breach.words.as_str() };
        *counts.entry((breach.rule, words)).or_default() += 1;
    }
    let mut text: String = found.iter().map(|breach| breach.describe() + "\n").collect();
    text.push('\n');
    for ((rule, words), count) in counts {
        text += &format!("{count:>6} {rule:?} {words}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(file: &str, text: &str) -> Vec<(String, String)> {
        vec![(file.to_owned(), text.to_owned())]
    }

    #[test]
    fn breaches_have_a_place_and_files_that_are_left_out_have_none() {
        let text = format!("/// The rows, so {} of them.\nfn rows() {{}}\n", "many");
        let all = [Rule::Phrase, Rule::Verb];
        let found = check(&one("a.rs", &text), &all);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("a.rs:1: ") && found[0].ends_with("plain words"), "{}", found[0]);
        assert_eq!(check(&one("a.rs", &text), &all[..1]).len(), 1);
        assert_eq!(check(&one("claims.lock", &text), &all).len(), 0);
    }

    #[test]
    fn the_report_counts() {
        let text = format!("// so {}, so {}\n", "few", "few");
        let said = report(&one("crates/a.rs", &text), "crates");
        assert!(said.contains(&format!("     2 Phrase so {}", "few")), "{said}");
        assert_eq!(report(&one("crates/a.rs", &text), "xtask"), "\n");
    }
}
