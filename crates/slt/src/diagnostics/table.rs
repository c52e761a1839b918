//! The cells of a text table: comma, semicolon, tab or space separated, with quotes and comments.

use crate::TraceError;

/// One row of a table with the number of its first line, counted from 1.
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

/// The rows of a table.
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// The last comment before the first row, split like a row. `savetxt` of numpy writes the header so.
    pub(super) comment: Option<Row>,
    /// True if numbers may have a decimal comma, because another character separates the cells.
    pub(super) decimal_comma: bool,
}

/// Returns an error at a line.
pub(super) fn bad(line: usize, problem: impl Into<String>) -> TraceError {
    TraceError { place: format!("line {line}"), problem: problem.into() }
}

impl Table {
    /// Splits a text into cells. The first row decides which character separates them: a tab, a semicolon, a comma, or spaces.
    pub(super) fn of(text: &str) -> Result<Self, TraceError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let kind = match text.trim_start().chars().next() {
            Some('{' | '[') => Some("JSON"),
            Some('<') => Some("HTML or XML"),
            _ => None,
        };
        if let Some(kind) = kind {
            let problem = format!(
                "the text is {kind}; expected a table with one draw in each row (CSV, TSV or spaces)"
            );
            return Err(TraceError { place: "line 1".to_owned(), problem });
        }
        let is_data = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let before: usize = text.split_inclusive('\n').take_while(|line| !is_data(line)).map(str::len).sum();
        let separator = ['\t', ';', ','].into_iter().find(|&c| first_row(&text[before..]).any(|x| x == c));
        let mut comment = None;
        let mut rows: Vec<Row> = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((index, start)) = lines.next() {
            let line = index + 1;
            if let Some(said) = start.trim_start().strip_prefix('#') {
                if rows.is_empty() {
                    comment = Some(Row { line, cells: cells(said.trim(), separator) });
                }
                continue;
            }
            if start.trim().is_empty() {
                continue;
            }
            // A quoted cell may contain line breaks.
            let mut whole = start.to_owned();
            let mut open = start.matches('"').count() % 2 == 1;
            while open {
                let Some((_, next)) = lines.next() else { return Err(bad(line, "a quote is not closed")) };
                open ^= next.matches('"').count() % 2 == 1;
                whole.push('\n');
                whole.push_str(next);
            }
            rows.push(Row { line, cells: cells(&whole, separator) });
        }
        Ok(Self { rows, comment, decimal_comma: matches!(separator, Some('\t' | ';') | None) })
    }

    /// Returns the number in a cell; NaN for the words of other programs for a missing number. Returns `None` for other text.
    pub(super) fn number(&self, cell: &str) -> Option<f64> {
        if ["", "na", "n/a", "nan", "null", "none"].contains(&cell.to_ascii_lowercase().as_str()) {
            return Some(f64::NAN);
        }
        let comma = self.decimal_comma && cell.matches(',').count() == 1 && !cell.contains('.');
        if comma { cell.replace(',', ".").parse().ok() } else { cell.parse().ok() }
    }
}

/// Returns the characters of the first row that no quotes surround.
fn first_row(text: &str) -> impl Iterator<Item = char> {
    let mut quoted = false;
    let unquoted = move |c: char| {
        quoted ^= c == '"';
        (!quoted).then_some(c)
    };
    text.chars().map(unquoted).take_while(|c| *c != Some('\n')).flatten()
}

/// Splits a row into cells without their quotes. Without a separator, spaces separate.
fn cells(row: &str, separator: Option<char>) -> Vec<String> {
    let mut out = Vec::new();
    let (mut cell, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut letters = row.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            c if !quoted && (Some(c) == separator || separator.is_none() && c.is_whitespace()) => {
                // Several spaces are one separator.
                if separator.is_some() || was_quoted || !cell.is_empty() {
                    out.push(std::mem::take(&mut cell));
                }
                was_quoted = false;
            }
            c => cell.push(c),
        }
    }
    if separator.is_some() || was_quoted || !cell.is_empty() {
        out.push(cell);
    }
    out.iter().map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_split_by_any_separator_and_keep_their_quotes_inside() {
        assert_eq!(cells("a,\"b, c\",\"d\"\"e\",", Some(',')), ["a", "b, c", "d\"e", ""]);
        assert_eq!(cells("  1.0   2.0 ", None), ["1.0", "2.0"]);
        assert_eq!(cells("\"\" \"x y\" 3", None), ["", "x y", "3"]);
        let table = Table::of("\u{feff}# made by a program\n\"x;y\"\tz\n\n1,5\t2\n").unwrap();
        assert_eq!(table.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(table.rows[0].cells, ["x;y", "z"]);
        assert_eq!(table.number("1,5"), Some(1.5));
        assert!(table.number("NA").unwrap().is_nan() && table.number("two").is_none());
        let table = Table::of("\"a\nb\",c\n1,2\n").unwrap();
        assert_eq!((table.rows[0].cells[0].as_str(), table.rows[1].line), ("a\nb", 3));
        assert_eq!(table.number("1,5"), None);
        assert!(Table::of("\"a,b\n1,2\n").is_err());
    }
}
