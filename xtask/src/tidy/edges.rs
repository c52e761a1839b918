//! The allowed dependencies between members. The table agrees with the picture in ARCHITECTURE.md.

use super::problem::Problem;
use serde_json::Value;

/// The members, each with the members it may depend on. `?` marks an edge that must be optional (behind a feature).
const EDGES: &[(&str, &[&str])] = &[
    ("measure", &[]),
    ("stream", &[]),
    ("output", &[]),
    ("claims", &["measure", "stream", "output", "figures"]),
    ("figures", &[]),
    ("polynomial", &["measure"]),
    ("tensor", &["stream", "output"]),
    ("grad", &["tensor", "stream", "measure"]),
    ("attention", &["tensor", "grad", "measure", "stream", "output", "figures?", "claims?"]),
    ("transformer", &["attention", "tensor", "grad", "measure", "stream", "output", "claims?"]),
    ("sae", &["tensor", "grad", "measure", "stream", "output", "figures?", "claims?"]),
    ("superposition", &["tensor", "grad", "measure", "stream", "output", "figures?", "claims?"]),
    ("slt", &["polynomial", "tensor", "grad", "measure", "stream", "output", "figures?", "claims?"]),
    ("circuits", &["transformer", "sae", "tensor", "grad", "measure", "stream", "output"]),
    ("studies", LIBRARIES),
    ("benches", LIBRARIES_AND_STUDIES),
    ("cli", LIBRARIES_AND_STUDIES),
    ("xtask", &[]),
];

const LIBRARIES: &[&str] = &[
    "measure",
    "stream",
    "output",
    "figures",
    "polynomial",
    "claims",
    "tensor",
    "grad",
    "attention",
    "transformer",
    "sae",
    "superposition",
    "slt",
    "circuits",
];

const LIBRARIES_AND_STUDIES: &[&str] = &[
    "measure",
    "stream",
    "output",
    "figures",
    "polynomial",
    "claims",
    "tensor",
    "grad",
    "attention",
    "transformer",
    "sae",
    "superposition",
    "slt",
    "circuits",
    "studies",
];

/// The members that the tests of a member may also use.
const FOR_TESTS: &[(&str, &[&str])] = &[
    ("tensor", &["measure"]),
    ("grad", &["measure"]),
    ("attention", &["claims"]),
    ("transformer", &["claims"]),
    ("sae", &["claims"]),
    ("superposition", &["claims"]),
    ("slt", &["claims"]),
];

/// Returns the name of a package in the table: `collimate-sae` is `sae`, `collimate` is `cli`.
fn layer(package: &str) -> Option<&str> {
    match package {
        "collimate" => Some("cli"),
        "xtask" => Some("xtask"),
        other => other.strip_prefix("collimate-"),
    }
}

fn lookup<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(member, _)| *member == name).map(|(_, edges)| *edges)
}

/// Compares the members of `cargo metadata --no-deps` with the table.
pub(super) fn check(metadata: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = layer(name).and_then(|member| lookup(EDGES, member)) else {
            problems.push(format!(
                "{name}: this member has no line in the table of layers (xtask/src/tidy/edges.rs)"
            ));
            continue;
        };
        let for_tests = layer(name).and_then(|member| lookup(FOR_TESTS, member)).unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(target) = dependency["name"].as_str().and_then(layer) else { continue };
            let in_tests = dependency["kind"] == "dev";
            let optional = dependency["optional"] == true;
            let behind_feature = format!("{target}?");
            let fine = allowed.contains(&target)
                || (allowed.contains(&behind_feature.as_str()) && (optional || in_tests))
                || (in_tests && for_tests.contains(&target))
                || (in_tests && layer(name) == Some(target));
            if !fine {
                let how =
                    if allowed.contains(&behind_feature.as_str()) { " except by a feature" } else { "" };
                problems.push(format!(
                    "{name}: may not depend on {target}{how} (layers, xtask/src/tidy/edges.rs)"
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(package: &str, dependency: Value) -> Vec<Problem> {
        check(&json!({ "packages": [{ "name": package, "dependencies": [dependency] }] }))
    }

    #[test]
    fn edges_of_the_table_are_fine() {
        let edge = |name: &str, kind: Value, optional: bool| json!({ "name": name, "kind": kind, "optional": optional });
        assert!(problems("collimate-sae", edge("collimate-tensor", Value::Null, false)).is_empty());
        assert!(problems("collimate-sae", edge("collimate-claims", Value::Null, true)).is_empty());
        assert!(problems("collimate-sae", edge("collimate-claims", json!("dev"), false)).is_empty());
        assert!(problems("collimate", edge("collimate-studies", Value::Null, false)).is_empty());
        assert!(problems("collimate-measure", edge("statrs", Value::Null, false)).is_empty());
    }

    #[test]
    fn every_other_edge_is_a_problem() {
        let edge = |name: &str| json!({ "name": name, "kind": null, "optional": false });
        assert_eq!(problems("collimate-sae", edge("collimate-slt")).len(), 1);
        assert_eq!(problems("collimate-tensor", edge("collimate-grad")).len(), 1);
        assert_eq!(problems("xtask", edge("collimate-measure")).len(), 1);
        assert!(problems("collimate-slt", edge("collimate-claims"))[0].contains("except by a feature"));
        assert_eq!(problems("collimate-new", edge("serde")).len(), 1, "a member without a line");
        let tests = json!({ "name": "collimate-studies", "kind": "dev", "optional": false });
        assert_eq!(problems("collimate-sae", tests).len(), 1);
    }
}
