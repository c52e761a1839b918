//! Patching sweeps and ablations against recorded values.

use crate::cases::{Case, MODELS};
use approx::assert_abs_diff_eq;
use collimate_circuits::{Ablation, Axes, CircuitError, Direction, Pair, Sweep, ablate, patch};
use collimate_transformer::{Capture, Edit, Input, Model, Precision, Site};
use ndarray::s;

fn sweeps<F: Precision>(precision: &str) {
    for name in MODELS {
        let case = Case::of_model(name);
        let (model, pair, metric): (Model<F>, _, _) = (case.model(), case.pair(), case.metric());
        let mut found = Vec::new();
        for (name, sweep) in Sweep::named() {
            let patched = patch(&model, &pair, Direction::Denoising, sweep, &metric, 7).unwrap();
            case.assert_recorded(&format!("patch.{name}"), &patched.values, precision);
            case.assert_recorded("metric.clean", [&patched.clean], precision);
            case.assert_recorded("metric.corrupt", [&patched.corrupt], precision);
            found.push(format!("patch.{name}"));
        }
        found.sort();
        let mut recorded = case.names("patch.");
        recorded.sort();
        assert_eq!(found, recorded, "every recorded sweep is compared");
    }
}

#[test]
fn every_recorded_sweep_is_met_in_f64() {
    sweeps::<f64>("f64");
}

#[test]
fn every_recorded_sweep_is_met_in_f32() {
    sweeps::<f32>("f32");
}

#[test]
fn noising_is_denoising_of_the_exchanged_pair_and_not_its_negative() {
    let case = Case::of_model("gpt2_2");
    let (model, pair, metric): (Model<f64>, _, _) = (case.model(), case.pair(), case.metric());
    let exchanged = Pair::new(pair.corrupt().to_vec(), pair.clean().to_vec()).unwrap();
    let sweep = Sweep { site: Site::HeadOutput, axes: Axes::LayerHead };
    let noising = patch(&model, &pair, Direction::Noising, sweep, &metric, 3).unwrap();
    let denoising = patch(&model, &exchanged, Direction::Denoising, sweep, &metric, 5).unwrap();
    // Another size of the batch rounds sums of a few hundred terms of order one in another order.
    for (a, b) in noising.values.iter().zip(&denoising.values) {
        assert_abs_diff_eq!(a, b, epsilon = 1e-12);
    }
    assert_eq!((noising.clean, noising.corrupt), (denoising.corrupt, denoising.clean));
    for (a, b) in noising.shares().unwrap().iter().zip(&denoising.shares().unwrap()) {
        assert_abs_diff_eq!(a, b, epsilon = 1e-11);
    }
    let forward = patch(&model, &pair, Direction::Denoising, sweep, &metric, 8).unwrap().shares().unwrap();
    let off = (&forward - &noising.shares().unwrap()).iter().fold(0.0f64, |most, x| most.max(x.abs()));
    assert!(off > 0.01, "in a nonlinear model restoring and destroying differ, but by {off}");
}

#[test]
fn equal_baselines_have_no_shares() {
    let case = Case::of_model("llama_2");
    let pair = Pair::new(case.ids("clean"), case.ids("clean")).unwrap();
    let sweep = Sweep { site: Site::ResidualPre, axes: Axes::LayerPosition };
    let model: Model<f64> = case.model();
    let patched = patch(&model, &pair, Direction::Denoising, sweep, &case.metric(), 4).unwrap();
    assert!(matches!(patched.shares(), Err(CircuitError::EqualBaselines { .. })));
}

#[test]
fn ablations_are_runs_with_edited_activations() {
    let case = Case::of_model("llama_gqa_3");
    let model: Model<f64> = case.model();
    let (ids, metric) = (case.ids("clean"), case.metric());
    let sweep = Sweep { site: Site::Value, axes: Axes::LayerPositionHead };
    let point = Site::Value.of_layer(1);
    let input = Input::new(ndarray::Array2::from_shape_vec((1, ids.len()), ids.clone()).unwrap());
    let value = |with: &ndarray::ArrayD<f64>| {
        let mut edit = Edit::at_f64(point, |mut v: ndarray::ArrayViewMutD<'_, f64>| {
            v.slice_mut(s![0, 3, 1, ..]).assign(&with.slice(s![0, 3, 1, ..]));
        });
        use collimate_circuits::Metric;
        let logits = model.run(&input, &mut edit).unwrap().logits.unwrap();
        metric.value(&logits.index_axis(ndarray::Axis(0), 0))
    };
    let captured = |ids: &[u32]| {
        let mut capture = Capture::at([point]);
        let input = Input::new(ndarray::Array2::from_shape_vec((1, ids.len()), ids.to_vec()).unwrap());
        model.run(&input, &mut capture).unwrap();
        capture.take(point).unwrap()
    };
    let prompts: Vec<Vec<u32>> = case.about["mean_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect())
        .collect();
    let mean = (captured(&prompts[0]) + captured(&prompts[1]) + captured(&prompts[2])) / 3.0;
    let zero = mean.mapv(|_| 0.0);
    for (ablation, with) in [
        (Ablation::Zero, zero),
        (Ablation::Mean(&prompts), mean),
        (Ablation::Resample(&prompts[0]), captured(&prompts[0])),
    ] {
        let ablated = ablate(&model, &ids, ablation, sweep, &metric, 6).unwrap();
        assert_eq!(ablated.values.shape(), [3, 5, 2]);
        // Sums of a few hundred terms of order one.
        assert!((ablated.values[[1, 3, 1]] - value(&with)).abs() < 1e-12, "{ablation:?}");
        assert!((ablated.values[[1, 3, 1]] - ablated.base).abs() > 1e-6, "{ablation:?}");
    }
    let refused = |prompts: &[Vec<u32>]| {
        ablate(&model, &ids, Ablation::Mean(prompts), sweep, &metric, 6).unwrap_err().to_string()
    };
    assert!(refused(&[]).contains("at least one"));
    assert!(refused(&[vec![1, 2]]).contains("2 tokens"));
    assert!(refused(std::slice::from_ref(&ids)).contains("leave it out"));
}

#[test]
fn sweeps_that_do_not_fit_are_refused() {
    let case = Case::of_model("gpt2_2");
    let model: Model<f64> = case.model();
    let refused = |site, axes| Sweep { site, axes }.shape(&model, 4).unwrap_err().to_string();
    assert!(refused(Site::Logits, Axes::LayerPosition).contains("whole model"));
    assert!(refused(Site::Pattern, Axes::LayerPosition).contains("queries and keys"));
    assert!(refused(Site::ResidualPre, Axes::LayerHead).contains("no axes"));
    let pair = case.pair();
    let sweep = Sweep { site: Site::ResidualPre, axes: Axes::LayerPosition };
    let none = patch(&model, &pair, Direction::Denoising, sweep, &case.metric(), 0);
    assert!(none.unwrap_err().to_string().contains("batch"));
}
