use super::cases::{Shape, composition, single_choices};
use super::naive::attend;
use collimate_attention::algebra::{Arguments, Variant};
use collimate_stream::RngStream;
use ndarray::{Array3, ArrayD, ArrayRef, Dimension, Zip};

fn inner<D: Dimension>(a: &ArrayRef<f64, D>, b: &ArrayRef<f64, D>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Draws a random direction in all arguments.
fn direction(x: &Arguments<f64>, stream: &mut RngStream) -> Arguments<f64> {
    let mut d = x.zeros_like();
    for array in [&mut d.q, &mut d.k, &mut d.v] {
        array.mapv_inplace(|_| stream.normal());
    }
    for (name, array) in x.parameters.iter() {
        d.parameters.insert(name, ArrayD::from_shape_simple_fn(array.shape(), || stream.normal()));
    }
    d
}

fn moved(x: &Arguments<f64>, d: &Arguments<f64>, step: f64) -> Arguments<f64> {
    let mut y = Arguments::new(&(&x.q + &(&d.q * step)), &(&x.k + &(&d.k * step)), &(&x.v + &(&d.v * step)));
    for (name, array) in x.parameters.iter() {
        y.parameters.insert(name, array + &(d.parameters.get(name).unwrap() * step));
    }
    y
}

/// Returns the central difference of the definition along a direction, or `None` near a kink, where two steps disagree.
fn slope(variant: &Variant, x: &Arguments<f64>, d: &Arguments<f64>) -> Option<Array3<f64>> {
    let with = |step: f64| {
        (attend(variant, &moved(x, d, step)) - attend(variant, &moved(x, d, -step))) / (2.0 * step)
    };
    let (wide, narrow) = (with(1e-4), with(1e-5));
    let size = narrow.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    let off = Zip::from(&wide).and(&narrow).fold(0.0, |m: f64, a, b| m.max((a - b).abs()));
    (off < 1e-4 * size).then_some(narrow)
}

/// Returns the pairs of arrays of a gradient and a direction.
fn pairings(a: &Arguments<f64>, b: &Arguments<f64>) -> Vec<(&'static str, f64)> {
    let mut all = vec![("q", inner(&a.q, &b.q)), ("k", inner(&a.k, &b.k)), ("v", inner(&a.v, &b.v))];
    all.extend(a.parameters.iter().map(|(name, x)| (name.name(), inner(x, b.parameters.get(name).unwrap()))));
    all
}

/// Returns the direction in one argument alone.
fn only(d: &Arguments<f64>, name: &str) -> Arguments<f64> {
    let mut one = d.zeros_like();
    match name {
        "q" => one.q.assign(&d.q),
        "k" => one.k.assign(&d.k),
        "v" => one.v.assign(&d.v),
        _ => {
            let (name, x) = d.parameters.iter().find(|(p, _)| p.name() == name).unwrap();
            one.parameters.insert(name, x.clone());
        }
    }
    one
}

/// Checks that jvp is the central difference and backward the transpose of jvp in each argument. Returns false near a kink.
fn check(variant: &Variant, x: &Arguments<f64>, stream: &mut RngStream) -> bool {
    let d = direction(x, stream);
    let Some(slope) = slope(variant, x, &d) else { return false };
    let size = slope.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (out, trace) in [variant.forward(x).unwrap(), variant.forward_plain(x).unwrap()] {
        let jvp = variant.jvp(&trace, &d).unwrap();
        let off = crate::naive::distance(&jvp, &slope);
        assert!(off < 2e-6 * size, "jvp is {off:e} off\n{variant:?}\n{:?}", x.q.dim());
        let d_out = Array3::from_shape_simple_fn(out.dim(), || stream.normal());
        let gradient = variant.backward(&trace, &d_out).unwrap();
        for (name, backwards) in pairings(&gradient, &d) {
            let forwards = inner(&d_out, &variant.jvp(&trace, &only(&d, name)).unwrap());
            let off = (forwards - backwards).abs();
            assert!(off < 1e-9 * size * (1.0 + forwards.abs()), "{name}: {off:e} off\n{variant:?}");
        }
    }
    true
}

#[test]
fn every_choice_has_the_derivatives_of_its_definition() {
    let mut stream = RngStream::new(11, 0);
    let (mut checked, mut near_kinks) = (0, 0);
    for _ in 0..6 {
        let shape = Shape::random(&mut stream);
        for variant in single_choices(&shape, &mut stream) {
            let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
            if check(&variant, &arguments, &mut stream) { checked += 1 } else { near_kinks += 1 }
        }
    }
    assert!(near_kinks * 20 < checked, "{near_kinks} of {checked} are near a kink");
}

#[test]
fn compositions_have_the_derivatives_of_their_definition() {
    let mut stream = RngStream::new(12, 0);
    let (mut checked, mut near_kinks) = (0, 0);
    while checked < 400 {
        let shape = Shape::random(&mut stream);
        let Some(variant) = composition(&shape, &mut stream) else { continue };
        let (variant, arguments) = shape.fit(variant, 0.7, &mut stream);
        if check(&variant, &arguments, &mut stream) { checked += 1 } else { near_kinks += 1 }
    }
    assert!(near_kinks * 10 < checked, "{near_kinks} of {checked} are near a kink");
}
