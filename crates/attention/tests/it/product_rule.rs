use collimate_attention::product_rule::{
    Channels, Companion, CrossTerm, Published, all_pairs, lift, lift_backward, step_values,
    step_values_backward,
};
use collimate_attention::{Attention, AttentionError, Mask, Offset, Scale};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, Axis, Zip, s};
use proptest::prelude::*;

const CHOICES: [(Channels, CrossTerm); 4] = [
    (Channels::Summed, CrossTerm::Without),
    (Channels::Summed, CrossTerm::With),
    (Channels::PerDimension, CrossTerm::Without),
    (Channels::PerDimension, CrossTerm::With),
];

fn normal(shape: (usize, usize), stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || stream.normal())
}

/// Computes the definition number by number: `[d, t − 1, s − 1]`.
fn definition(cross: CrossTerm, q: &Array2<f64>, k: &Array2<f64>) -> Array3<f64> {
    Array3::from_shape_fn((q.ncols(), q.nrows() - 1, k.nrows() - 1), |(c, i, j)| {
        let (dq, dk) = (q[[i + 1, c]] - q[[i, c]], k[[j + 1, c]] - k[[j, c]]);
        dq * k[[j, c]] + q[[i, c]] * dk + if cross == CrossTerm::With { dq * dk } else { 0.0 }
    })
}

proptest! {
    #[test]
    fn all_pairs_is_the_definition(t in 1usize..7, s in 1usize..7, d in 1usize..5, seed in 0u64..1000) {
        let mut stream = RngStream::new(seed, 0);
        let (q, k) = (normal((t, d), &mut stream), normal((s, d), &mut stream));
        for (channels, cross) in CHOICES {
            let expected = definition(cross, &q, &k);
            let expected = match channels {
                Channels::PerDimension => expected,
                Channels::Summed => expected.sum_axis(Axis(0)).insert_axis(Axis(0)),
            };
            let given = all_pairs(channels, cross, &q, &k).unwrap();
            prop_assert_eq!(given.dim(), expected.dim());
            prop_assert!((given - expected).iter().all(|x| x.abs() < 1e-13));
        }
    }

    #[test]
    fn the_published_form_is_the_diagonal(t in 2usize..8, d in 1usize..5, seed in 0u64..1000) {
        let mut stream = RngStream::new(seed, 0);
        let (q, k) = (normal((t, d), &mut stream), normal((t, d), &mut stream));
        let published = Published::new(&q, &k).unwrap();
        let pairs = definition(CrossTerm::With, &q, &k);
        for i in 0..t - 1 {
            for c in 0..d {
                prop_assert!((published.per_dimension[[i, c]] - pairs[[c, i, i]]).abs() < 1e-13);
            }
        }
        // Its softmax over the summed axis of length 1 does not depend on its input.
        prop_assert_eq!(published.weights(Channels::Summed), Array2::<f64>::ones((t - 1, 1)));
        let v = normal((d, 3), &mut stream);
        let out = published.attend(Channels::PerDimension, &v).unwrap();
        prop_assert_eq!(out.dim(), (t - 1, 3));
        let wrong = published.attend(Channels::PerDimension, &normal((d + 1, 3), &mut stream));
        let refused = matches!(wrong, Err(AttentionError::Shape { argument: "v", .. }));
        prop_assert!(refused);
        let one = published.attend(Channels::Summed, &v.slice(s![..1, ..])).unwrap();
        prop_assert!(one.rows().into_iter().all(|row| row == v.row(0)));
    }
}

/// Computes attention over steps through the lift.
fn run(choice: (Channels, CrossTerm), x: &[Array3<f64>; 3]) -> (Array3<f64>, [Array3<f64>; 3], Array3<f64>) {
    let (channels, cross) = choice;
    let width = x[0].dim().2;
    let (q, k) = lift(channels, cross, &x[0], &x[1]).unwrap();
    let v = step_values(channels, &x[2]);
    let attention =
        Attention::scaled_dot_product().scale(Scale::Fixed(0.6)).mask(Mask::causal(Offset::zero()));
    let (out, saved) = attention.forward(&q, &k, &v).unwrap();
    let mut stream = RngStream::new(77, 0);
    let d_out = Array3::from_shape_simple_fn(out.dim(), || stream.normal());
    let g = attention.backward(&saved, &d_out).unwrap();
    let (d_q, d_k) = lift_backward(channels, cross, width, &g.q, &g.k).unwrap();
    let d_v = step_values_backward(channels, x[2].dim().2, &g.v).unwrap();
    (out, [d_q, d_k, d_v], d_out)
}

#[test]
fn attention_over_steps_has_its_gradients() {
    let mut stream = RngStream::new(1, 0);
    let x = [(2, 5, 3); 3].map(|shape| Array3::from_shape_simple_fn(shape, || stream.normal()));
    for choice in CHOICES {
        let (_, gradients, d_out) = run(choice, &x);
        let loss = |x: &[Array3<f64>; 3]| {
            Zip::from(&run(choice, x).0).and(&d_out).fold(0.0, |sum, a, b| sum + a * b)
        };
        for (which, gradient) in gradients.iter().enumerate() {
            assert_eq!(gradient.dim(), x[which].dim());
            for (at, &analytic) in gradient.indexed_iter() {
                let moved = |h: f64| {
                    let mut x = x.clone();
                    x[which][at] += h;
                    loss(&x)
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((slope - analytic).abs() < 1e-7, "{choice:?} {which} {at:?}: {slope} {analytic}");
            }
        }
    }
}

#[test]
fn nothing_of_a_later_position_reaches_a_step() {
    let mut stream = RngStream::new(2, 0);
    let x = [(1, 6, 2); 3].map(|shape| Array3::from_shape_simple_fn(shape, || stream.normal()));
    for choice in CHOICES {
        let (before, ..) = run(choice, &x);
        let moved = x.clone().map(|mut x| {
            x.slice_mut(s![.., 4.., ..]).fill(9.0);
            x
        });
        let (after, ..) = run(choice, &moved);
        // Steps 0 to 2 lead to positions 1 to 3.
        assert_eq!(before.slice(s![.., ..3, ..]), after.slice(s![.., ..3, ..]));
    }
}

#[test]
fn shapes_that_disagree_are_refused() {
    let (a, b) = (Array2::<f64>::zeros((3, 2)), Array2::<f64>::zeros((3, 3)));
    assert!(Published::new(&a, &b).is_err());
    assert!(all_pairs(Channels::Summed, CrossTerm::With, &a, &b).is_err());
    assert!(Companion::ALL.iter().all(|companion| companion.scores(&a, &b).is_err()));
    let d = Array3::<f64>::zeros((3, 2, 2));
    assert!(lift_backward(Channels::PerDimension, CrossTerm::With, 2, &d, &d).is_err());
    assert!(lift_backward(Channels::Summed, CrossTerm::With, 2, &d, &d).is_err());
}

#[test]
fn one_position_has_no_step() {
    let one = Array2::<f64>::ones((1, 2));
    assert_eq!(Published::new(&one, &one).unwrap().per_dimension.dim(), (0, 2));
    assert_eq!(all_pairs(Channels::Summed, CrossTerm::Without, &one, &one).unwrap().dim(), (1, 0, 0));
}
