//! Attribution graphs and interventions against recorded values.

use crate::cases::Case;
use approx::{assert_abs_diff_eq, assert_relative_eq};
use collimate_circuits::{
    AttributionGraph, FirstPosition, GraphSettings, Held, Setting, Targets, Transcoders, intervene,
};
use collimate_transformer::Model;
use ndarray::{ArrayD, Axis, s};
use std::collections::BTreeSet;

const CASES: [&str; 7] = [
    "clt_jumprelu_skip_3",
    "clt_relu_3",
    "plt_jumprelu_skip_3",
    "plt_relu_2",
    "plt_topk_diff_target_2",
    "plt_topk_skip_2",
    "plt_topk_skip_8_partial",
];

fn transcoders(case: &Case) -> Transcoders<f64> {
    let folder = case.folder.join("transcoders");
    let skips = folder.join("W_skip.not_written_by_the_library.safetensors");
    Transcoders::open(&folder, skips.is_file().then_some(skips.as_path())).unwrap()
}

fn settings(case: &Case, block: usize) -> GraphSettings {
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let targets = match case.about.get("diff") {
        Some(pair) => Targets::Difference { answer: number(&pair[0]) as u32, wrong: number(&pair[1]) as u32 },
        None => {
            let at_most = case.about.get("max_n_logits").map_or(10, number) as usize;
            Targets::Likely { at_most, mass: 0.95 }
        }
    };
    GraphSettings { targets, first: FirstPosition::Cut, block }
}

pub(crate) fn graph(case: &Case, block: usize) -> AttributionGraph {
    let model: Model<f64> = case.model();
    AttributionGraph::new(&model, &transcoders(case), &case.ids("tokens"), settings(case, block)).unwrap()
}

/// Returns the numbers of the recorded nodes in the whole graph.
fn recorded_nodes(case: &Case, graph: &AttributionGraph) -> Vec<usize> {
    let n = graph.features.len();
    let selected = case.integers("selected_features");
    selected.iter().map(|&index| index as usize).chain(n..graph.n_nodes()).collect()
}

#[test]
fn features_edges_and_logits_are_those_recorded() {
    for name in CASES {
        let case = Case::open(&format!("graphs/{name}"));
        let graph = graph(&case, 5);
        let active: Vec<i64> = graph
            .features
            .iter()
            .flat_map(|feature| [feature.layer as i64, feature.position as i64, feature.latent as i64])
            .collect();
        assert_eq!(active, case.integers("active_features").iter().copied().collect::<Vec<_>>(), "{name}");
        let values: Vec<f64> = graph.features.iter().map(|feature| feature.activation).collect();
        case.assert_recorded("activation_values", &values, "f64");
        case.assert_recorded("error_vectors", &graph.errors, "f64");
        case.assert_recorded("token_vectors", &graph.token_vectors, "f64");
        case.assert_recorded("logits", &graph.logits, "f64");
        case.assert_recorded("pre_activations", &graph.pre_activations, "f64");
        let columns = recorded_nodes(&case, &graph);
        let selected = &columns[..case.integers("selected_features").len()];
        let into = graph.into_features.select(Axis(0), selected).select(Axis(1), &columns);
        case.assert_recorded("edges_into_features", &into, "f64");
        case.assert_recorded("edges_into_logits", &graph.into_targets.select(Axis(1), &columns), "f64");
        if case.about.get("diff").is_none() {
            let tokens: Vec<i64> = graph.targets.iter().map(|target| i64::from(target.token)).collect();
            assert_eq!(tokens, case.integers("logit_token_ids").iter().copied().collect::<Vec<_>>());
            let weights: Vec<f64> = graph.targets.iter().map(|target| target.weight).collect();
            case.assert_recorded("logit_probabilities", &weights, "f64");
        }
    }
}

#[test]
fn sums_of_effects_with_constants_and_biases_are_the_pre_activations() {
    for name in CASES {
        let case = Case::open(&format!("graphs/{name}"));
        let graph = graph(&case, 64);
        for (t, feature) in graph.features.iter().enumerate() {
            let sum = graph.into_features.row(t).sum() + graph.constants[t] + graph.biases[t];
            // Sums of some hundred terms of order one.
            assert_abs_diff_eq!(sum, feature.activation, epsilon = 1e-12);
        }
        let columns = recorded_nodes(&case, &graph);
        let chosen = &columns[..case.integers("selected_features").len()];
        let constants: Vec<f64> = chosen.iter().map(|&t| graph.constants[t]).collect();
        if chosen.len() == graph.features.len() {
            case.assert_recorded("missing_into_features", &constants, "f64");
            case.assert_recorded("bias_into_features", &graph.biases, "f64");
            case.assert_recorded("missing_into_logits", &graph.constants[graph.features.len()..], "f64");
        }
        // A target is the logit minus the mean logit, and the model has no bias of the head.
        let last = graph.logits.row(graph.tokens.len() - 1);
        for (index, target) in graph.targets.iter().enumerate() {
            let other = target.minus.map_or(last.sum() / last.len() as f64, |minus| last[minus as usize]);
            let logit = last[target.token as usize] - other;
            let sum = graph.into_targets.row(index).sum() + graph.constants[graph.features.len() + index];
            assert_abs_diff_eq!(sum, logit, epsilon = 1e-12);
        }
    }
}

