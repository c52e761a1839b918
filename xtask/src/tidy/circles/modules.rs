//! The modules of a crate, read from its tokens: what each declares, what it imports and which paths it names.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A module of a crate: a file, or a block `mod name { … }` inside one.
#[derive(Debug)]
pub(super) struct Module {
    /// The enclosing module; none for the root of the crate.
    pub(super) parent: Option<usize>,
    /// The index of its file in [`Crate::files`].
    pub(super) file: usize,
    /// The modules declared in it.
    pub(super) children: BTreeMap<String, usize>,
    /// The names of its functions, types, constants and macros.
    pub(super) items: BTreeSet<String>,
    /// The path behind each imported name.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// The paths of which every name is imported.
    pub(super) globs: Vec<Vec<String>>,
    /// The paths that it names, in imports and in code.
    pub(super) mentions: Vec<Mention>,
}

/// A path that a module names.
#[derive(Debug)]
pub(super) struct Mention {
    /// The segments of the path.
    pub(super) path: Vec<String>,
    /// The line, counted from one.
    pub(super) line: usize,
    /// How the path is imported; none for a path in code.
    pub(super) import: Option<Import>,
}

/// An import of a path.
#[derive(Debug)]
pub(super) struct Import {
    /// The imported name; none for `use path::*`.
    pub(super) name: Option<String>,
    /// True for `pub use` and `pub(…) use`.
    pub(super) public: bool,
}

/// The modules of one crate. The first module is the root.
#[derive(Debug, Default)]
pub(super) struct Crate {
    /// The names of the files.
    pub(super) files: Vec<String>,
    /// The modules, parents before children.
    pub(super) modules: Vec<Module>,
    /// The file of each macro that `#[macro_export]` puts at the root.
    pub(super) exported_macros: BTreeMap<String, usize>,
    /// The words that each file uses outside of imports and declarations of modules.
    pub(super) words: Vec<HashSet<String>>,
}

impl Crate {
    /// Reads a crate from its root file. `read` returns the text of a file, or nothing where there is none.
    pub(super) fn read(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut krate = Self::default();
        krate.read_file(root, None, &folder(root), read);
        krate
    }

    /// Reads one file as the module below `parent`; its children lie in `children_in`.
    fn read_file(
        &mut self,
        name: &str,
        parent: Option<usize>,
        children_in: &str,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Option<usize> {
        let tokens: TokenStream = read(name)?.parse().ok()?;
        self.files.push(name.to_owned());
        self.words.push(HashSet::new());
        let file = self.files.len() - 1;
        let module = self.open(parent, file);
        let mut declared = Vec::new();
        Reader { krate: self, module, declared: &mut declared }.module_level(&plain(tokens));
        for (within, child) in declared {
            let inside = self.path_below(within, module);
            let base = format!("{children_in}{inside}{child}");
            for (path, below) in [(format!("{base}.rs"), &base), (format!("{base}/mod.rs"), &base)] {
                if let Some(index) = self.read_file(&path, Some(within), &format!("{below}/"), read) {
                    self.modules[within].children.insert(child.clone(), index);
                    break;
                }
            }
        }
        Some(module)
    }

    /// Returns the folders that blocks of modules add between the module of a file and a module inside it.
    fn path_below(&self, mut module: usize, file_module: usize) -> String {
        let mut path = String::new();
        while module != file_module {
            let Some(parent) = self.modules[module].parent else { break };
            let name = self.modules[parent].children.iter().find(|(_, child)| **child == module);
            path = format!("{}/{path}", name.map_or("", |(name, _)| name));
            module = parent;
        }
        path
    }

    fn open(&mut self, parent: Option<usize>, file: usize) -> usize {
        self.modules.push(Module {
            parent,
            file,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        });
        self.modules.len() - 1
    }
}

/// Returns the folder of a file, with a slash at its end.
fn folder(file: &str) -> String {
    file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"))
}

fn plain(tokens: TokenStream) -> Vec<TokenTree> {
    tokens.into_iter().collect()
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string().trim_start_matches("r#").to_owned()),
        _ => None,
    }
}

fn is_word(token: Option<&TokenTree>, text: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == text)
}

fn is_sign(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_sign(tokens.get(at), ':') && is_sign(tokens.get(at + 1), ':')
}

fn braces(token: Option<&TokenTree>) -> Option<Vec<TokenTree>> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => Some(plain(group.stream())),
        _ => None,
    }
}

/// Reads the tokens of one module.
struct Reader<'a> {
    krate: &'a mut Crate,
    module: usize,
    /// The modules that lie in files of their own, each with the module that declares it.
    declared: &'a mut Vec<(usize, String)>,
}

/// The words before the name of an item.
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];

