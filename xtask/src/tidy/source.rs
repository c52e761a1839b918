//! Rules of Rust source and of manifests.

use super::problem::Problem;
use super::scan::code_only;

/// The macros that mark unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// The names that do not describe the content.
const VAGUE: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];

/// The largest distance in lines from an `unsafe` up to its safety comment.
const SAFETY_WITHIN: usize = 12;

/// Checks one file.
pub(super) fn check(file: &str, text: &str) -> Vec<Problem> {
    let code = code_only(text);
    let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    let in_kernels = parts.contains(&"kernels");
    let mut problems = Vec::new();
    if let Some(vague) = parts.iter().find(|part| VAGUE.contains(part)) {
        problems.push(format!("{file}: {vague:?} describes nothing; name the module after its content"));
    }
    let originals: Vec<&str> = text.lines().collect();
    for (index, line) in originals.iter().enumerate() {
        if line.trim_start().starts_with("//") && line.contains("```ignore") {
            problems.push(format!("{file}:{}: an example that is never compiled", index + 1));
        }
    }
    for (index, line) in code.lines().enumerate() {
        let mut say = |what: String| problems.push(format!("{file}:{}: {what}", index + 1));
        let words = words(line);
        for (position, word) in words.iter().enumerate() {
            let next = words.get(position + 1).copied().unwrap_or_default();
            match *word {
                "unsafe" if !in_kernels => say("`unsafe` outside a module named `kernels`".into()),
                "unsafe" if !has_safety_comment(&originals, index) => {
                    say("`unsafe` without a safety comment".into())
                }
                "mod" if VAGUE.contains(&next) => say(format!("a module named {next:?}")),
                word if UNFINISHED.contains(&word) && next == "!" => say(format!("`{word}!`")),
                "ignore" if position >= 2 && words[position - 2..position] == ["#", "["] => {
                    say("`#[ignore]`".into())
                }
                _ => {}
            }
        }
    }
    problems
}

/// Checks that a member inherits the lints. One of them demands documentation of every public item.
pub(super) fn check_manifest(file: &str, text: &str) -> Vec<Problem> {
    if text.contains("[workspace.lints.rust]") {
        let asks = text.contains("missing_docs = \"warn\"") && text.contains("unsafe_code = \"deny\"");
        return if asks {
            vec![]
        } else {
            vec![format!("{file}: missing_docs and unsafe_code are to be lints")]
        };
    }
    let lints = text
        .lines()
        .skip_while(|line| line.trim() != "[lints]")
        .nth(1)
        .is_some_and(|line| line.trim() == "workspace = true");
    if lints { vec![] } else { vec![format!("{file}: does not inherit the lints of the workspace")] }
}

fn has_safety_comment(lines: &[&str], index: usize) -> bool {
    let above = &lines[index.saturating_sub(SAFETY_WITHIN)..=index.min(lines.len().saturating_sub(1))];
    above.iter().any(|line| line.contains("//") && line.to_lowercase().contains("safe"))
}

/// Splits a line into identifiers and other single characters, without blanks.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let end = if in_word(first) { rest.find(|letter| !in_word(letter)) } else { Some(first.len_utf8()) };
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> usize {
        check("crates/x/src/a.rs", text).len()
    }

    #[test]
    fn unsafe_is_for_kernels_with_a_safety_comment() {
        assert_eq!(problems("fn f() { unsafe { g() } }"), 1);
        let with = "fn f() {\n    // Safety: checked above.\n    unsafe { g() }\n}";
        assert_eq!(check("crates/x/src/kernels/avx2.rs", with).len(), 0);
        assert_eq!(check("crates/x/src/kernels.rs", with).len(), 0);
        assert_eq!(check("crates/x/src/kernels.rs", "fn f() { unsafe { g() } }").len(), 1);
        assert_eq!(problems("#![deny(unsafe_code)]\nlet unsafely = 1;"), 0);
    }

    #[test]
    fn unfinished_work_is_noticed() {
        for text in
            ["todo!()", "unimplemented !(\"x\")", "dbg!(x)", "#[ignore]\nfn f() {}", "#[ignore = \"slow\"]"]
        {
            assert_eq!(problems(text), 1, "{text}");
        }
        assert_eq!(problems("/// ```ignore"), 1);
        for text in ["let todo = 1;", "fn ignore() {}", "x.ignore()", "let a = [todo, 1];"] {
            assert_eq!(problems(text), 0, "{text}");
        }
    }

    #[test]
    fn vague_names_are_noticed() {
        assert_eq!(check("crates/x/src/utils.rs", "").len(), 1);
        assert_eq!(check("crates/x/src/common/a.rs", "").len(), 1);
        assert_eq!(problems("mod helpers;"), 1);
        assert_eq!(problems("mod uncommon; use crate::common_case;"), 0);
    }

    #[test]
    fn comments_and_strings_do_not_count() {
        for text in [
            "// todo!()",
            "/* unsafe /* todo!() */ unsafe */ let a = 1;",
            "let a = \"todo!() \\\" unsafe\";",
            "let a = r#\"unsafe \" todo!()\"#;",
            "let a = br\"unsafe\"; let b = b\"unsafe\";",
            "let quote = '\"'; let b = '\\''; // unsafe\nlet c = \"unsafe\";",
            "fn f<'a>(x: &'a str) {} // unsafe",
        ] {
            assert_eq!(problems(text), 0, "{text}");
        }
        // Code behind them counts, on its own line.
        let text = "let a = \"\n\n\"; /*\n*/ todo!()";
        assert_eq!(check("a.rs", text), ["a.rs:4: `todo!`"]);
        assert_eq!(problems("let c = 'x'; todo!()"), 1);
        assert_eq!(problems("let r = r\"\\\"; todo!()"), 1);
    }

    #[test]
    fn a_manifest_must_inherit_the_lints() {
        assert_eq!(check_manifest("Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n").len(), 0);
        assert_eq!(check_manifest("Cargo.toml", "[package]\n").len(), 1);
        assert_eq!(check_manifest("Cargo.toml", "[lints]\n[dependencies]\nworkspace = true").len(), 1);
        let root = "[workspace.lints.rust]\nmissing_docs = \"warn\"\nunsafe_code = \"deny\"\n";
        assert_eq!(check_manifest("Cargo.toml", root).len(), 0);
        assert_eq!(check_manifest("Cargo.toml", &root.replace("deny", "warn")).len(), 1);
    }
}
