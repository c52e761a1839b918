//! Takes Rust source apart into code, comments and strings.

/// A stretch of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Code, without comments and literals.
    Code(String),
    /// A comment, with its slashes.
    Comment(String),
    /// A string, a raw string or a character, with its quotes.
    Literal(String),
}

/// Returns the stretches of a source text in order, each with the line at which it begins, counted from one.
pub(super) fn pieces(text: &str) -> Vec<(usize, Piece)> {
    let letters: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut code = String::new();
    let (mut at, mut line, mut code_line) = (0, 1, 1);
    while at < letters.len() {
        let end = skip(&letters, at);
        if end == at {
            code.push(letters[at]);
            line += usize::from(letters[at] == '\n');
            at += 1;
            continue;
        }
        if !code.is_empty() {
            pieces.push((code_line, Piece::Code(std::mem::take(&mut code))));
        }
        let piece: String = letters[at..end].iter().collect();
        let lines = piece.matches('\n').count();
        let comment = piece.starts_with("//") || piece.starts_with("/*");
        pieces.push((line, if comment { Piece::Comment(piece) } else { Piece::Literal(piece) }));
        line += lines;
        code_line = line;
        at = end;
    }
    if !code.is_empty() {
        pieces.push((code_line, Piece::Code(code)));
    }
    pieces
}

/// Returns the code with comments, strings and characters replaced by blanks. Lines keep their numbers.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for (_, piece) in pieces(text) {
        match piece {
            Piece::Code(piece) => code += &piece,
            Piece::Comment(piece) | Piece::Literal(piece) => {
                code.push(' ');
                code.extend(piece.chars().filter(|&letter| letter == '\n'));
            }
        }
    }
    code
}

/// Returns the end of the comment, string or character that begins at `at`, or `at` if none begins there.
fn skip(text: &[char], at: usize) -> usize {
    let looking_at = |what: &str| text[at..].iter().take(what.chars().count()).copied().eq(what.chars());
    if looking_at("//") {
        return text[at..].iter().position(|&letter| letter == '\n').map_or(text.len(), |end| at + end);
    }
    if looking_at("/*") {
        return end_of_block_comment(text, at);
    }
    let after_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match text[at] {
        '"' => end_of_string(text, at + 1),
        'r' | 'b' if !after_word => {
            let mut open = at + 1;
            if text[at] == 'b' && text.get(open) == Some(&'r') {
                open += 1;
            }
            let raw = text[open - 1] == 'r';
            let hashes = text[open..].iter().take_while(|&&letter| letter == '#').count();
            match text.get(open + hashes) {
                Some('"') if raw => end_of_raw_string(text, open + hashes + 1, hashes),
                Some('"') if hashes == 0 => end_of_string(text, open + 1),
                _ => at,
            }
        }
        '\'' => match (text.get(at + 1), text.get(at + 2)) {
            (Some('\\'), Some(_)) => text[at + 3..]
                .iter()
                .position(|&letter| letter == '\'')
                .map_or(text.len(), |end| at + 3 + end + 1),
            (Some(_), Some('\'')) => at + 3,
            // A lifetime.
            _ => at,
        },
        _ => at,
    }
}

fn end_of_block_comment(text: &[char], at: usize) -> usize {
    let (mut depth, mut here) = (0, at);
    while here + 1 < text.len() {
        match (text[here], text[here + 1]) {
            ('/', '*') => (depth, here) = (depth + 1, here + 2),
            ('*', '/') => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            return here;
        }
    }
    text.len()
}

fn end_of_string(text: &[char], mut at: usize) -> usize {
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn end_of_raw_string(text: &[char], from: usize, hashes: usize) -> usize {
    (from..text.len())
        .find(|&at| {
            text[at] == '"'
                && text[at + 1..].iter().take(hashes).filter(|&&letter| letter == '#').count() == hashes
        })
        .map_or(text.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_and_every_piece_has_its_line() {
        let text = "let a = \"x\ny\"; // one\n/// two\nlet b = 'c';\n";
        let expected = [
            (1, Piece::Code("let a = ".into())),
            (1, Piece::Literal("\"x\ny\"".into())),
            (2, Piece::Code("; ".into())),
            (2, Piece::Comment("// one".into())),
            (2, Piece::Code("\n".into())),
            (3, Piece::Comment("/// two".into())),
            (3, Piece::Code("\nlet b = ".into())),
            (4, Piece::Literal("'c'".into())),
            (4, Piece::Code(";\n".into())),
        ];
        assert_eq!(pieces(text), expected);
        assert_eq!(code_only(text), "let a =  \n;  \n \nlet b =  ;\n");
    }
}