impl Reader<'_> {
    fn here(&mut self) -> &mut Module {
        &mut self.krate.modules[self.module]
    }

    /// Reads the tokens of a module itself, whose items others can name.
    fn module_level(&mut self, tokens: &[TokenTree]) {
        let exported = exported_macros(tokens);
        for pair in tokens.windows(3) {
            let name = match &pair[0] {
                TokenTree::Ident(first) if first == "macro_rules" => word(pair.get(2)),
                TokenTree::Ident(first) if ITEMS.iter().any(|item| first == item) => {
                    word(pair.get(1)).filter(|name| !ITEMS.contains(&name.as_str()))
                }
                _ => None,
            };
            if let Some(name) = name {
                self.here().items.insert(name);
            }
        }
        let file = self.krate.modules[self.module].file;
        self.krate.exported_macros.extend(exported.into_iter().map(|name| (name, file)));
        self.code(tokens);
    }

    /// Reads imports, modules and paths wherever they stand.
    fn code(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            if let Some(after) = test_only(tokens, at) {
                at = after;
            } else if is_word(tokens.get(at), "use") && !is_sign(tokens.get(at + 1), '<') {
                at = self.import(tokens, at);
            } else if is_word(tokens.get(at), "mod") {
                at = self.module_declaration(tokens, at);
            } else if let Some(first) = word(tokens.get(at)) {
                at = self.path(tokens, at, first);
            } else {
                if let TokenTree::Group(group) = &tokens[at] {
                    self.code(&plain(group.stream()));
                }
                at += 1;
            }
        }
    }

    /// Reads a path that begins at `at`, or a single word.
    fn path(&mut self, tokens: &[TokenTree], at: usize, first: String) -> usize {
        let outside = at >= 2 && is_colons(tokens, at - 2);
        let line = tokens[at].span().start().line;
        let mut path = vec![first];
        let mut end = at + 1;
        while is_colons(tokens, end)
            && let Some(next) = word(tokens.get(end + 2))
        {
            path.push(next);
            end += 3;
        }
        let file = self.here().file;
        self.krate.words[file].insert(path[0].clone());
        if path.len() > 1 && !outside {
            self.here().mentions.push(Mention { path, line, import: None });
        }
        end
    }

    /// Reads `use …;` and returns the place behind it.
    fn import(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let length = tokens[at..].iter().position(|token| is_sign(Some(token), ';'));
        let end = length.map_or(tokens.len(), |length| at + length);
        let public =
            at > 0 && (is_word(tokens.get(at - 1), "pub") || at > 1 && is_word(tokens.get(at - 2), "pub"));
        let line = tokens[at].span().start().line;
        let mut leaves = Vec::new();
        use_tree(&tokens[at + 1..end], &[], &mut leaves);
        for Leaf { path, name } in leaves {
            match &name {
                Some(name) => _ = self.here().imports.insert(name.clone(), path.clone()),
                None => self.here().globs.push(path.clone()),
            }
            self.here().mentions.push(Mention { path, line, import: Some(Import { name, public }) });
        }
        end + 1
    }

    /// Reads `mod name;` or `mod name { … }`, also with a name that a macro fills in.
    fn module_declaration(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let dollar = usize::from(is_sign(tokens.get(at + 1), '$'));
        let Some(name) = word(tokens.get(at + 1 + dollar)) else { return at + 1 };
        let after = at + 2 + dollar;
        if is_sign(tokens.get(after), ';') {
            self.declared.push((self.module, name));
            return after + 1;
        }
        let Some(body) = braces(tokens.get(after)) else { return after };
        let file = self.here().file;
        let module = self.krate.open(Some(self.module), file);
        self.here().children.insert(name, module);
        Reader { krate: &mut *self.krate, module, declared: &mut *self.declared }.module_level(&body);
        after + 1
    }
}

/// Returns the names of the macros below `#[macro_export]`.
fn exported_macros(tokens: &[TokenTree]) -> Vec<String> {
    let exports = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.stream().to_string() == "macro_export");
    let name_after = |at: usize| {
        let start = (at..tokens.len()).find(|&at| is_word(tokens.get(at), "macro_rules"))?;
        word(tokens.get(start + 2))
    };
    (0..tokens.len()).filter(|&at| exports(&tokens[at])).filter_map(name_after).collect()
}

/// Returns the place behind an item that only tests see, where `#[cfg(test)]` stands at `at`.
fn test_only(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let TokenTree::Group(group) = tokens.get(at + 1)? else { return None };
    if !is_sign(tokens.get(at), '#') || !asks_for_test(&plain(group.stream())) {
        return None;
    }
    let mut here = at + 2;
    // Further attributes of the item.
    while is_sign(tokens.get(here), '#') {
        here += 2;
    }
    let ends_with_semicolon = (here..tokens.len())
        .take(4)
        .find_map(|at| word(tokens.get(at)).filter(|word| word != "pub"))
        .is_some_and(|word| ["use", "const", "static", "type", "let", "extern"].contains(&word.as_str()));
    let ends = |token: &TokenTree| {
        is_sign(Some(token), ';') || !ends_with_semicolon && braces(Some(token)).is_some()
    };
    Some((here..tokens.len()).find(|&at| ends(&tokens[at])).map_or(tokens.len(), |end| end + 1))
}

