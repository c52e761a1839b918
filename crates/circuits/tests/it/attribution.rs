//! Node and edge attribution against recorded values, and the identities between them.

use crate::cases::{Case, MODELS};
use approx::assert_abs_diff_eq;
use collimate_circuits::{
    EdgeAttribution, Linearisation, Quadrature, Reader, Sign, Writer, attribute_edges, attribute_nodes,
};
use collimate_transformer::{Model, Precision};

/// Returns the values of nodes in the recorded order: the embedding, then layer by layer and position by position the heads and the MLP.
fn in_order(nodes: &collimate_circuits::NodeAttribution) -> Vec<f64> {
    let mut all = nodes.embedding.to_vec();
    let (layers, positions, _) = nodes.heads.dim();
    for layer in 0..layers {
        for position in 0..positions {
            all.extend(nodes.heads.slice(ndarray::s![layer, position, ..]));
            all.push(nodes.mlps[[layer, position]]);
        }
    }
    all
}

fn edges<F: Precision>(case: &Case, at: Linearisation) -> EdgeAttribution {
    let model: Model<F> = case.model();
    attribute_edges(&model, &case.pair(), &case.metric(), at, Sign::CleanMinusCorrupt, 64).unwrap()
}

fn recorded<F: Precision>(precision: &str) {
    for name in MODELS {
        let case = Case::of_model(name);
        let model: Model<F> = case.model();
        let (pair, metric) = (case.pair(), case.metric());
        let nodes =
            attribute_nodes(&model, &pair, &metric, Linearisation::AtCorrupt, Sign::CleanMinusCorrupt, 4)
                .unwrap();
        case.assert_recorded("attribution.nodes", &in_order(&nodes), precision);
        let all = edges::<F>(&case, Linearisation::AtCorrupt);
        // The identity holds under grouped heads too, which the recording library refuses.
        let [sums, own] = [all.writer_sums().t().iter().copied().collect::<Vec<_>>(), by_writer(&nodes)];
        let most = own.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let epsilon = if precision == "f64" { 1e-12 } else { 1e-5 * most };
        for (a, b) in sums.iter().zip(&own) {
            assert_abs_diff_eq!(a, b, epsilon = epsilon);
        }
        if case.names("attribution.edge_scores").is_empty() {
            continue;
        }
        let scores: Vec<f64> = all.edges().map(|(.., score)| score).collect();
        case.assert_recorded("attribution.edge_scores", &scores, precision);
        case.assert_recorded("attribution.writer_sums", &all.writer_sums(), precision);
        for (rule, text) in
            [(Quadrature::Right, "right"), (Quadrature::Left, "left"), (Quadrature::Midpoint, "mid")]
        {
            for points in [1, 5, 200] {
                let name = format!("eap_ig.{text}.{points}");
                if !case.names(&name).contains(&name) {
                    continue;
                }
                let scores: Vec<f64> = edges::<F>(&case, Linearisation::Integrated { rule, points })
                    .edges()
                    .map(|e| e.3)
                    .collect();
                case.assert_recorded(&name, &scores, precision);
            }
        }
    }
}

/// Returns the values of nodes by writer, then by position.
fn by_writer(nodes: &collimate_circuits::NodeAttribution) -> Vec<f64> {
    let mut all = nodes.embedding.to_vec();
    let (layers, _, heads) = nodes.heads.dim();
    for layer in 0..layers {
        for head in 0..heads {
            all.extend(nodes.heads.slice(ndarray::s![layer, .., head]));
        }
        all.extend(nodes.mlps.row(layer));
    }
    all
}

#[test]
fn recorded_attributions_are_met_in_f64() {
    recorded::<f64>("f64");
}

#[test]
fn recorded_attributions_are_met_in_f32() {
    recorded::<f32>("f32");
}

#[test]
fn integrated_edges_of_the_embedding_add_up_to_the_difference_of_the_metric() {
    for name in MODELS {
        let case = Case::of_model(name);
        let at = |points| Linearisation::Integrated { rule: Quadrature::Midpoint, points };
        let off = |points| {
            let all = edges::<f64>(&case, at(points));
            (all.writer_sums().column(0).sum() - (all.clean - all.corrupt)).abs()
        };
        // The error of the midpoint rule falls with the square of the number of points.
        let (some, many) = (off(50), off(200));
        assert!(many < 1e-4, "{name}: {many}");
        assert!(many < some / 8.0, "{name}: {some} falls to {many}");
    }
}

#[test]
fn the_sign_turns_and_the_run_of_the_gradient_matters() {
    let case = Case::of_model("llama_2");
    let model: Model<f64> = case.model();
    let nodes =
        |at, sign| in_order(&attribute_nodes(&model, &case.pair(), &case.metric(), at, sign, 4).unwrap());
    let plus = nodes(Linearisation::AtCorrupt, Sign::CleanMinusCorrupt);
    let minus = nodes(Linearisation::AtCorrupt, Sign::CorruptMinusClean);
    assert!(plus.iter().zip(&minus).all(|(a, b)| *a == -*b));
    let clean = nodes(Linearisation::AtClean, Sign::CleanMinusCorrupt);
    let off = plus.iter().zip(&clean).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(off > 0.01, "the two gradients differ by {off}");
    assert!(Linearisation::Integrated { rule: Quadrature::Left, points: 0 }.points().is_err());
}

#[test]
fn writers_and_readers_are_those_of_the_model() {
    let all = edges::<f64>(&Case::of_model("llama_gqa_3"), Linearisation::AtCorrupt);
    assert_eq!((all.writers.len(), all.readers.len()), (1 + 3 * 5, 3 * (4 + 2 + 2 + 1) + 1));
    let index = |writer| all.writers.iter().position(|other| *other == writer).unwrap();
    let mlp = all.readers.iter().position(|reader| *reader == Reader::Mlp { layer: 1 }).unwrap();
    assert!(all.exists[[index(Writer::Head { layer: 1, head: 3 }), mlp]]);
    assert!(!all.exists[[index(Writer::Mlp { layer: 1 }), mlp]]);
}
