use super::naive::attend;
use crate::naive::distance;
use collimate_attention::algebra::{
    Arguments, Latent, LatentArguments, LatentForm, MaskRule, RowChange, Variant,
};
use collimate_attention::{Mask, Offset, Rotary};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3};

const FORMS: [LatentForm; 2] = [LatentForm::Expanded, LatentForm::Absorbed];

fn latent(rotary: bool) -> Latent {
    let rotary = rotary.then(|| Rotary::interleaved(2, 30.0));
    Latent { rotary, mask: Mask::causal(Offset::keys_minus_queries()) }
}

/// Draws arguments of three heads with n = 3, r = 2, l = 5, e = 4.
fn arguments(queries: usize, keys: usize, stream: &mut RngStream) -> LatentArguments<f64> {
    let mut cube = |shape| Array3::from_shape_simple_fn(shape, || stream.normal());
    let (q_content, q_rotary) = (cube((3, queries, 3)), cube((3, queries, 2)));
    let (up_key, up_value) = (cube((3, 3, 5)), cube((3, 4, 5)));
    let mut table = |shape| Array2::from_shape_simple_fn(shape, || stream.normal());
    LatentArguments {
        q_content,
        q_rotary,
        latent: table((keys, 5)),
        k_rotary: table((keys, 2)),
        up_key,
        up_value,
    }
}

/// Computes keys and values number by number, then attention by its definition.
fn definition(attention: &Latent, x: &LatentArguments<f64>) -> Array3<f64> {
    let (queries, keys) = (x.q_content.dim().1, x.latent.nrows());
    let up = |w: &Array3<f64>, h: usize, j: usize, c: usize| -> f64 {
        (0..5).map(|l| w[[h, c, l]] * x.latent[[j, l]]).sum()
    };
    let q = Array3::from_shape_fn((3, queries, 5), |(h, i, c)| {
        if c < 2 { x.q_rotary[[h, i, c]] } else { x.q_content[[h, i, c - 2]] }
    });
    let k = Array3::from_shape_fn((3, keys, 5), |(h, j, c)| {
        if c < 2 { x.k_rotary[[j, c]] } else { up(&x.up_key, h, j, c - 2) }
    });
    let v = Array3::from_shape_fn((3, keys, 4), |(h, j, c)| up(&x.up_value, h, j, c));
    let mut variant = Variant::scaled_dot_product(Offset::keys_minus_queries()).mask(MaskRule::Causal);
    if let Some(rotary) = attention.rotary {
        variant = variant.row(RowChange::Rotary(rotary));
    }
    attend(&variant, &Arguments::new(&q, &k, &v))
}

#[test]
fn both_forms_are_the_definition() {
    let mut stream = RngStream::new(21, 0);
    for (queries, keys) in [(1, 1), (3, 5), (5, 3), (4, 4)] {
        let x = arguments(queries, keys, &mut stream);
        for rotary in [false, true] {
            let attention = latent(rotary);
            for form in FORMS {
                let (out, saved) = attention.forward(form, &x).unwrap();
                assert!(distance(&out, &definition(&attention, &x)) < 1e-11);
                assert_eq!(saved.pattern(2).unwrap().dim(), (queries, keys));
            }
        }
    }
}

/// Returns the six arrays as one list of numbers, in order.
fn numbers(x: &LatentArguments<f64>) -> Vec<f64> {
    let cubes = [&x.q_content, &x.q_rotary, &x.up_key, &x.up_value].into_iter().flatten();
    cubes.chain(&x.latent).chain(&x.k_rotary).copied().collect()
}

fn moved(x: &LatentArguments<f64>, direction: &[f64], step: f64) -> LatentArguments<f64> {
    let mut y = x.clone();
    let LatentArguments { q_content, q_rotary, latent, k_rotary, up_key, up_value } = &mut y;
    let cubes = [q_content, q_rotary, up_key, up_value].into_iter().flatten();
    for (number, d) in cubes.chain(latent.iter_mut()).chain(k_rotary.iter_mut()).zip(direction) {
        *number += step * d;
    }
    y
}

#[test]
fn gradients_are_the_central_difference() {
    let mut stream = RngStream::new(22, 0);
    let x = arguments(3, 4, &mut stream);
    let attention = latent(true);
    let d_out = Array3::from_shape_simple_fn((3, 3, 4), || stream.normal());
    let loss = |x: &LatentArguments<f64>| (&definition(&attention, x) * &d_out).sum();
    for form in FORMS {
        let (_, saved) = attention.forward(form, &x).unwrap();
        let gradient = numbers(&attention.backward(&saved, &d_out).unwrap());
        for n in 0..gradient.len() {
            let mut direction = vec![0.0; gradient.len()];
            direction[n] = 1.0;
            let step = 1e-5;
            let slope =
                (loss(&moved(&x, &direction, step)) - loss(&moved(&x, &direction, -step))) / (2.0 * step);
            assert!((gradient[n] - slope).abs() < 1e-7, "{form:?}, number {n}: {} and {slope}", gradient[n]);
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let mut stream = RngStream::new(23, 0);
    let x = arguments(3, 4, &mut stream);
    let message =
        |x: &LatentArguments<f64>| latent(true).forward(LatentForm::Absorbed, x).unwrap_err().to_string();
    let wrong = LatentArguments { k_rotary: Array2::zeros((4, 3)), ..x.clone() };
    assert_eq!(message(&wrong), "k_rotary must have the shape [4, 2] [s, r], but has [4, 3]");
    let wrong = LatentArguments { up_value: Array3::zeros((3, 4, 4)), ..x.clone() };
    assert_eq!(message(&wrong), "up_value must have the shape [3, 4, 5] [h, e, l], but has [3, 4, 4]");
    let wide = Latent { rotary: Some(Rotary::interleaved(4, 30.0)), ..latent(true) };
    assert!(wide.forward(LatentForm::Expanded, &x).unwrap_err().to_string().contains("the width r"));
    let (_, saved) = latent(true).forward(LatentForm::Expanded, &x).unwrap();
    assert!(latent(true).backward(&saved, &Array3::zeros((3, 3, 5))).is_err());
}
