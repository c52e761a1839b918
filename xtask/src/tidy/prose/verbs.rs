//! The documentation of a function begins with a verb: "Returns", "Reads", "Adds".

use super::phrases::Finding;

/// Returns the first words of the documentation of functions that are no verb in the third person. A word that ends
/// in "s" passes: this finds most sentences without a verb, not all.
pub(super) fn missing_verbs(text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_doc = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("///"));
    let mut found = Vec::new();
    for start in (0..lines.len()).filter(|&at| is_doc(at) && (at == 0 || !is_doc(at - 1))) {
        let end = (start..lines.len()).find(|&at| !is_doc(at)).unwrap_or(lines.len());
        let word = lines[start].trim_start_matches('/').split_whitespace().next().unwrap_or_default();
        let word = word.trim_end_matches([',', ':', ';', '.']);
        if is_function(item_after(&lines, end)) && !is_verb(word) {
            found.push((start + 1, format!("{word}…")));
        }
    }
    found
}

fn is_verb(word: &str) -> bool {
    word.ends_with('s') && word.starts_with(char::is_uppercase)
}

/// Returns the first line behind the attributes that begin at `at`.
fn item_after<'a>(lines: &[&'a str], mut at: usize) -> &'a str {
    while let Some(line) = lines.get(at).filter(|line| line.starts_with("#[")) {
        let open = !line.ends_with(']');
        at += 1;
        while open && lines.get(at).is_some_and(|line| !line.ends_with(']')) {
            at += 1;
        }
        at += usize::from(open);
    }
    lines.get(at).copied().unwrap_or_default()
}

fn is_function(line: &str) -> bool {
    let before = ["pub", "const", "async", "unsafe", "default", "extern", "\"C\""];
    line.split_whitespace().find(|word| !before.contains(word) && !word.starts_with("pub(")) == Some("fn")
}

#[cfg(test)]
mod tests {
    use super::missing_verbs;

    #[test]
    fn functions_begin_with_a_verb_and_other_items_need_not() {
        let text = "/// The sum.\n/// Returns it.\n#[inline]\npub(crate) const fn sum() {}\n/// Adds.\nfn add() {}\n\
                    /// The total.\nstruct Total;\n/// Sum:\n#[cfg(\n    test\n)]\n    fn f() {}\n";
        assert_eq!(missing_verbs(text), [(1, "The…".to_owned()), (9, "Sum…".to_owned())]);
    }
}
