use super::{Case, Fading, Inputs, cases, distance, size};
use collimate_attention::linear::{Form, LinearGradients, Pass};
use collimate_stream::RngStream;
use ndarray::{Array3, Zip, s};
use proptest::prelude::*;

fn inner(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    Zip::from(a).and(b).fold(0.0, |sum, x, y| sum + x * y)
}

/// Computes ⟨d_out, out⟩ + ⟨d_state, state⟩ for changed inputs.
fn loss(case: &Case, x: &Inputs<f64>, form: Form, d: &(Array3<f64>, Array3<f64>)) -> f64 {
    let pass = case.run(x, form).unwrap();
    inner(&pass.out, &d.0) + inner(&pass.state, &d.1)
}

/// Draws a random direction in all inputs, and returns it as inputs and as gradients.
fn direction(case: &Case, x: &Inputs<f64>, pass: &Pass<f64>) -> (Inputs<f64>, LinearGradients<f64>) {
    let mut stream = RngStream::new(case.seed, 4);
    let mut like = |x: &Array3<f64>| Array3::from_shape_simple_fn(x.dim(), || stream.normal());
    let (q, k, v, initial, mut log_decay) =
        (like(&x.q), like(&x.k), like(&x.v), like(&x.initial), like(&x.log_decay));
    let beta = like(&x.k).slice(s![.., .., 0]).to_owned();
    if case.fading == Fading::Head {
        let rates = log_decay.slice(s![.., ..1, ..1]).to_owned();
        log_decay = rates.broadcast(log_decay.dim()).unwrap().to_owned();
    }
    let mut d = pass.direction();
    (d.q, d.k, d.v, d.initial) = (q.clone(), k.clone(), v.clone(), initial.clone());
    d.log_decay = d.log_decay.map(|own| {
        let (_, t, c) = own.dim();
        log_decay.slice(s![.., ..t, ..c]).to_owned()
    });
    d.beta = d.beta.map(|_| beta.clone());
    (Inputs { q, k, v, log_decay, beta, initial }, d)
}

fn moved(x: &Inputs<f64>, step: &Inputs<f64>, h: f64) -> Inputs<f64> {
    Inputs {
        q: &x.q + &(&step.q * h),
        k: &x.k + &(&step.k * h),
        v: &x.v + &(&step.v * h),
        log_decay: &x.log_decay + &(&step.log_decay * h),
        beta: &x.beta + &(&step.beta * h),
        initial: &x.initial + &(&step.initial * h),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn jvp_is_the_central_difference_and_the_transpose_of_backward(case in cases(), chunk in 1usize..20) {
        let case = Case { tokens: case.tokens.clamp(1, 24), strength: case.strength.min(2.0), ..case };
        let x = case.inputs();
        for form in [Form::Recurrent, Form::Chunked { size: chunk }, Form::Parallel] {
            let pass = case.run(&x, form).unwrap();
            let (mut step, mut d) = direction(&case, &x, &pass);
            if !case.initial {
                (step.initial, d.initial) = (&x.initial * 0.0, &x.initial * 0.0);
            }
            let (out, state) = pass.jvp(&d).unwrap();
            let at = |h: f64| case.run(&moved(&x, &step, h), form).unwrap();
            let (ahead, behind) = (at(1e-5), at(-1e-5));
            let by_out = (ahead.out - behind.out) / 2e-5;
            let by_state = (ahead.state - behind.state) / 2e-5;
            prop_assert!(distance(&out, &by_out) < 1e-6 * size(&by_out), "{form:?}");
            prop_assert!(distance(&state, &by_state) < 1e-6 * size(&by_state), "{form:?}");
            let g = pass.backward(&by_out, Some(&by_state)).unwrap();
            let forwards = inner(&out, &by_out) + inner(&state, &by_state);
            let mut backwards = inner(&g.q, &d.q) + inner(&g.k, &d.k) + inner(&g.v, &d.v) + inner(&g.initial, &d.initial);
            if let (Some(g), Some(d)) = (&g.log_decay, &d.log_decay) {
                backwards += inner(g, d);
            }
            if let (Some(g), Some(d)) = (&g.beta, &d.beta) {
                backwards += (g * d).sum();
            }
            let scale = size(&by_out).max(size(&by_state)).powi(2) * (out.len() + state.len()) as f64;
            prop_assert!((forwards - backwards).abs() < 1e-12 * scale, "{form:?}: {forwards} {backwards}");
        }
    }

    #[test]
    fn gradients_are_central_differences(case in cases(), chunk in 1usize..20) {
        let case = Case { tokens: case.tokens.clamp(1, 24), initial: true, strength: case.strength.min(2.0), ..case };
        let x = case.inputs();
        let form = if chunk > 17 { Form::Recurrent } else { Form::Chunked { size: chunk } };
        let pass = case.run(&x, form).unwrap();
        let mut stream = RngStream::new(case.seed, 3);
        let mut like = |x: &Array3<f64>| Array3::from_shape_simple_fn(x.dim(), || stream.normal());
        let d = (like(&pass.out), like(&pass.state));
        let g = pass.backward(&d.0, Some(&d.1)).unwrap();
        let (direction, _) = direction(&case, &x, &pass);
        // Each input alone, so that errors of two cannot cancel.
        let none = Inputs {
            q: &x.q * 0.0, k: &x.k * 0.0, v: &x.v * 0.0, log_decay: &x.log_decay * 0.0, beta: &x.beta * 0.0,
            initial: &x.initial * 0.0,
        };
        let by_decay = g.log_decay.as_ref().map_or(0.0, |g| match case.fading {
            Fading::Channel => inner(g, &direction.log_decay),
            Fading::Token => inner(g, &direction.log_decay.slice(s![.., .., ..1]).to_owned()),
            _ => inner(g, &direction.log_decay.slice(s![.., ..1, ..1]).to_owned()),
        });
        let by_beta = g.beta.as_ref().map_or(0.0, |g| (g * &direction.beta).sum());
        let parts = [
            ("q", inner(&g.q, &direction.q), Inputs { q: direction.q.clone(), ..none.clone() }),
            ("k", inner(&g.k, &direction.k), Inputs { k: direction.k.clone(), ..none.clone() }),
            ("v", inner(&g.v, &direction.v), Inputs { v: direction.v.clone(), ..none.clone() }),
            ("log_decay", by_decay, Inputs { log_decay: direction.log_decay.clone(), ..none.clone() }),
            ("beta", by_beta, Inputs { beta: direction.beta.clone(), ..none.clone() }),
            ("initial", inner(&g.initial, &direction.initial), Inputs { initial: direction.initial.clone(), ..none }),
        ];
        for (name, analytic, step) in parts {
            let at = |h: f64| loss(&case, &moved(&x, &step, h), form, &d);
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            let scale = 1.0 + slope.abs() + loss(&case, &x, form, &d).abs();
            prop_assert!((slope - analytic).abs() < 2e-6 * scale, "{name}: {slope} against {analytic}");
        }
    }
}