/// Returns true for `cfg(test)` and `cfg(all(…, test, …))`.
fn asks_for_test(attribute: &[TokenTree]) -> bool {
    let inside = |token: Option<&TokenTree>| match token {
        Some(TokenTree::Group(group)) => plain(group.stream()),
        _ => Vec::new(),
    };
    if !is_word(attribute.first(), "cfg") {
        return false;
    }
    let condition = inside(attribute.get(1));
    let all = inside(condition.get(1));
    (condition.len() == 1 && is_word(condition.first(), "test"))
        || (is_word(condition.first(), "all") && all.iter().any(|token| is_word(Some(token), "test")))
}

/// One name that a `use` imports; no name for a star.
struct Leaf {
    path: Vec<String>,
    name: Option<String>,
}

/// Reads the tree of a `use` below the path `before`.
fn use_tree(tokens: &[TokenTree], before: &[String], leaves: &mut Vec<Leaf>) {
    // A path that begins with `::` is another crate's.
    if before.is_empty() && is_sign(tokens.first(), ':') {
        return;
    }
    let mut path = before.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(ident) if ident == "as" => {
                leaves.push(Leaf { path, name: word(tokens.get(at + 1)) });
                return;
            }
            TokenTree::Ident(ident) if ident == "self" && !path.is_empty() => {}
            TokenTree::Ident(_) => path.extend(word(tokens.get(at))),
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                leaves.push(Leaf { path, name: None });
                return;
            }
            TokenTree::Group(group) => {
                let inner = plain(group.stream());
                for part in inner.split(|token| is_sign(Some(token), ',')) {
                    if !part.is_empty() {
                        use_tree(part, &path, leaves);
                    }
                }
                return;
            }
            _ => {}
        }
        at += 1;
    }
    if let Some(name) = path.last().cloned() {
        leaves.push(Leaf { path, name: Some(name) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Crate {
        Crate::read(files[0].0, &|name| {
            files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned())
        })
    }

    fn mentions(text: &str) -> Vec<String> {
        let krate = read(&[("src/lib.rs", text)]);
        krate.modules.iter().flat_map(|module| &module.mentions).map(|m| m.path.join("::")).collect()
    }

    #[test]
    fn imports_are_read_to_their_leaves() {
        let text = "use crate::{a::{self, B as C}, d}; pub use super::e::*; use ::std::f; use self::g;";
        assert_eq!(mentions(text), ["crate::a", "crate::a::B", "crate::d", "super::e", "self::g"]);
        let krate = read(&[("src/lib.rs", text)]);
        assert_eq!(krate.modules[0].imports["C"], ["crate", "a", "B"]);
        assert_eq!(krate.modules[0].globs, [["super", "e"]]);
    }

    #[test]
    fn paths_in_code_are_read_and_those_of_tests_are_not() {
        let text = "fn f() { a::b::<u8>(c::D { e: ::g::h }); }\n#[cfg(test)] mod tests { use super::x; }\n\
                    #[cfg(test)] use y::{z}; #[cfg(all(test, unix))] pub(crate) fn t() { q::r() } fn u() { v::w }";
        assert_eq!(mentions(text), ["a::b", "c::D", "v::w"]);
    }

    #[test]
    fn modules_are_found_in_files_folders_and_blocks() {
        let krate = read(&[
            ("src/lib.rs", "mod a; mod b; mod inner { mod c; } #[cfg(test)] mod only_test;"),
            ("src/a.rs", "mod deep;"),
            ("src/a/deep.rs", "pub struct Deep;"),
            ("src/b/mod.rs", "macro_rules! m { () => { mod $name { use super::X; } } }"),
            ("src/inner/c.rs", "const fn g() {}"),
            ("src/only_test.rs", ""),
        ]);
        assert_eq!(
            krate.files,
            ["src/lib.rs", "src/a.rs", "src/a/deep.rs", "src/b/mod.rs", "src/inner/c.rs"]
        );
        let all: Vec<&str> = krate.modules.iter().flat_map(|m| &m.items).map(String::as_str).collect();
        assert_eq!(all, ["Deep", "m", "g"]);
    }

    #[test]
    fn exported_macros_belong_to_their_file() {
        let krate = read(&[
            ("src/lib.rs", "mod a;"),
            ("src/a.rs", "/// Doc.\n#[macro_export]\nmacro_rules! leveled { () => {} }"),
        ]);
        assert_eq!(krate.exported_macros["leveled"], 1);
    }
}
