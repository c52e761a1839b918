use approx::assert_abs_diff_eq;
use collimate_grad::{
    Adam, AdamConfig, EpsilonPlacement, GradError, Momentum, Optimiser, ResetSteps, Sgd, SgdConfig,
    WeightDecay, clip_global_norm, global_norm,
};
use collimate_stream::RngStream;
use proptest::prelude::*;

/// Adam for one parameter, written as in the paper, without slices or shared code.
struct ReferenceAdam {
    m: f64,
    v: f64,
    t: i32,
}

impl ReferenceAdam {
    fn step(&mut self, c: &AdamConfig, rate: f64, g: f64, w: f64) -> f64 {
        let g = if let WeightDecay::L2(lambda) = c.weight_decay { g + lambda * w } else { g };
        self.t += 1;
        self.m = c.beta1 * self.m + (1.0 - c.beta1) * g;
        self.v = c.beta2 * self.v + (1.0 - c.beta2) * g.powi(2);
        let m_hat = self.m / (1.0 - c.beta1.powi(self.t));
        let v_hat = self.v / (1.0 - c.beta2.powi(self.t));
        let step = match c.epsilon_placement {
            EpsilonPlacement::AfterCorrection => m_hat / (v_hat.sqrt() + c.epsilon),
            EpsilonPlacement::BeforeCorrection => {
                let root = (1.0 - c.beta2.powi(self.t)).sqrt();
                m_hat * root / (self.v.sqrt() + c.epsilon)
            }
        };
        let decay = if let WeightDecay::Decoupled(lambda) = c.weight_decay { rate * lambda * w } else { 0.0 };
        w - decay - rate * step
    }
}

fn any_config() -> impl Strategy<Value = AdamConfig> {
    let decay = prop_oneof![
        Just(WeightDecay::None),
        (0.0..0.5).prop_map(WeightDecay::L2),
        (0.0..0.5).prop_map(WeightDecay::Decoupled)
    ];
    let placement =
        prop_oneof![Just(EpsilonPlacement::AfterCorrection), Just(EpsilonPlacement::BeforeCorrection)];
    (0.0..0.99, 0.0..0.9999, -10.0..0.0, placement, decay).prop_map(
        |(beta1, beta2, e, epsilon_placement, weight_decay)| AdamConfig {
            beta1,
            beta2,
            epsilon: 10f64.powf(e),
            epsilon_placement,
            weight_decay,
            ..AdamConfig::default()
        },
    )
}

proptest! {
    #[test]
    fn adam_is_the_reference_at_every_step(config in any_config(), seed in any::<u64>()) {
        let mut stream = RngStream::new(seed, 0);
        let n = 5;
        let mut w: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mut expected = w.clone();
        let mut adam = Adam::new(n, config).unwrap();
        let mut reference: Vec<ReferenceAdam> = (0..n).map(|_| ReferenceAdam { m: 0.0, v: 0.0, t: 0 }).collect();
        for t in 0..30 {
            let rate = 0.1 / (1.0 + t as f64);
            let g: Vec<f64> = (0..n).map(|i| stream.normal() * 10f64.powi(i as i32 - 2)).collect();
            adam.step(rate, &g, &mut w).unwrap();
            for i in 0..n {
                expected[i] = reference[i].step(&config, rate, g[i], expected[i]);
                prop_assert!((w[i] - expected[i]).abs() <= 1e-12 * (1.0 + expected[i].abs()), "{t} {i}");
            }
        }
    }

    #[test]
    fn a_reset_row_goes_on_like_a_new_optimiser(start in 0usize..20, len in 0usize..20, before in 1usize..9) {
        let n = 40;
        let mut stream = RngStream::new(7, start as u64);
        let mut adam = Adam::<f64>::new(n, AdamConfig::default()).unwrap();
        let mut w = vec![0.0; n];
        for _ in 0..before {
            let g: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            adam.step(0.01, &g, &mut w).unwrap();
        }
        let untouched = adam.clone();
        adam.reset(start..start + len).unwrap();
        let mut fresh = Adam::<f64>::new(n, AdamConfig::default()).unwrap();
        let (mut a, mut b, mut c) = (w.clone(), w.clone(), w);
        for _ in 0..3 {
            let g: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            adam.step(0.01, &g, &mut a).unwrap();
            fresh.step(0.01, &g, &mut b).unwrap();
        }
        for i in start..start + len {
            prop_assert_eq!(a[i], b[i]);
        }
        // The rows beside it are unchanged.
        let mut stream = RngStream::new(7, start as u64);
        (0..n * before).for_each(|_| { stream.normal(); });
        let mut untouched = untouched;
        for _ in 0..3 {
            let g: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            untouched.step(0.01, &g, &mut c).unwrap();
        }
        for i in (0..start).chain(start + len..n) {
            prop_assert_eq!(a[i], c[i]);
        }
        prop_assert!(adam.state().ages.len() <= 3);
    }
}

