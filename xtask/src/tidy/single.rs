//! One version of `rand` and of `ndarray` in the public items.

use super::problem::Problem;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The crates whose types are in our public items. Two versions would not fit together.
const SINGLE: [&str; 2] = ["rand", "ndarray"];

/// The exceptions: packages that use another version only internally.
const KEPT_INSIDE: [(&str, &str); 1] = [("tokenizers", "rand")];

/// Finds second versions in the graph of `cargo metadata`, except behind the exceptions.
pub(super) fn check(metadata: &Value) -> Vec<Problem> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: HashMap<String, (String, String)> = list(&metadata["packages"])
        .iter()
        .map(|package| (word(&package["id"]), (word(&package["name"]), word(&package["version"]))))
        .collect();
    let edges: HashMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| (word(&node["id"]), list(&node["deps"]).iter().map(|edge| word(&edge["pkg"])).collect()))
        .collect();
    let members: Vec<String> = list(&metadata["workspace_members"]).iter().map(word).collect();
    let mut problems = Vec::new();
    for single in SINGLE {
        let keeper = |id: &String| {
            names.get(id).is_some_and(|(name, _)| KEPT_INSIDE.contains(&(name.as_str(), single)))
        };
        let mut versions: Vec<&str> = reachable(&members, &edges, keeper)
            .iter()
            .filter_map(|id| names.get(id))
            .filter(|(name, _)| name == single)
            .map(|(_, version)| version.as_str())
            .collect();
        versions.sort_unstable();
        if versions.len() > 1 {
            problems.push(format!("{single} is in the graph more than once: {}", versions.join(", ")));
        }
    }
    problems
}

/// Returns the packages that can be reached without passing one for which `stop` is true.
fn reachable(
    from: &[String],
    edges: &HashMap<String, Vec<String>>,
    stop: impl Fn(&String) -> bool,
) -> HashSet<String> {
    let mut seen: HashSet<String> = HashSet::new();
    let mut open = from.to_vec();
    while let Some(id) = open.pop() {
        if !stop(&id) && seen.insert(id.clone()) {
            open.extend(edges.get(&id).into_iter().flatten().cloned());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Members a and b; `edges` is a list of `(from, to)` of ids `name version`.
    fn graph(edges: &[(&str, &str)]) -> Value {
        let ids: HashSet<&str> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let package = |id: &&str| {
            let (name, version) = id.split_once(' ').unwrap();
            json!({ "id": id, "name": name, "version": version })
        };
        let node = |id: &&str| {
            let to: Vec<Value> =
                edges.iter().filter(|(from, _)| from == id).map(|(_, to)| json!({ "pkg": to })).collect();
            json!({ "id": id, "deps": to })
        };
        json!({
            "packages": ids.iter().map(package).collect::<Vec<_>>(),
            "resolve": { "nodes": ids.iter().map(node).collect::<Vec<_>>() },
            "workspace_members": ["a 1", "b 1"],
        })
    }

    #[test]
    fn one_version_and_the_named_exception_are_fine() {
        let edges = [
            ("a 1", "rand 0.10"),
            ("b 1", "rand 0.10"),
            ("b 1", "tokenizers 1"),
            ("tokenizers 1", "rand 0.9"),
        ];
        assert_eq!(check(&graph(&edges)), Vec::<Problem>::new());
    }

    #[test]
    fn a_second_version_by_any_other_way_is_a_problem() {
        let direct = [("a 1", "rand 0.10"), ("b 1", "rand 0.9")];
        assert_eq!(check(&graph(&direct)).len(), 1);
        let inside = [("a 1", "ndarray 0.17"), ("b 1", "other 1"), ("other 1", "ndarray 0.16")];
        assert!(check(&graph(&inside))[0].contains("0.16, 0.17"));
        let not_its_exception =
            [("a 1", "ndarray 0.17"), ("b 1", "tokenizers 1"), ("tokenizers 1", "ndarray 0.16")];
        assert_eq!(check(&graph(&not_its_exception)).len(), 1);
    }
}
