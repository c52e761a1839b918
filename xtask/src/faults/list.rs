//! The lists of faults: `crates/*/faults.toml`, read by a small reader of the part of TOML they use.

use anyhow::{Context, Result, bail, ensure};

/// A line that makes the code wrong if it replaces another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The description of the fault.
    pub(crate) name: String,
    /// The file, relative to the folder of the workspace.
    pub(crate) file: String,
    /// A text of one line that occurs exactly once in the file.
    pub(crate) find: String,
    /// The text that replaces it.
    pub(crate) replace: String,
    /// The claims and tests that catch the fault: ids of claims, or `test: path::name`.
    pub(crate) caught_by: Vec<String>,
    /// True if the fault changes no training, so that dictionaries from sound code can be used (`dictionaries = "kept"`).
    pub(crate) keeps_dictionaries: bool,
}

/// Reads tables `[[fault]]` with strings and lists of strings.
pub(crate) fn parse(text: &str) -> Result<Vec<Fault>> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut reader = Reader { rest: text };
    loop {
        reader.skip_blank(true);
        if reader.rest.is_empty() {
            break;
        }
        if let Some(rest) = reader.rest.strip_prefix("[[fault]]") {
            reader.rest = rest;
            faults.push(Fault::default());
            continue;
        }
        let (key, rest) = reader.rest.split_once('=').context("a key without a value")?;
        let key = key.trim();
        reader.rest = rest;
        let fault = faults.last_mut().context("a key before the first [[fault]]")?;
        match key {
            "name" => fault.name = reader.string()?,
            "file" => fault.file = reader.string()?,
            "find" => fault.find = reader.string()?,
            "replace" => fault.replace = reader.string()?,
            "caught_by" => fault.caught_by = reader.strings()?,
            "dictionaries" => {
                ensure!(reader.string()? == "kept", "dictionaries can only be \"kept\"");
                fault.keeps_dictionaries = true;
            }
            other => bail!("a fault has no key {other:?}"),
        }
    }
    for fault in &faults {
        let Fault { name, file, find, replace, caught_by, .. } = fault;
        ensure!(
            !name.is_empty() && !file.is_empty() && !find.is_empty(),
            "a fault lacks a name, a file or a line: {fault:?}"
        );
        ensure!(!caught_by.is_empty(), "{name:?} lists nothing that catches it");
        ensure!(find != replace, "{name:?} replaces a line with itself");
        ensure!(!find.contains('\n') && !replace.contains('\n'), "{name:?} has a text of more than one line");
    }
    Ok(faults)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Skips blanks and comments, and with `lines` also the ends of lines.
    fn skip_blank(&mut self, lines: bool) {
        loop {
            self.rest =
                if lines { self.rest.trim_start() } else { self.rest.trim_start_matches([' ', '\t']) };
            match self.rest.strip_prefix('#') {
                Some(comment) => self.rest = comment.find('\n').map_or("", |end| &comment[end..]),
                None => return,
            }
        }
    }

    /// Reads `"…"` with escapes, or `'…'` without.
    fn string(&mut self) -> Result<String> {
        self.skip_blank(false);
        if let Some(rest) = self.rest.strip_prefix('\'') {
            let end = rest
                .find(['\'', '\n'])
                .filter(|&end| rest[end..].starts_with('\''))
                .context("a string without end")?;
            self.rest = &rest[end + 1..];
            return Ok(rest[..end].to_owned());
        }
        let body = self.rest.strip_prefix('"').with_context(|| {
            format!("a string is expected before {:?}", self.rest.chars().take(30).collect::<String>())
        })?;
        let mut value = String::new();
        let mut letters = body.char_indices();
        while let Some((position, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = &body[position + 1..];
                    return Ok(value);
                }
                '\\' => value.push(match letters.next().map(|(_, escaped)| escaped) {
                    Some(plain @ ('"' | '\\')) => plain,
                    Some('t') => '\t',
                    Some('n') => '\n',
                    other => bail!("unknown escape {other:?}; known are \\\", \\\\, \\t and \\n"),
                }),
                '\n' => break,
                other => value.push(other),
            }
        }
        bail!("a string without end")
    }

    /// Reads `["…", "…"]`, which may span several lines.
    fn strings(&mut self) -> Result<Vec<String>> {
        self.skip_blank(false);
        self.rest = self.rest.strip_prefix('[').context("a list is expected")?;
        let mut values = Vec::new();
        loop {
            self.skip_blank(true);
            if let Some(rest) = self.rest.strip_prefix(']') {
                self.rest = rest;
                return Ok(values);
            }
            values.push(self.string()?);
            self.skip_blank(true);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
            } else {
                ensure!(self.rest.starts_with(']'), "a list without end");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "# faults\n[[fault]]\nname = \"a \\\"b\\\" \\\\\" # why\nfile = 'src/x.rs'\nfind = 'let a = \"x\";'\n\
                       replace = \"\"\ncaught_by = [\n  \"sae/x\", # first\n  'test: it::y',\n]\n";

    #[test]
    fn a_list_is_read() {
        let faults = parse(&format!("{ONE}\n{ONE}")).unwrap();
        assert_eq!(faults.len(), 2);
        let expected = Fault {
            name: "a \"b\" \\".into(),
            file: "src/x.rs".into(),
            find: "let a = \"x\";".into(),
            replace: String::new(),
            caught_by: vec!["sae/x".into(), "test: it::y".into()],
            keeps_dictionaries: false,
        };
        assert_eq!(faults[1], expected);
    }

    #[test]
    fn missing_and_unknown_parts_are_errors() {
        for (from, to) in [
            ("name =", "nom ="),
            ("'src/x.rs'", "src/x.rs"),
            ("'src/x.rs'", "'src/x.rs"),
            ("\"sae/x\", # first\n  'test: it::y',", ""),
            ("replace = \"\"", "replace = 'let a = \"x\";'"),
            ("[[fault]]", ""),
            ("\\\\\" # why", "\\\\ # why"),
            ("'test: it::y',\n]", "'test: it::y',"),
        ] {
            assert!(ONE.contains(from), "{from}");
            assert!(parse(&ONE.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }
}
