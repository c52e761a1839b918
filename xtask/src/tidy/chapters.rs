//! The shape of a crate: at most ten files beside `lib.rs`, the rest in folders that name a chapter.

use super::problem::Problem;
use std::collections::BTreeMap;

/// The largest number of files beside `lib.rs` or `main.rs`.
const MOST_FILES: usize = 10;

/// Returns the crates with too many files at the root, and the modules that are a file and a folder.
pub(super) fn check(files: &[&str]) -> Vec<Problem> {
    let mut at_root: BTreeMap<&str, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let Some((member, inside)) = file.split_once("/src/") else { continue };
        if !inside.contains('/') && !["lib.rs", "main.rs"].contains(&inside) {
            *at_root.entry(member).or_default() += 1;
        }
        let folder = format!("{}/", file.trim_end_matches(".rs"));
        if files.iter().any(|other| other.starts_with(&folder)) {
            problems.push(format!("{file}: move it to {folder}mod.rs, beside its children"));
        }
    }
    let too_many = at_root.into_iter().filter(|(_, count)| *count > MOST_FILES);
    problems.extend(too_many.map(|(member, count)| {
        format!("{member}/src: {count} files beside lib.rs; at most {MOST_FILES}, the others in folders that name a chapter")
    }));
    problems
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn ten_files_beside_the_root_are_enough() {
        let names: Vec<String> = (0..11).map(|n| format!("crates/x/src/{n}.rs")).collect();
        let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
        files.extend(["crates/x/src/lib.rs", "crates/x/src/a/mod.rs", "crates/x/tests/it/main.rs"]);
        assert_eq!(check(&files).len(), 1);
        assert_eq!(check(&files[1..]).len(), 0);
    }

    #[test]
    fn a_module_with_children_is_a_folder() {
        assert_eq!(check(&["crates/x/src/a.rs", "crates/x/src/a/b.rs"]).len(), 1);
        assert_eq!(check(&["crates/x/src/a.rs", "crates/x/src/ab/b.rs"]).len(), 0);
    }
}
