//! Faults behind a switch that is read at run time, so that one build holds all of them.

use super::Fault;
use anyhow::{Context, Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The environment variable with the number of the active fault, counted from 1.
pub(crate) const VARIABLE: &str = "COLLIMATE_FAULT";

/// Returns the code that a crate with faults gets at the end of its root file.
fn reader() -> String {
    format!(
        "
#[inline]
pub(crate) fn fault_switch() -> usize {{
    static NUMBER: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {{
        std::env::var({VARIABLE:?}).ok().and_then(|number| number.parse().ok()).unwrap_or(0)
    }});
    *NUMBER
}}
"
    )
}

/// The inside of the braces of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Body {
    range: Range<usize>,
    /// True if it may branch at run time. A `const fn` may not, nor a function that returns `impl Trait`.
    branches: bool,
}

/// Returns the files that replace the sound ones, and the numbers of the faults that they hold. A number is the place of the
/// fault in the list, counted from 1.
pub(crate) fn switched(
    faults: &[&Fault],
    read: impl Fn(&str) -> Result<String>,
) -> Result<(BTreeMap<String, String>, BTreeSet<usize>)> {
    let (mut files, mut roots, mut numbers) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut by_file: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, fault) in faults.iter().enumerate() {
        by_file.entry(&fault.file).or_default().push(index);
    }
    for (file, indices) in by_file {
        // Faults in files of no library are built alone.
        let Some(root) = root_of(file).filter(|root| read(root).is_ok()) else { continue };
        let faults: Vec<_> = indices.into_iter().map(|index| (index + 1, faults[index])).collect();
        let (text, put) = switch_file(&read(file)?, &faults).with_context(|| format!("in {file}"))?;
        if !put.is_empty() {
            numbers.extend(put);
            files.insert(file.to_owned(), text);
            roots.insert(root);
        }
    }
    for root in roots {
        let text = files.remove(&root).map_or_else(|| read(&root), Ok)?;
        files.insert(root, text + &reader());
    }
    Ok((files, numbers))
}

/// Returns the root file of the library that a file belongs to.
fn root_of(file: &str) -> Option<String> {
    file.split_once("/src/").map(|(package, _)| format!("{package}/src/lib.rs"))
}

/// Returns the text with the faults beside the sound bodies of their functions, and the numbers of the faults in it.
fn switch_file(text: &str, faults: &[(usize, &Fault)]) -> Result<(String, Vec<usize>)> {
    let stream: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
    let mut bodies = Vec::new();
    collect(stream, &mut bodies);
    let mut held: Vec<(Range<usize>, Vec<(usize, &Fault)>)> = Vec::new();
    for &(number, fault) in faults {
        let Some(start) = text.find(&fault.find) else { continue };
        let place = start..start + fault.find.len();
        let around = |body: &&Body| body.range.start <= place.start && place.end <= body.range.end;
        let Some(body) = bodies.iter().filter(around).min_by_key(|body| body.range.len()) else { continue };
        if !body.branches {
            continue;
        }
        match held.iter_mut().find(|(range, _)| *range == body.range) {
            Some((_, of_body)) => of_body.push((number, fault)),
            None => held.push((body.range.clone(), vec![(number, fault)])),
        }
    }
    // A function with faults may hold another one with faults. Only the inner one gets a switch.
    let ranges: Vec<_> = held.iter().map(|(range, _)| range.clone()).collect();
    let holds_another = |range: &Range<usize>| {
        ranges.iter().any(|other| other != range && range.start <= other.start && other.end <= range.end)
    };
    held.retain(|(range, _)| !holds_another(range));
    held.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let (mut text, mut numbers) = (text.to_owned(), Vec::new());
    for (range, faults) in held {
        let sound = text[range.clone()].to_owned();
        let mut branches = String::from(" match crate::fault_switch() {");
        for (number, fault) in faults {
            let faulty = sound.replacen(&fault.find, &fault.replace, 1);
            branches.push_str(&format!(" {number} => {{{faulty}\n}}"));
            numbers.push(number);
        }
        branches.push_str(&format!(" _ => {{{sound}\n}} }}\n"));
        text.replace_range(range, &branches);
    }
    Ok((text, numbers))
}

