//! Hooks: the activations that they are shown, and the effect of their changes.

use crate::runs::{model, tokens};
use collimate_transformer::{Capture, Edit, HookPoint, Hooks, Run, RunError, Site};
use ndarray::{Array2, ArrayD, ArrayViewMutD, Axis, Ix2, s};
use proptest::prelude::*;

fn points() -> impl Iterator<Item = HookPoint> {
    (0..3).flat_map(|layer| Site::ALL.map(|site| site.of_layer(layer)))
}

fn flat(x: &ArrayD<f32>) -> Array2<f32> {
    x.index_axis(Axis(0), 0).into_dimensionality::<Ix2>().unwrap().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_and_writing_back_change_no_bit(t in 1..90_usize, seed in any::<u64>()) {
        let (model, tokens) = (model(seed), tokens(t, seed));
        let run = Run::of(&tokens);
        let clean = model.losses(&run, &mut ()).unwrap();
        let mut capture = Capture::at(points());
        prop_assert_eq!(&model.losses(&run, &mut capture).unwrap(), &clean);
        for point in points() {
            let held = capture.get(point).unwrap().clone();
            let mut put_back = Edit::at(point, |mut x| x.assign(&held));
            prop_assert_eq!(&model.losses(&run, &mut put_back).unwrap(), &clean, "{}", point);
        }
    }

    #[test]
    fn every_site_changes_later_logits_and_no_earlier_ones(t in 2..40_usize, layer in 0..3_usize, seed in any::<u64>()) {
        let (model, tokens) = (model(seed), tokens(t, seed));
        let run = Run::of(&tokens);
        let clean = model.logits(&run, &mut ()).unwrap();
        for site in Site::ALL {
            // Change the last position only: for the pattern that is the last query's row.
            let axis = if site == Site::Pattern { Axis(2) } else { Axis(1) };
            let mut edit = Edit::at(site.of_layer(layer), |mut x: ArrayViewMutD<'_, f32>| {
                x.index_axis_mut(axis, t - 1).mapv_inplace(|x| 0.5 * x + 0.1);
            });
            let changed = model.logits(&run, &mut edit).unwrap();
            prop_assert_ne!(clean.slice(s![0, t - 1, ..]), changed.slice(s![0, t - 1, ..]), "{:?}", site);
            for i in 0..t - 1 {
                prop_assert_eq!(clean.slice(s![0, i, ..]), changed.slice(s![0, i, ..]), "{:?}", site);
            }
        }
    }

    #[test]
    fn the_sites_fit_together(t in 1..40_usize, seed in any::<u64>()) {
        let (model, tokens) = (model(seed), tokens(t, seed));
        let mut capture = Capture::at(points());
        model.visit(Run::of(&tokens), &mut capture).unwrap();
        let get = |layer, site: Site| capture.get(site.of_layer(layer)).unwrap();
        for layer in 0..3 {
            let attention = flat(get(layer, Site::AttentionOutput));
            let mid = flat(get(layer, Site::ResidualPre)) + &attention;
            prop_assert_eq!(mid, flat(get(layer, Site::ResidualMid)));
            let post = flat(get(layer, Site::ResidualMid)) + &flat(get(layer, Site::MlpOutput));
            prop_assert_eq!(&post, &flat(get(layer, Site::ResidualPost)));
            if layer < 2 {
                prop_assert_eq!(&post, &flat(get(layer + 1, Site::ResidualPre)));
            }
            prop_assert_eq!(get(layer, Site::HeadOutput).shape(), &[1, t, 4, 8]);
            let pattern = get(layer, Site::Pattern);
            prop_assert_eq!(pattern.shape(), &[1, 4, t, t]);
            for (index, &p) in pattern.indexed_iter() {
                let (query, key) = (index[2], index[3]);
                let fits = if key > query { p == 0.0 } else { (0.0..=1.000_001).contains(&p) };
                prop_assert!(fits, "{} from {} to {}", p, query, key);
            }
            prop_assert!(pattern.sum_axis(Axis(3)).iter().all(|sum| (sum - 1.0).abs() < 1e-5));
        }
    }
}

