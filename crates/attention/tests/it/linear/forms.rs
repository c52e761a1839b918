use super::{Case, Fading, Inputs, cases, distance, size};
use collimate_attention::linear::{Form, LinearGradients};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, Axis, s};
use proptest::prelude::*;

/// Computes the definition with whole matrices: the state is multiplied by (I − β k kᵀ) diag(factor), then β k vᵀ is added.
fn definition(case: &Case, x: &Inputs<f64>) -> (Array3<f64>, Array3<f64>) {
    let ((h, t, d), e) = (x.q.dim(), case.value_width);
    let setting = case.setting(Form::Recurrent);
    let mut out = Array3::zeros((h, t, e));
    let mut states = x.initial.clone();
    for g in 0..case.key_heads {
        for i in 0..t {
            let fade =
                Array2::from_shape_fn((d, d), |(a, b)| if a == b { case.factor(x, g, i, a) } else { 0.0 });
            let k = x.k.slice(s![g, i, ..]).to_owned().insert_axis(Axis(1));
            let v = x.v.slice(s![g, i, ..]).to_owned().insert_axis(Axis(0));
            let (keep, rate) = if case.delta {
                (Array2::eye(d) - k.dot(&k.t()) * x.beta[[g, i]], x.beta[[g, i]])
            } else {
                (Array2::eye(d), 1.0)
            };
            let state = keep.dot(&fade).dot(&states.index_axis(Axis(0), g)) + k.dot(&v) * rate;
            states.index_axis_mut(Axis(0), g).assign(&state);
            for head in (0..h).filter(|&head| setting.heads.key_head(head).unwrap() == g) {
                out.slice_mut(s![head, i, ..]).assign(&(x.q.slice(s![head, i, ..]).dot(&state) * 0.7));
            }
        }
    }
    (out, states)
}

