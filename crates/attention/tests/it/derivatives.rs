use crate::definition::cases;
use crate::naive::{Case, attend, distance};
use collimate_stream::RngStream;
use ndarray::{Array3, Zip};
use proptest::prelude::*;

fn inner(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    Zip::from(a).and(b).fold(0.0, |sum, x, y| sum + x * y)
}

fn like(x: &Array3<f64>, stream: &mut RngStream) -> Array3<f64> {
    Array3::from_shape_simple_fn(x.dim(), || stream.normal())
}

/// Computes the central difference of the output along a direction.
fn difference(case: &Case, x: [&Array3<f64>; 3], direction: [&Array3<f64>; 3]) -> Array3<f64> {
    let step = 1e-5 / case.magnitude;
    let at = |sign: f64| {
        let moved: Vec<Array3<f64>> =
            x.iter().zip(direction).map(|(x, d)| *x + &(d * (sign * step))).collect();
        attend(&case.attention(), &moved[0], &moved[1], &moved[2]).0
    };
    (at(1.0) - at(-1.0)) / (2.0 * step)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn jvp_and_backward_are_the_central_difference(case in cases()) {
        let case = Case { magnitude: case.magnitude.min(3.0), ..case };
        let (q, k, v) = case.arrays();
        let mut stream = RngStream::new(case.seed, 2);
        let (dq, dk, dv) = (like(&q, &mut stream), like(&k, &mut stream), like(&v, &mut stream));
        let (out, saved) = case.attention().forward(&q, &k, &v).unwrap();
        let slope = difference(&case, [&q, &k, &v], [&dq, &dk, &dv]);
        let size = 1.0 + slope.iter().fold(0f64, |m, x| m.max(x.abs()));
        let jvp = case.attention().jvp(&saved, &dq, &dk, &dv).unwrap();
        prop_assert!(distance(&jvp, &slope) < 1e-6 * size, "{case:?}");
        // ⟨dO, J·x⟩ = ⟨Jᵀ·dO, x⟩ for the three arguments one at a time.
        let d_out = like(&out, &mut stream);
        let gradients = case.attention().backward(&saved, &d_out).unwrap();
        let zero = |x: &Array3<f64>| Array3::<f64>::zeros(x.dim());
        let pairs = [
            (&gradients.q, &dq, [&dq, &zero(&k), &zero(&v)]),
            (&gradients.k, &dk, [&zero(&q), &dk, &zero(&v)]),
            (&gradients.v, &dv, [&zero(&q), &zero(&k), &dv]),
        ];
        for (gradient, direction, [a, b, c]) in pairs {
            let forwards = inner(&d_out, &case.attention().jvp(&saved, a, b, c).unwrap());
            let backwards = inner(gradient, direction);
            prop_assert!((forwards - backwards).abs() < 1e-10 * (1.0 + forwards.abs()) * size, "{case:?}");
        }
    }
}

#[test]
fn gradients_over_more_than_one_tile() {
    for choice in [1, 2, 27, 44] {
        let case = Case {
            key_heads: 2,
            group: 2,
            queries: 130,
            keys: 140,
            width: 6,
            value_width: 5,
            choice,
            magnitude: 1.0,
            seed: 4,
        };
        let (q, k, v) = case.arrays();
        let mut stream = RngStream::new(1, 2);
        let (dq, dk, dv) = (like(&q, &mut stream), like(&k, &mut stream), like(&v, &mut stream));
        let (out, saved) = case.attention().forward(&q, &k, &v).unwrap();
        let slope = difference(&case, [&q, &k, &v], [&dq, &dk, &dv]);
        assert!(distance(&case.attention().jvp(&saved, &dq, &dk, &dv).unwrap(), &slope) < 1e-7);
        let d_out = like(&out, &mut stream);
        let g = case.attention().backward(&saved, &d_out).unwrap();
        let backwards = inner(&g.q, &dq) + inner(&g.k, &dk) + inner(&g.v, &dv);
        assert!((inner(&d_out, &slope) - backwards).abs() < 1e-5, "choice {choice}");
    }
}

#[test]
fn logits_of_ten_thousand_give_finite_derivatives() {
    let case = Case {
        key_heads: 1,
        group: 1,
        queries: 9,
        keys: 9,
        width: 4,
        value_width: 3,
        choice: 2,
        magnitude: 100.0,
        seed: 6,
    };
    let (q, k, v) = case.arrays();
    let (out, saved) = case.attention().forward(&q, &k, &v).unwrap();
    let top =
        saved.scores(0).unwrap().iter().fold(0f64, |m, x| if x.is_finite() { m.max(x.abs()) } else { m });
    assert!(top > 1e4);
    let g = case.attention().backward(&saved, &out).unwrap();
    assert!(g.q.iter().chain(&g.k).chain(&g.v).all(|x| x.is_finite()));
}
