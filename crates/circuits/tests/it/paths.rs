//! Exact interventions on edges against recorded values.

use crate::cases::{Case, MODELS};
use approx::assert_abs_diff_eq;
use collimate_circuits::{
    Circuit, Edge, EdgeNorm, Linearisation, Projection, Reader, Replacement, Selection, Sign, Writer,
    attribute_edges, direct_paths, faithfulness, faithfulness_curve, patch_edges,
};
use collimate_transformer::{Model, Precision};
use ndarray::Array3;
use serde_json::Value;

const INTO: [(Projection, &str); 3] =
    [(Projection::Query, "path.q"), (Projection::Key, "path.k"), (Projection::Value, "path.v")];

fn recorded<F: Precision>(precision: &str) {
    for name in MODELS {
        let case = Case::of_model(name);
        let model: Model<F> = case.model();
        for (into, name) in INTO {
            let paths =
                direct_paths(&model, &case.pair(), &case.metric(), into, EdgeNorm::Recomputed, 16).unwrap();
            if case.names(name).is_empty() {
                // Keys and values of grouped heads, which the recording library refuses.
                assert_eq!(paths.values.dim(), (3, 4, 3, 2));
                continue;
            }
            case.assert_recorded(name, &paths.values, precision);
        }
    }
}

#[test]
fn recorded_paths_are_met_in_f64() {
    recorded::<f64>("f64");
}

#[test]
fn recorded_paths_are_met_in_f32() {
    recorded::<f32>("f32");
}

/// Reads a list of pairs of numbers, and returns the edges by their numbers in `nodes.json`.
fn edges_of(case: &Case, name: &str) -> Vec<Edge> {
    let text = std::fs::read_to_string(case.folder.join("nodes.json")).unwrap();
    let nodes: Value = serde_json::from_str(&text).unwrap();
    let entry = |list: &str, index: i64| nodes[list][index as usize].as_array().unwrap().clone();
    let number = |value: &Value| value.as_u64().map(|n| n as usize);
    case.integers(name)
        .outer_iter()
        .filter(|pair| pair[0] >= 0)
        .map(|pair| {
            let (writer, reader) = (entry("writers", pair[0]), entry("readers", pair[1]));
            let (position, layer, head) = (number(&writer[1]), number(&writer[2]), number(&writer[3]));
            assert_eq!(position, number(&reader[1]), "an edge stays at its position");
            let writer = match writer[0].as_str().unwrap() {
                "embed" => Writer::Embedding,
                "attn_head_out" => Writer::Head { layer: layer.unwrap(), head: head.unwrap() },
                "mlp_out" => Writer::Mlp { layer: layer.unwrap() },
                other => panic!("{other}"),
            };
            let of_head = |projection| {
                let (layer, head) = (number(&reader[2]).unwrap(), number(&reader[3]).unwrap());
                Reader::Head { layer, projection, head }
            };
            let reader = match reader[0].as_str().unwrap() {
                "q_input" => of_head(Projection::Query),
                "k_input" => of_head(Projection::Key),
                "v_input" => of_head(Projection::Value),
                "mlp_in" => Reader::Mlp { layer: number(&reader[2]).unwrap() },
                "logits" => Reader::Final,
                other => panic!("{other}"),
            };
            Edge { writer, reader, position }
        })
        .collect()
}

#[test]
fn single_edges_have_their_recorded_effects() {
    for name in ["gpt2_2", "llama_2"] {
        let case = Case::of_model(name);
        let model: Model<f64> = case.model();
        let all = edges_of(&case, "attribution.edge_index");
        let some: Vec<Edge> =
            case.integers("exact_edge.index").iter().map(|&index| all[index as usize]).collect();
        let patched =
            patch_edges(&model, &case.pair(), &case.metric(), &some, EdgeNorm::Recomputed, 16).unwrap();
        let effects: Vec<f64> = patched.values.iter().map(|value| value - patched.corrupt).collect();
        case.assert_recorded("exact_edge.effect", &effects, "f64");
    }
}

