//! The sentences of a file: comments, documentation, strings, names of functions, and pages.

use crate::tidy::scan::{Piece, pieces};

/// Text that belongs together, with its lines joined by blanks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// The joined text.
    pub(super) text: String,
    /// The offset in the text at which each line begins, and the number of that line.
    lines: Vec<(usize, usize)>,
    /// The kind of text.
    pub(super) kind: Kind,
}

/// The kinds of passages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A documentation comment above an item.
    ItemDoc,
    /// A documentation comment of a module.
    ModuleDoc,
    /// Any other comment.
    Comment,
    /// A string, the name of a function, or the text of a page.
    Text,
}

impl Passage {
    fn new(kind: Kind, line: usize, text: &str) -> Self {
        Self { text: text.to_owned(), lines: vec![(0, line)], kind }
    }

    fn join(&mut self, line: usize, text: &str) {
        self.text.push(' ');
        self.lines.push((self.text.len(), line));
        self.text.push_str(text);
    }

    /// Returns the number of the line that holds the byte at `offset`.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.iter().rev().find(|(start, _)| *start <= offset).map_or(0, |(_, line)| *line)
    }

    fn last_line(&self) -> usize {
        self.lines.last().map_or(0, |(_, line)| *line)
    }
}

/// Returns the passages of a file; none for a file without sentences.
pub(super) fn passages(file: &str, text: &str) -> Vec<Passage> {
    match file.rsplit('.').next().unwrap_or_default() {
        "rs" => of_rust(text),
        "md" | "py" | "sh" | "txt" => of_page(text, |_| true),
        "toml" => of_page(text, |line| !is_code_of_a_fault(line)),
        _ if file.ends_with(".ci/run") => of_page(text, |_| true),
        _ => Vec::new(),
    }
}

/// Returns true for the lines of a list of faults that quote code.
fn is_code_of_a_fault(line: &str) -> bool {
    ["find =", "replace =", "file =", "caught_by ="].iter().any(|key| line.trim_start().starts_with(key))
}

/// Joins the lines of a paragraph.
fn of_page(text: &str, counts: impl Fn(&str) -> bool) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let words = line.trim().trim_start_matches('#').trim();
        if words.is_empty() || !counts(line) {
            open = false;
        } else if open && let Some(last) = passages.last_mut() {
            last.join(index + 1, words);
        } else {
            passages.push(Passage::new(Kind::Text, index + 1, words));
            open = true;
        }
    }
    passages
}

fn of_rust(text: &str) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    for (line, piece) in pieces(text) {
        match piece {
            Piece::Comment(comment) => {
                let (kind, words) = comment_text(&comment);
                let last =
                    passages.last_mut().filter(|last| last.kind == kind && last.last_line() + 1 == line);
                match last {
                    Some(last) => last.join(line, words),
                    None => passages.push(Passage::new(kind, line, words)),
                }
            }
            Piece::Literal(literal) => {
                let mut lines = literal.lines().enumerate();
                let clean = |line: &'_ str| line.trim().trim_end_matches('\\').to_owned();
                if let Some((_, first)) = lines.next() {
                    let mut passage = Passage::new(Kind::Text, line, &clean(first));
                    lines.for_each(|(index, words)| passage.join(line + index, &clean(words)));
                    passages.push(passage);
                }
            }
            Piece::Code(code) => passages.extend(names_of_functions(&code, line)),
        }
    }
    passages
}

/// Splits a comment into its kind and its words.
fn comment_text(comment: &str) -> (Kind, &str) {
    let kinds = [("///", Kind::ItemDoc), ("//!", Kind::ModuleDoc), ("//", Kind::Comment)];
    let found = kinds.iter().find_map(|(slashes, kind)| Some((*kind, comment.strip_prefix(slashes)?)));
    let (kind, words) = found.unwrap_or((Kind::Comment, comment));
    (kind, words.trim())
}

/// Returns the names of functions as sentences: `a_row_is_read` is "a row is read".
fn names_of_functions(code: &str, first_line: usize) -> Vec<Passage> {
    let mut passages = Vec::new();
    for (index, line) in code.lines().enumerate() {
        for (at, _) in line.match_indices("fn ") {
            let name: String = line[at + 3..]
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect();
            if name.contains('_') {
                passages.push(Passage::new(Kind::Text, first_line + index, &name.replace('_', " ")));
            }
        }
    }
    passages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str, text: &str) -> Vec<String> {
        passages(file, text).into_iter().map(|passage| passage.text).collect()
    }

    #[test]
    fn comments_strings_and_names_are_found() {
        let text =
            "//! A module.\n/// One\n/// two.\nfn is_so() { f(\"three \\\n   four\") } // five\n// six\n";
        assert_eq!(texts("a.rs", text), ["A module.", "One two.", "is so", "\"three  four\"", "five six"]);
        let found = passages("a.rs", text);
        assert_eq!((found[1].kind, found[1].line(0), found[1].line(4)), (Kind::ItemDoc, 2, 3));
        assert_eq!((found[3].line(2), found[3].line(9)), (4, 5));
    }

    #[test]
    fn paragraphs_of_pages_are_joined() {
        assert_eq!(texts("a.md", "# Head\n\none\ntwo\n\nthree"), ["Head", "one two", "three"]);
        assert_eq!(texts("faults.toml", "name = \"a\"\nfind = 'c'\n# b"), ["name = \"a\"", "b"]);
        assert_eq!(texts("a.npz", "words"), [""; 0]);
    }
}