#[test]
fn the_first_step_in_closed_form() {
    for (placement, expected) in [
        // |g|/(|g| + ε) and |g|√(1 − β₂)/(|g|√(1 − β₂) + ε)
        (EpsilonPlacement::AfterCorrection, 2.0 / 2.5),
        (EpsilonPlacement::BeforeCorrection, 2.0 * 0.001f64.sqrt() / (2.0 * 0.001f64.sqrt() + 0.5)),
    ] {
        let config = AdamConfig { epsilon: 0.5, epsilon_placement: placement, ..AdamConfig::default() };
        let mut adam = Adam::<f64>::new(1, config).unwrap();
        let mut w = [1.0];
        adam.step(0.1, &[-2.0], &mut w).unwrap();
        assert!((w[0] - (1.0 + 0.1 * expected)).abs() < 1e-14, "{placement:?}");
    }
}

#[test]
fn a_reset_that_keeps_its_count_overshoots_as_documented() {
    let config = AdamConfig { reset_steps: ResetSteps::Keep, epsilon: 1e-30, ..AdamConfig::default() };
    let mut adam = Adam::<f64>::new(1, config).unwrap();
    let mut w = [0.0];
    for _ in 0..100_000 {
        adam.step(0.0, &[1.0], &mut w).unwrap();
    }
    adam.reset(0..1).unwrap();
    adam.step(1.0, &[1.0], &mut w).unwrap();
    assert!((w[0] + 0.1 / 0.001f64.sqrt()).abs() < 1e-9); // 3.16 times the rate
}

#[test]
fn a_restored_optimiser_goes_on_bit_for_bit() {
    let mut stream = RngStream::new(1, 1);
    let mut adam = Adam::<f32>::new(10, AdamConfig::default()).unwrap();
    let mut sgd = Sgd::<f32>::new(10, SgdConfig { momentum: Momentum::Nesterov(0.9), l2: 0.01 }).unwrap();
    let mut w = vec![1.0f32; 10];
    let mut g = vec![0.0f32; 10];
    for _ in 0..5 {
        stream.fill_normal(&mut g);
        adam.step(0.01, &g, &mut w).unwrap();
        sgd.step(0.01, &g, &mut w).unwrap();
    }
    adam.reset(3..5).unwrap();
    let mut adam2 = Adam::<f32>::new(10, AdamConfig::default()).unwrap();
    adam2.restore(adam.state().clone()).unwrap();
    let mut sgd2 = Sgd::<f32>::new(10, SgdConfig { momentum: Momentum::Nesterov(0.9), l2: 0.01 }).unwrap();
    sgd2.restore(sgd.state().clone()).unwrap();
    let mut w2 = w.clone();
    for _ in 0..5 {
        stream.fill_normal(&mut g);
        adam.step(0.01, &g, &mut w).unwrap();
        sgd.step(0.01, &g, &mut w).unwrap();
        adam2.step(0.01, &g, &mut w2).unwrap();
        sgd2.step(0.01, &g, &mut w2).unwrap();
    }
    assert_eq!(
        w.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        w2.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    );
}

