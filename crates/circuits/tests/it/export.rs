//! Graphs as JSON against recorded files.

use crate::cases::Case;
use crate::graphs::graph;
use approx::assert_relative_eq;
use collimate_circuits::{AttributionGraph, Collisions, GraphText, graph_json};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CASES: [&str; 6] = [
    "clt_jumprelu_skip_3",
    "clt_relu_3",
    "plt_jumprelu_skip_3",
    "plt_relu_2",
    "plt_topk_diff_target_2",
    "plt_topk_skip_2",
];

/// Asserts that two values agree, numbers to a relative 1e-9 as recorded.
fn assert_agrees(place: &str, a: &Value, b: &Value) {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            assert_relative_eq!(a.as_f64().unwrap(), b.as_f64().unwrap(), max_relative = 1e-9);
        }
        (Value::Object(a), Value::Object(b)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(a), keys(b), "{place}");
            a.iter().for_each(|(key, value)| assert_agrees(&format!("{place}.{key}"), value, &b[key]));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{place}");
            a.iter().zip(b).for_each(|(a, b)| assert_agrees(place, a, b));
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}

/// Returns a list by a key of each entry.
fn by(list: &Value, key: impl Fn(&Value) -> String) -> BTreeMap<String, Value> {
    list.as_array().unwrap().iter().map(|entry| (key(entry), entry.clone())).collect()
}

#[test]
fn recorded_files_are_met() {
    for name in CASES {
        let case = Case::open(&format!("graphs/{name}"));
        let recorded = std::fs::read_to_string(case.folder.join("graph.json")).unwrap();
        let recorded: Value = serde_json::from_str(&recorded).unwrap();
        let graph: AttributionGraph = graph(&case, 32);
        let word = |id: u32| format!("t{id}");
        let prompt: Vec<String> = graph.tokens.iter().map(|&id| word(id)).collect();
        let scan = format!("random/{name}");
        let text = GraphText { slug: name, scan: &scan, prompt: &prompt.join(" "), node_share: 0.8 };
        let pruned = graph.prune(0.8, 0.98).unwrap();
        let (value, renamed) = graph_json(&graph, &pruned, &word, &text, Collisions::Refuse).unwrap();
        assert!(renamed.is_empty());
        for key in ["metadata", "qParams"] {
            assert_agrees(key, &value[key], &recorded[key]);
        }
        let id = |node: &Value| node["node_id"].as_str().unwrap().to_owned();
        let link = |link: &Value| format!("{} {}", link["source"], link["target"]);
        for (list, given, expected) in [
            ("nodes", by(&value["nodes"], id), by(&recorded["nodes"], id)),
            ("links", by(&value["links"], link), by(&recorded["links"], link)),
        ] {
            assert_eq!(
                given.keys().collect::<Vec<_>>(),
                expected.keys().collect::<Vec<_>>(),
                "{name} {list}"
            );
            for (key, value) in &given {
                assert_agrees(&format!("{name} {key}"), value, &expected[key]);
            }
        }
    }
}

#[test]
fn equal_ids_of_an_error_and_a_feature_are_refused_or_renamed() {
    let case = Case::open("graphs/plt_relu_2");
    let graph = graph(&case, 32);
    let mut pruned = graph.prune(0.8, 0.98).unwrap();
    pruned.nodes.fill(true);
    let text = GraphText { slug: "a", scan: "b", prompt: "c", node_share: 0.8 };
    let word = |id: u32| id.to_string();
    let refused = graph_json(&graph, &pruned, &word, &text, Collisions::Refuse).unwrap_err().to_string();
    assert!(refused.contains("renamed"), "{refused}");
    let (value, renamed) = graph_json(&graph, &pruned, &word, &text, Collisions::Rename).unwrap();
    assert!(!renamed.is_empty());
    let nodes = value["nodes"].as_array().unwrap();
    let ids: BTreeSet<&str> = nodes.iter().map(|node| node["node_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), graph.n_nodes(), "every node has an id of its own");
}