#[test]
fn a_replaced_pattern_mixes_the_values() {
    let (model, tokens) = (model(8), tokens(12, 8));
    // Head 1 of layer 0 attends to itself only: each z is then its own value row, for every query head of the group.
    let mut own = Edit::at(Site::Pattern.of_layer(0), |mut pattern: ArrayViewMutD<'_, f32>| {
        let mut head = pattern.index_axis_mut(Axis(1), 1);
        head.fill(0.0);
        (0..12).for_each(|t| head[[0, t, t]] = 1.0);
    });
    let mut capture = Capture::at([Site::HeadOutput.of_layer(0)]);
    model.visit(Run::of(&tokens), &mut (&mut own, &mut capture)).unwrap();
    let edited = capture.take(Site::HeadOutput.of_layer(0)).unwrap();
    model.visit(Run::of(&tokens), &mut capture).unwrap();
    let clean = capture.take(Site::HeadOutput.of_layer(0)).unwrap();
    for head in [0, 2, 3] {
        assert_eq!(
            edited.index_axis(Axis(2), head),
            clean.index_axis(Axis(2), head),
            "untouched heads keep their bits"
        );
    }
    // Position 0 attends to itself anyway.
    let first = |z: &ArrayD<f32>| z.index_axis(Axis(2), 1).index_axis(Axis(1), 0).to_owned();
    assert!(first(&edited).iter().zip(&first(&clean)).all(|(a, b)| (a - b).abs() < 1e-6));
    assert_ne!(edited.index_axis(Axis(2), 1), clean.index_axis(Axis(2), 1));
}

/// Hooks that want the first two layers and record the points they are called for.
struct Counting {
    seen: Vec<HookPoint>,
}

impl Hooks for Counting {
    fn wants(&self, point: HookPoint) -> bool {
        point.layer <= 1 && !point.site.is_of_the_model()
    }

    fn at(&mut self, point: HookPoint, _: ArrayViewMutD<'_, f32>) {
        self.seen.push(point);
    }
}

#[test]
fn a_visit_passes_the_wanted_points_in_order_and_stops() {
    let mut counting = Counting { seen: Vec::new() };
    model(1).visit(Run::of(&[1, 2, 3]), &mut counting).unwrap();
    let of_two_layers = |point: &HookPoint| point.layer <= 1 && !point.site.is_of_the_model();
    let expected: Vec<_> = model(1).points().filter(of_two_layers).collect();
    assert_eq!(counting.seen, expected);
    // The layers after the last wanted layer are never computed: an edit there would leave NaN and fail.
    let mut late = Edit::at(Site::Query.of_layer(2), |mut x: ArrayViewMutD<'_, f32>| x.fill(f32::NAN));
    let capture = Capture::at([Site::ResidualPost.of_layer(1)]);
    assert!(model(1).residual(Run::of(&[1]), 2, &mut (capture, &mut late)).is_ok());
}

#[test]
fn a_capture_names_the_activation_that_it_does_not_hold() {
    let mut capture = Capture::at([Site::ResidualPre.of_layer(1), Site::Query.of_layer(2)]);
    model(1).residual(Run::of(&[1]), 2, &mut capture).unwrap();
    assert!(capture.get(Site::ResidualPre.of_layer(1)).is_ok());
    for point in [Site::Query.of_layer(2), Site::MlpOutput.of_layer(1)] {
        let error = capture.get(point).unwrap_err();
        assert!(matches!(error, RunError::NotCaptured { point: p } if p == point));
    }
    assert!(capture.take(Site::ResidualPre.of_layer(1)).is_ok());
    assert!(capture.take(Site::ResidualPre.of_layer(1)).is_err());
}

#[test]
fn nan_left_by_a_hook_is_named() {
    for site in Site::ALL {
        let mut edit = Edit::at(site.of_layer(1), |mut x: ArrayViewMutD<'_, f32>| {
            *x.iter_mut().nth(3).unwrap() = f32::NAN;
        });
        let error = model(1).losses(Run::of(&[1, 2, 3]), &mut edit).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("{site:?} of layer 1: 1 values")) && text.contains("position 3"),
            "{text}"
        );
    }
}