#[test]
fn influence_scores_and_pruned_graphs_are_those_recorded() {
    for name in CASES {
        let case = Case::open(&format!("graphs/{name}"));
        let graph = graph(&case, 16);
        if case.about["n_selected"] != case.about["n_active"] {
            continue;
        }
        let scores = graph.scores();
        case.assert_recorded("node_influence", &scores.influence, "f64");
        let recorded = |key: &str| case.about[key].as_f64().unwrap();
        assert_relative_eq!(scores.replacement, recorded("replacement_score"), max_relative = 1e-9);
        assert_relative_eq!(scores.completeness, recorded("completeness_score"), max_relative = 1e-9);
        case.assert_recorded("prune.cumulative", &graph.cumulative_influence(), "f64");
        let pruned = graph.prune(0.8, 0.98).unwrap();
        let mask: Vec<i64> = pruned.nodes.iter().map(|&kept| i64::from(kept)).collect();
        assert_eq!(mask, case.integers("prune.node_mask").iter().copied().collect::<Vec<_>>(), "{name}");
        let edges: BTreeSet<(i64, i64)> = pruned.edges.iter().map(|&(t, s)| (t as i64, s as i64)).collect();
        let expected: BTreeSet<(i64, i64)> =
            case.integers("prune.edges").outer_iter().map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(edges, expected, "{name}");
        assert!(graph.prune(0.0, 0.98).is_err());
    }
}

#[test]
fn interventions_have_their_recorded_effects() {
    for name in CASES {
        let case = Case::open(&format!("graphs/{name}"));
        let model: Model<f64> = case.model();
        let transcoders = transcoders(&case);
        for (index, one) in case.about["interventions"].as_array().unwrap().iter().enumerate() {
            let number = |key: &str| one[key].as_u64().unwrap() as usize;
            let setting = Setting {
                layer: number("layer"),
                position: number("position"),
                latent: number("feature"),
                value: one["value"].as_f64().unwrap(),
            };
            let held = match one["mode"].as_str().unwrap() {
                "frozen" => Held::Everything,
                "patterns" => Held::Patterns,
                "free" => Held::Nothing,
                other => panic!("{other}"),
            };
            let ids = case.ids("tokens");
            let done = intervene(&model, &transcoders, &ids, &[setting], held, FirstPosition::Cut).unwrap();
            case.assert_recorded(&format!("intervention.{index}.logits"), &done.logits, "f64");
            case.assert_recorded(
                &format!("intervention.{index}.pre_activations"),
                &done.pre_activations,
                "f64",
            );
        }
    }
}

#[test]
fn frozen_interventions_of_any_size_are_the_effects_of_the_graph() {
    let case = Case::open("graphs/clt_jumprelu_skip_3");
    let (model, transcoders): (Model<f64>, _) = (case.model(), transcoders(&case));
    let (graph, ids) = (graph(&case, 7), case.ids("tokens"));
    for (source, feature) in graph.features.iter().enumerate().step_by(5) {
        for factor in [-3.0, 0.0, 10.0] {
            let value = factor * feature.activation;
            let &collimate_circuits::Feature { layer, position, latent, activation } = feature;
            let setting = Setting { layer, position, latent, value };
            let done =
                intervene(&model, &transcoders, &ids, &[setting], Held::Everything, FirstPosition::Cut)
                    .unwrap();
            for (target, other) in graph.features.iter().enumerate() {
                let place = [other.layer, other.position, other.latent];
                let change = done.pre_activations[place] - graph.pre_activations[place];
                let predicted = graph.into_features[[target, source]] * (value - activation) / activation;
                assert_abs_diff_eq!(change, predicted, epsilon = 1e-11);
            }
        }
    }
}

#[test]
fn the_first_position_can_be_kept_and_blocks_change_nothing() {
    let case = Case::open("graphs/plt_topk_skip_2");
    let (model, transcoders): (Model<f64>, _) = (case.model(), transcoders(&case));
    let ids = case.ids("tokens");
    let kept = GraphSettings { first: FirstPosition::Kept, ..settings(&case, 9) };
    let kept = AttributionGraph::new(&model, &transcoders, &ids, kept).unwrap();
    assert!(kept.features.iter().any(|feature| feature.position == 0));
    for (t, feature) in kept.features.iter().enumerate() {
        let sum = kept.into_features.row(t).sum() + kept.constants[t] + kept.biases[t];
        assert_abs_diff_eq!(sum, feature.activation, epsilon = 1e-12);
    }
    let [one, many] = [graph(&case, 1), graph(&case, 1000)];
    let difference: ArrayD<f64> = (&one.into_features - &many.into_features).into_dyn();
    assert!(difference.iter().all(|x| x.abs() < 1e-12));
    assert_eq!(one.features, many.features);
    // With the first position cut, nothing flows from its errors.
    let n = one.features.len();
    assert!(one.into_features.slice(s![.., n..=n]).iter().all(|&x| x == 0.0));
}

#[test]
fn transcoders_and_settings_of_another_model_are_refused() {
    let case = Case::open("graphs/plt_relu_2");
    let other = Case::open("graphs/plt_jumprelu_skip_3");
    let model: Model<f64> = case.model();
    let refused = AttributionGraph::new(&model, &transcoders(&other), &[1, 2], GraphSettings::default());
    assert!(refused.unwrap_err().to_string().contains("this model"));
    let own = transcoders(&case);
    let none = GraphSettings { targets: Targets::Tokens(vec![]), ..GraphSettings::default() };
    assert!(
        AttributionGraph::new(&model, &own, &[1, 2], none).unwrap_err().to_string().contains("at least one")
    );
    let unknown = GraphSettings { targets: Targets::Tokens(vec![99]), ..GraphSettings::default() };
    assert!(AttributionGraph::new(&model, &own, &[1, 2], unknown).unwrap_err().to_string().contains("99"));
    let setting = Setting { layer: 5, position: 0, latent: 0, value: 1.0 };
    let done = intervene(&model, &own, &[1, 2], &[setting], Held::Nothing, FirstPosition::Cut);
    assert!(done.unwrap_err().to_string().contains("2 layers"));
    assert!(Transcoders::<f64>::open(case.folder.join("none"), None).is_err());
}
