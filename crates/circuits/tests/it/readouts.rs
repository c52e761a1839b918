//! Direct logit attribution and the logit lens against recorded values.

use crate::cases::{Case, MODELS};
use approx::assert_abs_diff_eq;
use collimate_circuits::{ValueBiases, direct_attribution, logit_lens};
use collimate_transformer::{Model, Precision};

fn recorded<F: Precision>(precision: &str) {
    for name in MODELS {
        let case = Case::of_model(name);
        let model: Model<F> = case.model();
        let ids = case.ids("clean");
        let lens = logit_lens(&model, &ids).unwrap();
        case.assert_recorded("logit_lens", &lens.logits, precision);
        let names: Vec<String> = lens.entries.iter().map(|entry| entry.name()).collect();
        assert_eq!(serde_json::json!(names), case.about["logit_lens_labels"]);
        let id = |key: &str| case.about[key].as_u64().unwrap() as u32;
        let direct =
            direct_attribution(&model, &ids, id("answer"), id("wrong"), ValueBiases::OutputBias).unwrap();
        let shares: Vec<f64> = direct.components.iter().map(|(_, share)| *share).collect();
        case.assert_recorded("dla.component", &shares, precision);
        let labels: Vec<&str> = direct.components.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(serde_json::json!(labels), case.about["dla.component.labels"]);
        let streams: Vec<f64> = direct.streams.iter().map(|(_, share)| *share).collect();
        case.assert_recorded("dla.layer", &streams, precision);
        let heads: Vec<f64> = direct.heads.iter().copied().chain([direct.remainder]).collect();
        case.assert_recorded("dla.head", &heads, precision);
        case.assert_recorded("metric.clean", [&direct.difference], precision);
    }
}

#[test]
fn recorded_readouts_are_met_in_f64() {
    recorded::<f64>("f64");
}

#[test]
fn recorded_readouts_are_met_in_f32() {
    recorded::<f32>("f32");
}

#[test]
fn shares_and_the_constant_add_up_to_the_difference_of_the_logits() {
    for name in MODELS {
        let case = Case::of_model(name);
        let model: Model<f64> = case.model();
        let direct = direct_attribution(&model, &case.ids("clean"), 1, 9, ValueBiases::Heads).unwrap();
        let sum: f64 = direct.components.iter().map(|(_, share)| share).sum();
        assert_abs_diff_eq!(sum + direct.constant, direct.difference, epsilon = 1e-12);
        let folded = direct_attribution(&model, &case.ids("clean"), 1, 9, ValueBiases::OutputBias).unwrap();
        let moved = (&direct.heads - &folded.heads).iter().fold(0.0f64, |most, x| most.max(x.abs()));
        // Only the first model has biases of values.
        assert_eq!(moved > 1e-6, name == "gpt2_2", "{name}: {moved}");
        let unknown = direct_attribution(&model, &case.ids("clean"), 1, 99, ValueBiases::Heads);
        assert!(unknown.unwrap_err().to_string().contains("99"));
    }
}