/// Collects all function bodies, including those inside macros and other bodies.
fn collect(stream: TokenStream, into: &mut Vec<Body>) {
    // The tokens since the last thing that ends an item or a statement.
    let mut before: Vec<TokenTree> = Vec::new();
    for token in stream {
        if let TokenTree::Group(group) = &token {
            collect(group.stream(), into);
            if group.delimiter() == Delimiter::Brace {
                if let Some(branches) = head(&before) {
                    let range = group.span_open().byte_range().end..group.span_close().byte_range().start;
                    into.push(Body { range, branches });
                }
                before.clear();
                continue;
            }
        }
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => before.clear(),
            _ => before.push(token),
        }
    }
}

/// Returns true if the body of a function may branch if these tokens are its head, and nothing otherwise.
fn head(tokens: &[TokenTree]) -> Option<bool> {
    let word = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(ident) if ident == word);
    let sign = |token: &TokenTree, sign| matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign);
    // The type of a function pointer has no name after `fn`.
    let named = |at: usize| {
        tokens.get(at + 1).is_some_and(|next| matches!(next, TokenTree::Ident(_)) || sign(next, '$'))
    };
    let at = (0..tokens.len()).find(|&at| word(&tokens[at], "fn") && named(at))?;
    let constant = tokens[..at].iter().any(|token| word(token, "const"));
    let arrow = (at..tokens.len().saturating_sub(1))
        .find(|&i| sign(&tokens[i], '-') && sign(&tokens[i + 1], '>'))
        .unwrap_or(tokens.len());
    let opaque = tokens[arrow..].iter().any(|token| word(token, "impl"));
    Some(!constant && !opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(find: &str, replace: &str) -> Fault {
        Fault {
            name: find.into(),
            file: "crates/a/src/b.rs".into(),
            find: find.into(),
            replace: replace.into(),
            ..Fault::default()
        }
    }

    #[test]
    fn every_fault_gets_a_body_of_its_own() {
        let text = "/// é {\nfn f(x: i32) -> i32 {\n    x + 1 // }\n}\nmacro_rules! m { ($f:ident) => { fn $f() { 9 } } }\n";
        let (one, two) = (fault("x + 1", "x - 1"), fault("{ 9 }", "{ 4 }"));
        let three = fault("+ 1 //", "+ 2 //");
        let (switched, numbers) = switch_file(text, &[(1, &one), (2, &two), (7, &three)]).unwrap();
        let count = |part: &str| switched.matches(part).count();
        // The braces of a macro's function are not inside of its body.
        assert_eq!((numbers, count("x - 1"), count("x + 2"), count("x + 1")), (vec![1, 7], 1, 1, 1));
        let inner = fault("9", "4");
        let (switched, numbers) = switch_file(text, &[(5, &inner)]).unwrap();
        assert_eq!(numbers, [5]);
        assert!(
            switched.contains("fn $f() { match crate::fault_switch() { 5 => { 4 \n} _ => { 9 \n} }\n}"),
            "{switched}"
        );
        assert!(switched.parse::<TokenStream>().is_ok());
    }

    #[test]
    fn bodies_that_cannot_branch_are_built_alone() {
        let text = "const fn f() -> i32 { 1 }\nfn g() -> impl Fn() -> i32 { || 2 }\nconst C: i32 = 3;\nfn h(k: impl Fn(fn(i32)) -> i32) { k(|_| 4); }";
        let list = ["1", "2", "3", "4"].map(|digit| fault(digit, "0"));
        let faults: Vec<_> = list.iter().enumerate().map(|(i, fault)| (i + 1, fault)).collect();
        // "3" occurs first in i32, outside of every body, and so does "2".
        assert_eq!(switch_file(text, &faults).unwrap().1, [4]);
    }

    #[test]
    fn the_root_of_the_crate_reads_the_switch_once() {
        let faults = [fault("1", "2"), Fault { file: "crates/a/src/lib.rs".into(), ..fault("5", "6") }];
        let text = |file: &str| {
            Ok(if file.ends_with("/b.rs") { "fn f() { 1 }" } else { "mod b; fn g() { 5 }" }.to_owned())
        };
        let (files, numbers) = switched(&faults.iter().collect::<Vec<_>>(), text).unwrap();
        assert_eq!(numbers, BTreeSet::from([1, 2]));
        assert_eq!(files["crates/a/src/lib.rs"].matches("pub(crate) fn fault_switch").count(), 1);
        assert!(files["crates/a/src/lib.rs"].contains("2 => { 6 "));
        assert!(files["crates/a/src/b.rs"].contains("1 => { 2 "));
    }
}
