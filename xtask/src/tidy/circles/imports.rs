//! Which file of a crate uses which: every path is followed to the file that defines the name.

use super::modules::{Crate, Import, Mention};
use std::collections::BTreeMap;

/// Re-exports are followed through at most this many imports.
const LONGEST_CHAIN: usize = 12;

/// The first use of one file by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The line of the use.
    pub(super) line: usize,
    /// The path as it is written there.
    pub(super) path: String,
}

/// The uses between the files of a crate: from the user to the file it uses.
pub(super) type Uses = BTreeMap<(String, String), Use>;

/// The place that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Module(usize),
    /// An item in the file of this index.
    Item(usize),
    /// Another crate, or a name of the language.
    Elsewhere,
}

/// Returns the uses between the files of a crate.
pub(super) fn uses(krate: &Crate) -> Uses {
    let mut uses = Uses::new();
    for (index, module) in krate.modules.iter().enumerate() {
        for mention in &module.mentions {
            let Some(file) = used_file(krate, index, mention) else { continue };
            if file != module.file {
                let edge = (krate.files[module.file].clone(), krate.files[file].clone());
                let path = mention.path.join("::");
                uses.entry(edge).or_insert(Use { line: mention.line, path });
            }
        }
    }
    uses
}

/// Returns the file that a mention uses. To name a module uses nothing; to name what is in it does. A re-export
/// uses its item only if the file itself needs the name.
fn used_file(krate: &Crate, module: usize, mention: &Mention) -> Option<usize> {
    let words = &krate.words[krate.modules[module].file];
    let whole_module = match &mention.import {
        Some(Import { name: Some(name), public: true }) if !words.contains(name) => return None,
        Some(Import { name: None, public: true }) => return None,
        import => import.as_ref().is_some_and(|import| import.name.is_none()),
    };
    match krate.resolve(module, &mention.path, LONGEST_CHAIN) {
        Place::Item(file) => Some(file),
        Place::Module(target) if whole_module => Some(krate.modules[target].file),
        Place::Module(_) | Place::Elsewhere => None,
    }
}

impl Crate {
    /// Follows a path from a module.
    fn resolve(&self, from: usize, path: &[String], chain: usize) -> Place {
        let Some(first) = path.first() else { return Place::Elsewhere };
        if chain == 0 {
            return Place::Elsewhere;
        }
        let mut place = match first.as_str() {
            "crate" => Place::Module(0),
            "self" => Place::Module(from),
            "super" => self.parent(from),
            name => self.member(from, name, path.len() == 1, chain).unwrap_or(Place::Elsewhere),
        };
        for (position, name) in path.iter().enumerate().skip(1) {
            let Place::Module(module) = place else { break };
            place = match name.as_str() {
                "super" => self.parent(module),
                // A name that no declaration shows is made by a macro in that module.
                name => self
                    .member(module, name, position + 1 == path.len(), chain)
                    .unwrap_or(Place::Item(self.modules[module].file)),
            };
        }
        place
    }

    fn parent(&self, module: usize) -> Place {
        self.modules[module].parent.map_or(Place::Elsewhere, Place::Module)
    }

    /// Finds a name in a module. A module and a function may share a name: inside a path it is the module, at its
    /// end the function.
    fn member(&self, index: usize, name: &str, last: bool, chain: usize) -> Option<Place> {
        let module = &self.modules[index];
        let child = module.children.get(name).map(|&child| Place::Module(child));
        if child.is_some() && !last {
            return child;
        }
        if module.items.contains(name) {
            return Some(Place::Item(module.file));
        }
        if let Some(path) = module.imports.get(name) {
            // `use rand::rand` and `use x as x` lead nowhere in this crate, unless a module has the name.
            let first_is_itself = path.first().is_some_and(|first| first == name) && child.is_none();
            return Some(if first_is_itself {
                Place::Elsewhere
            } else {
                self.resolve(index, path, chain - 1)
            });
        }
        if child.is_some() {
            return child;
        }
        if index == 0
            && let Some(&file) = self.exported_macros.get(name)
        {
            return Some(Place::Item(file));
        }
        module.globs.iter().find_map(|glob| match self.resolve(index, glob, chain - 1) {
            Place::Module(target) if target != index => self.member(target, name, last, chain - 1),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the uses as `user>used`, with the short names of the files.
    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let krate = Crate::read("lib.rs", &|name| {
            files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned())
        });
        let short = |name: &String| name.trim_end_matches(".rs").to_owned();
        uses(&krate).keys().map(|(from, to)| format!("{}>{}", short(from), short(to))).collect()
    }

    #[test]
    fn imports_lead_to_the_file_that_defines_the_name() {
        let tree = [
            ("lib.rs", "mod a; mod b; pub use b::Inner; pub use other::Foreign;"),
            ("a.rs", "use crate::Inner; use crate::Foreign; use crate::b::{Outer, made}; use rand::Rng;"),
            ("b/mod.rs", "mod deep; pub use deep::Inner; pub struct Outer; make! { fn made() {} }"),
            ("b/deep.rs", "pub struct Inner;"),
        ];
        assert_eq!(edges(&tree), ["a>b/deep", "a>b/mod"]);
    }

    #[test]
    fn a_module_that_only_offers_its_children_uses_none_of_them() {
        let offers = ("lib.rs", "mod a; mod b; pub(crate) use a::A; pub use b::*;");
        let children = [("a.rs", "use super::B; pub struct A;"), ("b.rs", "pub struct B;")];
        assert_eq!(edges(&[offers, children[0], children[1]]), ["a>b"]);
        let needs = ("lib.rs", "mod a; mod b; pub use a::A; fn f(_: A) { b::g() }");
        assert_eq!(edges(&[needs, children[0], children[1]]), ["a>lib", "lib>a", "lib>b"]);
    }

    #[test]
    fn paths_in_code_are_followed_through_imported_modules() {
        let tree = [
            ("lib.rs", "mod a; mod kernels;"),
            ("a.rs", "use crate::kernels; fn f() { kernels::dots(); Self::g(); T::h() }"),
            ("kernels/mod.rs", "mod dots; pub(crate) use dots::dots;"),
            ("kernels/dots.rs", "pub(crate) fn dots() {}"),
        ];
        assert_eq!(edges(&tree), ["a>kernels/dots"]);
    }

    #[test]
    fn inner_modules_and_macros_count_for_their_file() {
        let tree = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod inner { use super::super::b::f; use crate::twice; } fn g() {}"),
            ("b.rs", "pub fn f() {} #[macro_export] macro_rules! twice { () => { $crate::a::g() } }"),
        ];
        assert_eq!(edges(&tree), ["a>b", "b>a"]);
    }
}