fn gradients_are_near(a: &LinearGradients<f64>, b: &LinearGradients<f64>, tolerance: f64) -> bool {
    let beta = |x: &LinearGradients<f64>| x.beta.clone().map(|x| x.insert_axis(Axis(2)));
    let near = |a: &Array3<f64>, b: &Array3<f64>| distance(a, b) <= tolerance * size(a);
    let both = |a: Option<Array3<f64>>, b: Option<Array3<f64>>| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => near(&a, &b),
        _ => false,
    };
    near(&a.q, &b.q)
        && near(&a.k, &b.k)
        && near(&a.v, &b.v)
        && near(&a.initial, &b.initial)
        && both(beta(a), beta(b))
        && both(a.log_decay.clone(), b.log_decay.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_form_is_the_definition_forwards_and_backwards(case in cases(), chunk in 1usize..40) {
        let x = case.inputs();
        let (out, state) = definition(&case, &x);
        let mut stream = RngStream::new(case.seed, 1);
        let mut like = |x: &Array3<f64>| Array3::from_shape_simple_fn(x.dim(), || stream.normal());
        let (d_out, d_state) = (like(&out), like(&state));
        let one_by_one = case.run(&x, Form::Recurrent).unwrap();
        let expected = one_by_one.backward(&d_out, Some(&d_state)).unwrap();
        for form in [Form::Recurrent, Form::Chunked { size: chunk }, Form::Parallel] {
            let pass = case.run(&x, form).unwrap();
            prop_assert!(distance(&pass.out, &out) < 1e-11 * size(&out), "{form:?}");
            prop_assert!(distance(&pass.state, &state) < 1e-11 * size(&state), "{form:?}");
            let gradients = pass.backward(&d_out, Some(&d_state)).unwrap();
            prop_assert!(gradients_are_near(&expected, &gradients, 1e-10), "{form:?}");
        }
    }

    #[test]
    fn a_sequence_may_be_cut_anywhere(case in cases(), cut in 0usize..41, chunk in 1usize..9) {
        let (mut x, cut) = (case.inputs(), cut.min(case.tokens));
        if case.fading == Fading::Head {
            // The rate is read from the first token of a part.
            prop_assume!(0 < cut && cut < case.tokens);
            let rate = x.log_decay.slice(s![.., ..1, ..]).to_owned();
            x.log_decay = rate.broadcast(x.log_decay.dim()).unwrap().to_owned();
        }
        let part = |from: usize, to: usize, initial: Array3<f64>| {
            let rows = s![.., from..to, ..];
            let x = Inputs {
                q: x.q.slice(rows).to_owned(),
                k: x.k.slice(rows).to_owned(),
                v: x.v.slice(rows).to_owned(),
                log_decay: x.log_decay.slice(rows).to_owned(),
                beta: x.beta.slice(s![.., from..to]).to_owned(),
                initial,
            };
            Case { tokens: to - from, initial: true, ..case.clone() }.run(&x, Form::Chunked { size: chunk }).unwrap()
        };
        let whole = case.run(&x, Form::Recurrent).unwrap();
        let first = part(0, cut, x.initial.clone());
        let second = part(cut, case.tokens, first.state.clone());
        let joined = ndarray::concatenate(Axis(1), &[first.out.view(), second.out.view()]).unwrap();
        prop_assert!(distance(&joined, &whole.out) < 1e-11 * size(&whole.out));
        prop_assert!(distance(&second.state, &whole.state) < 1e-11 * size(&whole.state));
    }

    #[test]
    fn single_precision_stays_near(case in cases(), chunk in 1usize..40) {
        let x = case.inputs();
        let narrow = |x: &Array3<f64>| x.mapv(|x| x as f32);
        let small = Inputs {
            q: narrow(&x.q),
            k: narrow(&x.k),
            v: narrow(&x.v),
            log_decay: narrow(&x.log_decay),
            beta: x.beta.mapv(|x| x as f32),
            initial: narrow(&x.initial),
        };
        let expected = case.run(&x, Form::Recurrent).unwrap();
        for form in [Form::Recurrent, Form::Chunked { size: chunk }, Form::Parallel] {
            let pass = case.run(&small, form).unwrap();
            let wide = pass.out.mapv(f64::from);
            prop_assert!(distance(&wide, &expected.out) < 2e-4 * size(&expected.out), "{form:?}");
            let gradient = pass.backward(&small.q.map(|_| 1.0).slice(s![.., .., ..1]).broadcast(pass.out.dim()).unwrap(), None);
            let wide = gradient.unwrap().k.mapv(f64::from);
            let ones = Array3::ones(expected.out.dim());
            let exact = expected.backward(&ones, None).unwrap().k;
            prop_assert!(distance(&wide, &exact) < 2e-3 * size(&exact), "{form:?}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let case = Case {
        key_heads: 4,
        group: 2,
        tokens: 150,
        width: 8,
        value_width: 8,
        fading: Fading::Channel,
        delta: true,
        initial: true,
        strength: 1.0,
        seed: 3,
    };
    let x = case.inputs();
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let pass = case.run(&x, Form::Chunked { size: 32 }).unwrap();
            let gradients = pass.backward(&pass.out, None).unwrap();
            let along = pass.jvp(&gradients).unwrap();
            (pass.out, pass.state, gradients, along)
        })
    };
    assert_eq!(all(1), all(3));
}

#[test]
fn decays_far_below_the_smallest_number_are_harmless() {
    // e^{−800} is zero, and quotients of running products would be 0/0.
    for delta in [false, true] {
        let case = Case {
            key_heads: 1,
            group: 1,
            tokens: 40,
            width: 3,
            value_width: 2,
            fading: Fading::Channel,
            delta,
            initial: true,
            strength: 800.0,
            seed: 5,
        };
        let mut x = case.inputs();
        x.log_decay[[0, 7, 1]] = f64::NEG_INFINITY;
        let (out, _) = definition(&case, &x);
        let mut along = Vec::new();
        for form in [Form::Recurrent, Form::Chunked { size: 33 }, Form::Parallel] {
            let pass = case.run(&x, form).unwrap();
            assert!(distance(&pass.out, &out) < 1e-11 * size(&out));
            let g = pass.backward(&out, None).unwrap();
            assert!(g.k.iter().chain(g.log_decay.as_ref().unwrap()).all(|x| x.is_finite()));
            along.push(pass.jvp(&g).unwrap());
            let ((out, state), (by_steps, state_by_steps)) = (along.last().unwrap(), &along[0]);
            assert!(distance(out, by_steps) < 1e-9 * size(by_steps));
            assert!(distance(state, state_by_steps) < 1e-9 * size(state_by_steps));
        }
    }
}