#[test]
fn circuits_recover_their_recorded_shares() {
    for name in ["gpt2_2", "llama_2"] {
        let case = Case::of_model(name);
        let model: Model<f64> = case.model();
        let (pair, metric) = (case.pair(), case.metric());
        let at = Linearisation::AtCorrupt;
        let known = attribute_edges(&model, &pair, &metric, at, Sign::CleanMinusCorrupt, 1).unwrap();
        let prompts: Vec<Vec<u32>> = case.about["mean_tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect())
            .collect();
        let mut compared = 0;
        for (key, recorded) in case.about["faithfulness"].as_object().unwrap() {
            let (set, replacement) = key.split_once('.').unwrap();
            let mut keep = Array3::from_elem(known.scores.dim(), false);
            for edge in edges_of(&case, &format!("faithfulness.{set}")) {
                let w = known.writers.iter().position(|writer| *writer == edge.writer).unwrap();
                let r = known.readers.iter().position(|reader| *reader == edge.reader).unwrap();
                keep[[edge.position.unwrap(), w, r]] = true;
            }
            let replacement = match replacement {
                "corrupt" => Replacement::Corrupt,
                "mean" => Replacement::Mean(&prompts),
                other => panic!("{other}"),
            };
            let found = faithfulness(&model, &pair, &metric, &Circuit { keep }, replacement).unwrap();
            let recorded = recorded["recovered"].as_f64().unwrap();
            // Quotients of differences of order 0.3 of sums of a few hundred terms.
            assert_abs_diff_eq!(found.recovered().unwrap(), recorded, epsilon = 1e-10);
            compared += 1;
        }
        assert_eq!(compared, 8);
    }
}

#[test]
fn a_frozen_norm_gives_other_paths_than_a_recomputed_one() {
    let case = Case::of_model("llama_gqa_3");
    let model: Model<f64> = case.model();
    let paths =
        |norm| direct_paths(&model, &case.pair(), &case.metric(), Projection::Value, norm, 8).unwrap().values;
    let off = (paths(EdgeNorm::Recomputed) - paths(EdgeNorm::Frozen))
        .iter()
        .fold(0.0f64, |most, x| most.max(x.abs()));
    assert!(off > 1e-4, "{off}");
}

#[test]
fn edges_that_do_not_exist_are_refused() {
    let case = Case::of_model("llama_gqa_3");
    let model: Model<f64> = case.model();
    let refused = |writer, reader, position| {
        let edge = Edge { writer, reader, position };
        let norm = EdgeNorm::Recomputed;
        patch_edges(&model, &case.pair(), &case.metric(), &[edge], norm, 2).unwrap_err().to_string()
    };
    let key = |head| Reader::Head { layer: 1, projection: Projection::Key, head };
    assert!(refused(Writer::Mlp { layer: 1 }, key(0), None).contains("before"));
    assert!(refused(Writer::Mlp { layer: 0 }, key(2), None).contains("key heads"));
    assert!(refused(Writer::Mlp { layer: 3 }, key(0), None).contains("no such writer"));
    assert!(refused(Writer::Embedding, key(0), Some(5)).contains("position"));
}

#[test]
fn chosen_edges_grow_by_score_and_greedy_ones_lie_on_paths_to_the_logits() {
    let case = Case::of_model("llama_gqa_3");
    let model: Model<f64> = case.model();
    let (pair, metric) = (case.pair(), case.metric());
    let at = Linearisation::AtCorrupt;
    let edges = attribute_edges(&model, &pair, &metric, at, Sign::CleanMinusCorrupt, 1).unwrap();
    let all = edges.edges().count();
    let largest = edges.choose(&model, Selection::Largest, 50);
    let score = |edge: &(usize, usize, usize)| edges.scores[*edge].abs();
    assert!(largest.windows(2).all(|pair| score(&pair[0]) >= score(&pair[1])));
    let greedy = edges.choose(&model, Selection::Greedy, 50);
    assert_ne!(largest, greedy);
    for (number, &(position, writer, _)) in greedy.iter().enumerate().skip(1) {
        // The reader of every later edge is the final norm, or belongs to a writer that an earlier edge brought in.
        let (at, _, reader) = greedy[number];
        let known = greedy[..number].iter().any(|&(before, earlier, _)| {
            match (edges.writers[earlier], edges.readers[reader]) {
                (Writer::Mlp { layer }, Reader::Mlp { layer: own }) => (layer, before) == (own, at),
                (
                    Writer::Head { layer, head },
                    Reader::Head { layer: own, projection: Projection::Query, head: query },
                ) => (layer, head, before) == (own, query, at),
                (Writer::Head { layer, head }, Reader::Head { layer: own, head: key, .. }) => {
                    (layer, head / 2) == (own, key) && at <= before
                }
                _ => false,
            }
        });
        assert!(known || edges.readers[reader] == Reader::Final, "{number}: {position} {writer}");
    }
    for selection in [Selection::Largest, Selection::Greedy] {
        assert_eq!(edges.choose(&model, selection, all + 1).len(), all);
        let sizes = [0, 30, all];
        let curve =
            faithfulness_curve(&model, &pair, &metric, &edges, selection, Replacement::Corrupt, &sizes)
                .unwrap();
        let recovered: Vec<f64> = curve.iter().map(|(_, found)| found.recovered().unwrap()).collect();
        assert_abs_diff_eq!(recovered[0], 0.0, epsilon = 1e-12);
        assert_abs_diff_eq!(recovered[2], 1.0, epsilon = 1e-12);
        assert!(recovered[1] != 0.0, "{selection:?}");
    }
}
