//! Phrases that a reader who is no native speaker stumbles over, and shapes that are not written `[b, d]`.

use super::passages::{Kind, Passage};

/// A finding: the line, and the words.
pub(super) type Finding = (usize, String);

/// The phrases that no file may contain. A bar joins the two parts of each, so that this file passes its own rule.
const PHRASES: [&str; 15] = [
    "as they| come",
    "as it| comes",
    "so| many",
    "so| few",
    "in the place| of",
    "an|ew",
    "who|ever",
    "dealt| out",
    "time| round",
    "he|ars",
    "is| told",
    "me|ets",
    "cho|re",
    "cho|res",
    "the| house",
];

/// The beginnings that no first line of documentation may have.
const BEGINNINGS: [&str; 8] =
    ["What ", "Of ", "That of ", "By what ", "The same ", "Like ", "Whether ", "Returns whether "];

/// Returns the phrases of a passage.
pub(super) fn phrases(passage: &Passage) -> Vec<Finding> {
    let lower = passage.text.to_lowercase();
    let mut found = Vec::new();
    for phrase in PHRASES {
        let phrase = phrase.replace('|', "");
        for (at, _) in lower.match_indices(&phrase) {
            let before = lower[..at].chars().next_back();
            let after = lower[at + phrase.len()..].chars().next();
            let in_word = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric());
            if !in_word(before) && !in_word(after) {
                found.push((passage.line(at), phrase.clone()));
            }
        }
    }
    found
}

/// Returns the beginning of a documentation comment if it is none to begin with.
pub(super) fn beginning(passage: &Passage) -> Option<Finding> {
    let doc = matches!(passage.kind, Kind::ItemDoc | Kind::ModuleDoc);
    let found = BEGINNINGS.iter().find(|beginning| doc && passage.text.starts_with(**beginning))?;
    Some((passage.line(0), format!("{}…", found.trim_end())))
}

/// Returns the shapes written as products of letters, `b` times `d`. A product of three sizes is no shape.
pub(super) fn shapes(passage: &Passage) -> Vec<Finding> {
    let words: Vec<(usize, &str)> = positions(&passage.text).collect();
    let letter = |at: usize| {
        let word = words[at].1.trim_matches(|letter: char| !letter.is_alphanumeric());
        word.len() == 1 && word.chars().all(|letter| letter.is_ascii_lowercase())
    };
    let times = |at: usize| words.get(at).is_some_and(|(_, word)| *word == "×");
    (1..words.len().saturating_sub(1))
        .filter(|&at| times(at) && letter(at - 1) && letter(at + 1))
        .filter(|&at| !(times(at + 2) || at > 1 && times(at - 2)))
        .map(|at| (passage.line(words[at].0), format!("{} × {}", words[at - 1].1, words[at + 1].1)))
        .collect()
}

/// Returns the words of a text with their offsets.
fn positions(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

#[cfg(test)]
mod tests {
    use super::super::passages::passages;
    use super::*;

    fn found(text: &str) -> Vec<Finding> {
        passages("a.rs", text).iter().flat_map(phrases).collect()
    }

    #[test]
    fn phrases_are_found_as_whole_words_over_the_ends_of_lines() {
        let text = format!("// rows as they\n// {}, so\n// {} of them", "come", "many");
        let expected = [(1, "as they| come".replace('|', "")), (2, "so| many".replace('|', ""))];
        assert_eq!(found(&text), expected);
        assert!(found("// a shore, years, metres, Houseman, whichever").is_empty());
        assert_eq!(found(&format!("fn so_{}() {{}}", "few")).len(), 1);
    }

    #[test]
    fn beginnings_are_looked_for_in_documentation_only() {
        let all = |text: &str| passages("a.rs", text).iter().filter_map(beginning).count();
        assert_eq!(all("/// What a row is.\n/// Of all.\nfn f() {}\n// What else."), 1);
        assert_eq!(all("//! The same as above.\n/// Whatever."), 1);
        assert_eq!(
            all(
                "/// Like [`f`], for rows.\nfn g() {}\n/// Likely.\n\n/// Adds.\n///\n/// # Errors\n/// Like [`f`]."
            ),
            1
        );
        assert_eq!(all("/// Whether it is so.\nfield: bool,\n/// Returns whether it is.\nfn f() {}"), 2);
        assert_eq!(all("/// True if it is so.\nfield: bool,\n/// Returns true if it is.\nfn f() {}"), 0);
    }

    #[test]
    fn shapes_are_lists_in_brackets() {
        let all = |text: &str| passages("a.md", text).iter().flat_map(shapes).count();
        assert_eq!(all("`w`: m × n; result: (b × d)."), 2);
        assert_eq!(all("[m, n], 3 × n, rows × columns, m × k × n"), 0);
    }
}
