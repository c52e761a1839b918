//! Import circles: between the files of a crate, and between the chapters (the folders below `src`) of a crate.

mod graph;
mod imports;
mod modules;

use super::problem::Problem;
use imports::{Use, Uses};
use modules::Crate;
use std::collections::BTreeMap;

/// Returns one problem for each knot of files and for each knot of chapters. `texts` are the files of the workspace.
pub(super) fn check(texts: &[(String, String)]) -> Vec<Problem> {
    let by_name: BTreeMap<&str, &str> =
        texts.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    let mut problems = Vec::new();
    for root in by_name.keys().filter(|file| is_root(file)) {
        let krate = Crate::read(root, &|file| by_name.get(file).map(|text| (*text).to_owned()));
        let uses = imports::uses(&krate);
        problems.extend(knots(&uses, "files"));
        problems.extend(knots(&between_chapters(&uses), "chapters"));
    }
    problems
}

/// Returns true for a file at which the compiler starts to read a library or a program.
fn is_root(file: &str) -> bool {
    file.ends_with("/src/lib.rs") || file.ends_with("/src/main.rs") || file.contains("/src/bin/")
}

/// Joins the uses of files to uses of chapters. A file beside `lib.rs` belongs to no chapter.
fn between_chapters(uses: &Uses) -> Uses {
    let mut joined = Uses::new();
    for ((from, to), used) in uses {
        if let (Some(first), Some(second)) = (chapter(from), chapter(to))
            && first != second
        {
            let path = format!("{} in {}", used.path, short(from));
            joined.entry((first, second)).or_insert(Use { line: used.line, path });
        }
    }
    joined
}

/// Returns the folder below `src` that holds a file.
fn chapter(file: &str) -> Option<String> {
    let (before, inside) = file.split_once("/src/")?;
    inside.split_once('/').map(|(folder, _)| format!("{before}/src/{folder}"))
}

fn short(file: &str) -> &str {
    file.split_once("/src/").map_or(file, |(_, inside)| inside)
}

/// Describes the knots of a graph, with the circles in each.
fn knots(uses: &Uses, what: &str) -> Vec<Problem> {
    let edges = graph::edges(uses.keys().map(|(from, to)| (from.as_str(), to.as_str())));
    let describe = |knot: Vec<String>| {
        let (home, _) = knot[0].split_once("/src/").unwrap_or((&knot[0], ""));
        let mut text = format!("{home}: {} {what} use each other in a circle", knot.len());
        for circle in graph::circles(&edges, &knot) {
            let names: Vec<&str> = circle.iter().map(|name| short(name)).collect();
            text += &format!("\n    {}", names.join(" → "));
            for pair in circle.windows(2) {
                let Use { line, path } = &uses[&(pair[0].clone(), pair[1].clone())];
                text += &format!("\n        {}:{line} uses {path}", pair[0]);
            }
        }
        text
    };
    graph::knots(&edges).into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(file, text)| (format!("crates/x/src/{file}"), (*text).to_owned())).collect()
    }

    #[test]
    fn a_circle_is_printed_as_a_path_of_files() {
        let tree = files(&[
            ("lib.rs", "mod a;\nmod b;"),
            ("a.rs", "use crate::b::B;\npub struct A;"),
            ("b.rs", "\nuse crate::a::A;\npub struct B;"),
        ]);
        let expected = "crates/x: 2 files use each other in a circle\n    a.rs → b.rs → a.rs\n        \
                        crates/x/src/a.rs:1 uses crate::b::B\n        crates/x/src/b.rs:2 uses crate::a::A";
        assert_eq!(check(&tree), [expected]);
    }

    #[test]
    fn chapters_may_not_use_each_other_even_where_their_files_do_not() {
        let tree = files(&[
            ("lib.rs", "mod one; mod two;"),
            ("one/mod.rs", "pub mod a; pub mod b;"),
            ("one/a.rs", "pub struct A;"),
            ("one/b.rs", "use crate::two::C;"),
            ("two.rs", "mod c; pub use c::C;"),
            ("two/c.rs", "use crate::one::a::A; pub struct C;"),
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/x: 2 chapters use each other"), "{}", found[0]);
        assert!(found[0].contains("one → two → one"), "{}", found[0]);
    }

    #[test]
    fn tests_close_no_circle() {
        let tree = files(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::B; }"),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert_eq!(check(&tree), Vec::<Problem>::new());
    }
}