#[test]
fn a_large_step_is_the_same_on_one_thread_and_on_many() {
    let n = 300_001;
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut stream = RngStream::new(3, 3);
            let mut g = vec![0.0f32; n];
            let mut w = vec![0.5f32; n];
            let mut adam = Adam::new(n, AdamConfig::default()).unwrap();
            for _ in 0..2 {
                stream.fill_normal(&mut g);
                clip_global_norm(&mut [&mut g], 1.0).unwrap();
                adam.step(0.01, &g, &mut w).unwrap();
            }
            w.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn sgd_on_a_quadratic_is_its_closed_form() {
    // w ← (1 − ηa)w; with Nesterov: u = a w, then w − η(g + μu).
    let mut sgd = Sgd::<f64>::new(1, SgdConfig::default()).unwrap();
    let mut w = [1.0];
    for _ in 0..10 {
        let g = [0.5 * w[0]];
        sgd.step(0.2, &g, &mut w).unwrap();
    }
    assert_abs_diff_eq!(w[0], 0.9f64.powi(10), epsilon = 1e-15);
    let mut nesterov = Sgd::<f64>::new(1, SgdConfig { momentum: Momentum::Nesterov(0.9), l2: 0.0 }).unwrap();
    let mut w = [1.0];
    nesterov.step(0.1, &[1.0], &mut w).unwrap();
    assert_abs_diff_eq!(w[0], 1.0 - 0.1 * 1.9, epsilon = 1e-15);
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut adam = Adam::<f64>::new(2, AdamConfig::default()).unwrap();
    let before = adam.clone();
    let mut w = [1.0, 2.0];
    let error = adam.step(0.1, &[0.0, f64::INFINITY], &mut w).unwrap_err();
    assert!(matches!(error, GradError::NonFinite { argument: "gradient", index: 1, .. }));
    assert_eq!((adam, w), (before, [1.0, 2.0]));
    assert!(clip_global_norm(&mut [&mut [1.0, f64::NAN]], 1.0).is_err());
}

#[test]
fn clipping_bounds_the_common_norm_and_leaves_small_ones_alone() {
    let (mut a, mut b) = (vec![3.0f32; 1000], vec![4.0f32; 1000]);
    let norm = clip_global_norm(&mut [&mut a, &mut b], 2.5).unwrap();
    assert!((norm - 5.0 * 1000f64.sqrt()).abs() < 1e-9);
    assert!((global_norm(&[a.as_slice(), &b]) - 2.5).abs() < 1e-6);
    let small = a.clone();
    clip_global_norm(&mut [&mut a, &mut b], 2.6).unwrap();
    assert_eq!(a, small);
}

#[test]
fn settings_out_of_range_are_named_in_the_error() {
    let config = AdamConfig { beta2: 1.0, ..AdamConfig::default() };
    assert_eq!(Adam::<f64>::new(1, config).unwrap_err().to_string(), "beta2 must be in [0, 1), but is 1");
    // Positive in f64, but it would round to zero in f32.
    let config = AdamConfig { epsilon: 1e-50, ..AdamConfig::default() };
    assert!(Adam::<f64>::new(1, config).is_ok());
    assert!(Adam::<f32>::new(1, config).is_err());
}

#[test]
fn adam_refuses_a_gradient_whose_square_is_infinite_and_goes_on_after_it() {
    let step = |gradient: &[f32], decay: WeightDecay, w: &mut [f32], adam: &mut Option<Adam<f32>>| {
        let config = AdamConfig { weight_decay: decay, ..AdamConfig::default() };
        adam.get_or_insert_with(|| Adam::new(w.len(), config).unwrap()).step(0.1, gradient, w)
    };
    for large in [1e21_f32, -1e21, 2e19, f32::MAX] {
        let (mut w, mut adam) = ([0.5_f32, 0.5], None);
        let error = step(&[1.0, large], WeightDecay::None, &mut w, &mut adam).unwrap_err();
        assert!(matches!(error, GradError::TooLarge { argument: "gradient", index: 1, kind: "f32", .. }));
        let text = error.to_string();
        assert!(text.contains("gradient[1]") && text.contains("clip the gradient"), "{text}");
        // Neither the parameters nor the state have changed: the next step is the first one.
        assert_eq!(w, [0.5, 0.5]);
        step(&[1.0, -1.0], WeightDecay::None, &mut w, &mut adam).unwrap();
        assert_abs_diff_eq!(w[0], 0.4, epsilon = 1e-6);
        assert_abs_diff_eq!(w[1], 0.6, epsilon = 1e-6);
    }
    // The largest allowed gradient moves its parameter like any other.
    let (mut w, mut adam) = ([0.0_f32], None);
    for _ in 0..50 {
        step(&[1.3e19], WeightDecay::None, &mut w, &mut adam).unwrap();
    }
    assert_abs_diff_eq!(w[0], -5.0, epsilon = 1e-3);
    // The decay is a part of the gradient under L2.
    let (mut w, mut adam) = ([1e21_f32], None);
    let error = step(&[0.0], WeightDecay::L2(1.0), &mut w, &mut adam).unwrap_err();
    assert!(matches!(error, GradError::TooLarge { index: 0, .. }));
    let mut wide = Adam::<f64>::new(1, AdamConfig::default()).unwrap();
    assert!(matches!(wide.step(0.1, &[1e200], &mut [0.0]), Err(GradError::TooLarge { kind: "f64", .. })));
    assert!(wide.step(0.1, &[1e100], &mut [0.0]).is_ok());
}

#[test]
fn a_state_that_could_never_move_again_is_not_restored() {
    let mut adam = Adam::<f32>::new(1, AdamConfig::default()).unwrap();
    for (first, second, name) in [
        (0.0, f32::INFINITY, "state.second[0]"),
        (f32::NAN, 1.0, "state.first[0]"),
        (0.0, f32::NAN, "state.second"),
    ] {
        let mut state = adam.state().clone();
        (state.first[0], state.second[0]) = (first, second);
        assert!(adam.restore(state).unwrap_err().to_string().starts_with(name));
    }
    assert_eq!(adam.state().second, [0.0]);
}

#[test]
fn the_global_norm_does_not_depend_on_the_scale() {
    for scale in [1e-320, 1e-200, 1.0, 1e160, 1e300] {
        let (a, b) = ([3.0 * scale], [0.0, -4.0 * scale]);
        let norm = global_norm::<f64>(&[&a, &b]);
        // Numbers near the least one have few digits.
        assert!(
            (norm / scale - 5.0).abs() < if scale < 1e-300 { 1e-2 } else { 1e-14 },
            "{scale:e}: {norm:e}"
        );
    }
    assert_eq!(global_norm::<f32>(&[&[3e38], &[4e-38]]), f64::from(3e38_f32));
    assert_eq!(global_norm::<f64>(&[]), 0.0);
    assert!(global_norm::<f64>(&[&[f64::NAN, 1e300]]).is_nan());
    assert_eq!(global_norm::<f64>(&[&[f64::INFINITY]]), f64::INFINITY);
    let mut large = [3e200, 4e200];
    assert_abs_diff_eq!(clip_global_norm(&mut [&mut large], 5.0).unwrap() / 5e200, 1.0, epsilon = 1e-15);
    assert_abs_diff_eq!(large[1], 4.0, epsilon = 1e-12);
}
