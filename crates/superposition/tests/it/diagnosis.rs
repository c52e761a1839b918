//! Diagnosis on the generators it was built with, and its refusals. New families are judged by a claim.

use collimate_stream::RngStream;
use collimate_superposition::data::{OneActiveFeature, Source, SparseFeatures};
use collimate_superposition::diagnosis::{Explanation, diagnose};
use collimate_superposition::incidental::Incidental;
use collimate_superposition::polysemanticity::{
    ParityCode, Representation, circular_code, level_code, rotated_code,
};
use collimate_superposition::polytope::regular_polygon;
use ndarray::{Array2, Axis};

/// States of a representation, each drawn many times.
fn drawn(all: &Representation, stream: &mut RngStream) -> (Array2<f64>, Array2<f64>) {
    let states: Vec<usize> = (0..500).map(|_| stream.below(all.features.nrows())).collect();
    (all.activations.select(Axis(0), &states), all.features.select(Axis(0), &states))
}

fn answer(h: &Array2<f64>, x: &Array2<f64>) -> Option<Explanation> {
    diagnose(h, Some(x)).unwrap().answer()
}

#[test]
fn the_known_generators_are_told_apart() {
    let stream = &mut RngStream::new(1, 0);
    let x = SparseFeatures::uniform(6, 0.3).unwrap().rows(400, stream);
    assert_eq!(answer(&x, &x), Some(Explanation::Monosemantic));
    let rotated = x.dot(&rotated_code(6, stream).unwrap());
    assert_eq!(answer(&rotated, &x), Some(Explanation::RotatedBasis));
    let hexagon = x.dot(&regular_polygon(6).unwrap().t());
    assert_eq!(answer(&hexagon, &x), Some(Explanation::Superposition));
    let (h, x) = drawn(&level_code(5).unwrap(), stream);
    assert_eq!(answer(&h, &x), Some(Explanation::NonLinear));
    let (h, x) = drawn(&circular_code(7).unwrap(), stream);
    assert_eq!(answer(&h, &x), Some(Explanation::MultiDimensional));
    let (h, x) = drawn(&ParityCode::random(5, stream).unwrap().representation(), stream);
    assert_eq!(answer(&h, &x), Some(Explanation::Compositional));
}

#[test]
fn accidents_of_training_are_recognised() {
    let (mut met, mut named) = (0, 0);
    for seed in 0..6 {
        let sizes = Incidental { features: 12, neurons: 24, steps: 5000, ..Incidental::default() };
        let w = sizes.train(&mut RngStream::new(seed, 0)).unwrap();
        if collimate_superposition::incidental::polysemantic_neurons(&w, 0.25) == 0 {
            continue;
        }
        met += 1;
        let x = SparseFeatures::uniform(12, 0.3).unwrap().rows(600, &mut RngStream::new(seed, 1));
        named += usize::from(answer(&x.dot(&w), &x) == Some(Explanation::Incidental));
    }
    assert!(met > 0 && named * 2 > met, "{named} of {met}");
}

#[test]
fn without_grounds_it_abstains() {
    let stream = &mut RngStream::new(2, 0);
    let x = SparseFeatures::uniform(6, 0.3).unwrap().rows(400, stream);
    let h = Array2::from_shape_simple_fn((400, 4), || stream.normal());
    for found in [diagnose(&h, None), diagnose(&h, Some(&x)), diagnose(&x, Some(&Array2::ones((400, 3))))] {
        assert_eq!(found.unwrap().consistent.len(), Explanation::ALL.len());
    }
    let few = OneActiveFeature::new(6).unwrap().rows(10, stream);
    let found = diagnose(&few, Some(&few)).unwrap();
    assert_eq!((found.answer(), found.evidence[0].quantity), (None, "states"));
    assert!(diagnose(&h, Some(&Array2::zeros((3, 1)))).is_err());
    assert!(diagnose(&Array2::from_elem((9, 1), f64::NAN), None).is_err());
}

#[test]
fn what_labels_leave_open_is_not_taken_for_a_bend() {
    // Four neurons with a feature each, and as much variance of something else in four others: linear as can be, and half explained.
    let stream = &mut RngStream::new(3, 0);
    let x = SparseFeatures::uniform(4, 0.3).unwrap().rows(400, stream);
    let mut h = Array2::from_shape_simple_fn((400, 8), || 0.3 * stream.normal());
    h.slice_mut(ndarray::s![.., ..4]).assign(&x);
    assert_eq!(diagnose(&h, Some(&x)).unwrap().answer(), None);
    // A square beside a slope: fixed by the labels, and not linear in them.
    let x = Array2::from_shape_simple_fn((400, 4), || stream.below(3) as f64 - 1.0);
    assert_eq!(answer(&x.mapv(|x| x * x + 0.3 * x), &x), Some(Explanation::NonLinear));
}
