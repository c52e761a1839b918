//! Rules of the written pages: ids of claims exist, every claim is listed, the README begins as it should.

use super::problem::Problem;
use crate::claims::{self, Claim};
use crate::docs::CLAIMS;

/// The number of lines in the first screen of the README.
const FIRST_SCREEN: usize = 45;

/// The texts that the first screen must hold, each with its description.
const MUST_SHOW: [(&str, &str); 3] = [
    ("docs/pictures/", "the picture"),
    ("cargo claims", "the command of the main job"),
    ("cargo xtask test", "the command of the tests"),
];

/// Checks the first screen of the README.
pub(super) fn readme(text: &str) -> Vec<Problem> {
    let screen: String = text.lines().take(FIRST_SCREEN).flat_map(|line| [line, "\n"]).collect();
    let lacks = |(words, what): &(&str, &str)| {
        (!screen.contains(words)).then(|| format!("README.md: {what} ({words}) is not in the first screen"))
    };
    MUST_SHOW.iter().filter_map(lacks).collect()
}

/// Checks that every id in a page belongs to a registered claim.
pub(super) fn ids(texts: &[(String, String)], claims: &[Claim]) -> Vec<Problem> {
    let subjects: Vec<&str> = claims.iter().map(|claim| claim.subject.as_str()).collect();
    let mut problems = Vec::new();
    for (file, text) in texts.iter().filter(|(file, _)| file.ends_with(".md")) {
        for (index, line) in text.lines().enumerate() {
            // The odd pieces stand between backquotes.
            for quoted in line.split('`').skip(1).step_by(2).filter(|quoted| is_id(quoted, &subjects)) {
                if !claims.iter().any(|claim| claim.id == quoted) {
                    problems.push(format!("{file}:{}: there is no claim `{quoted}`", index + 1));
                }
            }
        }
    }
    problems
}

/// Returns true for `subject/short-kebab-name` with a subject that has claims.
fn is_id(text: &str, subjects: &[&str]) -> bool {
    text.split_once('/').is_some_and(|(subject, name)| {
        let kebab = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        subjects.contains(&subject) && !name.is_empty() && name.chars().all(kebab)
    })
}

/// Checks that the page of claims agrees with the binary.
pub(super) fn listed(texts: &[(String, String)], claims: &[Claim]) -> Vec<Problem> {
    let Some((_, text)) = texts.iter().find(|(file, _)| file == CLAIMS) else {
        return vec![format!("{CLAIMS} is missing: `cargo xtask docs --claims` writes it")];
    };
    let mut problems: Vec<Problem> = claims
        .iter()
        .filter(|claim| !text.contains(&format!("`{}`", claim.id)))
        .map(|claim| format!("{CLAIMS}: {} is not listed", claim.id))
        .collect();
    if problems.is_empty() && *text != claims::table(claims) {
        problems.push(format!(
            "{CLAIMS} differs from the registered claims: `cargo xtask docs --claims` rewrites it"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::tests::named;

    fn page(file: &str, text: &str) -> Vec<(String, String)> {
        vec![(file.to_owned(), text.to_owned())]
    }

    #[test]
    fn the_readme_must_show_the_picture_and_both_commands() {
        let good = "![picture](docs/pictures/a.svg)\n```\ncargo claims\ncargo xtask test\n```\n";
        assert_eq!(readme(good), Vec::<Problem>::new());
        for (words, _) in MUST_SHOW {
            assert_eq!(readme(&good.replace(words, "")).len(), 1, "{words}");
        }
        assert_eq!(readme(&("\n".repeat(FIRST_SCREEN) + good)).len(), 3);
    }

    #[test]
    fn ids_in_pages_must_exist() {
        let claims = [named("sae/x")];
        assert_eq!(
            ids(&page("docs/a.md", "see `sae/x`, `src/main`, `sae/x.rs` and sae/unquoted"), &claims).len(),
            0
        );
        assert_eq!(
            ids(&page("docs/a.md", "one\nsee `sae/y`"), &claims),
            ["docs/a.md:2: there is no claim `sae/y`"]
        );
    }

    #[test]
    fn every_claim_must_be_listed_as_it_is() {
        let claims = [named("sae/x"), named("slt/y")];
        let table = claims::table(&claims);
        assert_eq!(listed(&page(CLAIMS, &table), &claims), Vec::<Problem>::new());
        assert_eq!(listed(&page(CLAIMS, &table), &[&claims[..], &[named("sae/z")]].concat()).len(), 1);
        assert_eq!(listed(&page(CLAIMS, &table.replace("quick", "nightly")), &claims).len(), 1);
        assert_eq!(listed(&page(CLAIMS, &table), &claims[..1]).len(), 1, "one too many");
        assert_eq!(listed(&[], &claims).len(), 1);
    }
}
