//! Instructions of x86 stand only behind `cfg(target_arch = "x86_64")`, so that every other processor compiles the rest.

use super::problem::Problem;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The words that only compile on x86.
const OF_X86: [&str; 3] = ["x86_64", "is_x86_feature_detected", "target_feature"];

/// Checks one file.
pub(super) fn check(file: &str, text: &str) -> Vec<Problem> {
    let Ok(tokens) = text.parse::<TokenStream>() else { return Vec::new() };
    let mut lines = Vec::new();
    unguarded(&tokens.into_iter().collect::<Vec<_>>(), &mut lines);
    lines
        .into_iter()
        .map(|(line, word)| format!("{file}:{line}: {word:?} outside `cfg(target_arch = \"x86_64\")`"))
        .collect()
}

fn unguarded(tokens: &[TokenTree], found: &mut Vec<(usize, String)>) {
    let mut at = 0;
    while at < tokens.len() {
        if let Some(after) = guarded_item(tokens, at) {
            // The attribute `#![cfg(…)]` guards the rest of its block.
            at = after;
            continue;
        }
        match &tokens[at] {
            TokenTree::Ident(word) if OF_X86.iter().any(|name| word == name) => {
                found.push((word.span().start().line, word.to_string()));
            }
            TokenTree::Group(group) => unguarded(&group.stream().into_iter().collect::<Vec<_>>(), found),
            _ => {}
        }
        at += 1;
    }
}

/// Returns the place behind the item below `#[cfg(target_arch = "x86_64")]`, or behind everything for `#![cfg(…)]`.
fn guarded_item(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let is_sign =
        |at: usize, sign| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    if !is_sign(at, '#') {
        return None;
    }
    let inner = is_sign(at + 1, '!');
    let attribute = at + 1 + usize::from(inner);
    let TokenTree::Group(group) = tokens.get(attribute)? else { return None };
    let text = group.stream().to_string().replace(' ', "");
    if !text.starts_with("cfg(")
        || !text.contains("target_arch=\"x86_64\"")
        || text.contains("not(target_arch")
    {
        return None;
    }
    if inner {
        return Some(tokens.len());
    }
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => [';', ','].contains(&punct.as_char()),
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    };
    // The commas of generic parameters do not end an item; a comma ends an arm or a field.
    let item = ["fn", "mod", "impl", "struct", "enum", "trait", "use", "unsafe", "pub", "const", "static"];
    let mut next = attribute + 1;
    while is_sign(next, '#') {
        next += 2;
    }
    let is_item =
        matches!(tokens.get(next), Some(TokenTree::Ident(word)) if item.iter().any(|name| word == name));
    let is_use = matches!(tokens.get(next), Some(TokenTree::Ident(word)) if word == "use");
    let ends_here = |token: &TokenTree| {
        ends(token)
            && !(is_item && matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','))
            && !(is_use && matches!(token, TokenTree::Group(_)))
    };
    Some((next..tokens.len()).find(|&at| ends_here(&tokens[at])).map_or(tokens.len(), |end| end + 1))
}

#[cfg(test)]
mod tests {
    use super::check;

    fn problems(text: &str) -> usize {
        check("a.rs", text).len()
    }

    #[test]
    fn x86_needs_a_guard() {
        assert_eq!(problems("fn f() { use std::arch::x86_64::*; }"), 1);
        assert_eq!(problems("#[target_feature(enable = \"avx2\")] fn f() {}"), 1);
        assert_eq!(
            check("a.rs", "\nfn f() -> bool { is_x86_feature_detected!(\"avx2\") }")[0].split(' ').next(),
            Some("a.rs:2:")
        );
    }

    #[test]
    fn a_guard_holds_for_its_item_only() {
        let guard = "#[cfg(target_arch = \"x86_64\")]";
        let inside = "use std::arch::x86_64::*;";
        assert_eq!(problems(&format!("{guard} #[inline] fn f<A, B>() {{ {inside} }}")), 0);
        assert_eq!(problems(&format!("{guard} use std::arch::x86_64::{{a, b}}; {inside}")), 1);
        assert_eq!(problems(&format!("fn f() {{ {guard} {{ {inside} }} {inside} }}")), 1);
        assert_eq!(problems(&format!("{guard} mod m {{ {inside} }}")), 0);
        assert_eq!(problems(&format!("#!{} {inside}", &guard[1..])), 0);
        assert_eq!(problems(&format!("#[cfg(not(target_arch = \"x86_64\"))] fn f() {{ {inside} }}")), 1);
    }
}