#[test]
fn a_point_that_the_model_does_not_have_is_an_error() {
    let (model, tokens) = (model(1), [1, 2, 3]);
    let run = Run::of(&tokens);
    let refused = |hooks: &mut dyn Hooks, layer: usize| {
        let errors = [
            model.losses(&run, hooks).map(drop).unwrap_err(),
            model.logits(&run, hooks).map(drop).unwrap_err(),
            model.last_logits(&run, hooks).map(drop).unwrap_err(),
            model.visit(&run, hooks).unwrap_err(),
            model.residual(&run, 1, hooks).map(drop).unwrap_err(),
        ];
        for error in errors {
            let expected = format!("of layer {layer}, but the model has 3 layers");
            assert!(matches!(&error, RunError::NoSuchPoint { layers: 3, .. }), "{error}");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    };
    for (layer, site) in [(99, Site::MlpNeurons), (3, Site::ResidualPre), (usize::MAX, Site::Pattern)] {
        let mut edit = Edit::at(site.of_layer(layer), |_: ArrayViewMutD<'_, f32>| {});
        refused(&mut edit, layer);
        let mut capture = Capture::at([Site::ResidualPre.of_layer(0), site.of_layer(layer)]);
        refused(&mut capture, layer);
        // Joined hooks and hooks behind a reference are looked at too.
        refused(&mut (Capture::at([Site::Pattern.of_layer(1)]), &mut edit), layer);
        refused(&mut (capture, ()), layer);
    }
    let mut last = Edit::at(Site::ResidualPost.of_layer(2), |mut x: ArrayViewMutD<'_, f32>| x.fill(0.0));
    assert!(model.losses(&run, &mut last).is_ok());
}

#[test]
fn finite_numbers_that_overflow_later_name_the_site() {
    let model = model(1);
    let run = Run::of(&[1, 2, 3]);
    let fill = |point: HookPoint, value: f32| {
        Edit::at(point, move |mut x: ArrayViewMutD<'_, f32>| {
            x.iter_mut().enumerate().for_each(|(i, x)| *x = if i % 2 == 0 { value } else { -value });
        })
    };
    for (site, named) in [
        // The product with the output matrix overflows.
        (Site::MlpNeurons, "MlpOutput of layer 1, computed"),
        (Site::HeadOutput, "AttentionOutput of layer 1, computed"),
        // Two numbers of this size add up to infinity.
        (Site::MlpOutput, "ResidualPost of layer 2, computed"),
    ] {
        let point = site.of_layer(1);
        let mut errors = Vec::new();
        if site == Site::MlpOutput {
            let mut both = (fill(point, 3e38), fill(site.of_layer(2), 3e38));
            errors.push(model.losses(&run, &mut both).map(drop).unwrap_err());
        } else {
            errors.push(model.losses(&run, &mut fill(point, 3e38)).map(drop).unwrap_err());
            errors.push(model.logits(&run, &mut fill(point, 3e38)).map(drop).unwrap_err());
        }
        for error in errors {
            assert!(
                matches!(&error, RunError::NonFinite(_)) && error.to_string().starts_with(named),
                "{error}"
            );
        }
    }
}

#[test]
fn a_large_residual_stream_gives_the_logits_of_its_direction() {
    // The final norm divides by the length, so a residual stream times 10²⁵ has the logits of the stream itself, up to ε.
    let model = model(4);
    let run = Run::of(&[5, 6, 7]);
    let residual = model.residual(&run, 3, &mut ()).unwrap();
    let clean = model.logits(&run, &mut ()).unwrap();
    for scale in [1e10_f32, 1e19, 1e25, 1e36] {
        let large = residual.mapv(|x| x * scale);
        let logits = model.logits(run.from_layer(3, large.view()), &mut ()).unwrap();
        // ε adds 10⁻⁵ to a mean square near 5, and the norm rounds by a few units of the last place.
        assert!(logits.iter().zip(&clean).all(|(a, b)| (a - b).abs() < 2e-4 * b.abs().max(1.0)), "{scale:e}");
        let losses = model.losses(run.from_layer(3, large.view()), &mut ()).unwrap();
        assert!(losses[0].nll.iter().all(|nll| nll.is_finite() && *nll > 0.0));
    }
}

#[test]
fn one_run_starts_from_many_residual_streams() {
    let model = model(2);
    let tokens = [3, 1, 4];
    let run = Run::of(&tokens);
    let mut losses = Vec::new();
    for layer in 0..=3 {
        // The stream lives for one turn of the loop, the run for all of them.
        let residual = model.residual(&run, layer, &mut ()).unwrap();
        losses.push(model.losses(run.from_layer(layer, residual.view()), &mut ()).unwrap());
    }
    assert!(losses.windows(2).all(|pair| pair[0] == pair[1]));
}
