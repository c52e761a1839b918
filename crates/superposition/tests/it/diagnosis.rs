//! Diagnosis on the generators it was built with, and its abstentions. A claim tests it on new families.

use collimate_stream::RngStream;
use collimate_superposition::{
    Explanation, IncidentalNeurons, OneActiveFeature, ParityCode, Representation, Source, SparseFeatures,
    circular_code, diagnose, level_code, regular_polygon, rotated_code,
};
use ndarray::{Array2, Axis};

/// Draws states of a representation, each many times.
fn drawn(all: &Representation, stream: &mut RngStream) -> (Array2<f64>, Array2<f64>) {
    let states: Vec<usize> = (0..500).map(|_| stream.below(all.features.nrows())).collect();
    (all.activations.select(Axis(0), &states), all.features.select(Axis(0), &states))
}

fn answer(h: &Array2<f64>, x: &Array2<f64>) -> Option<Explanation> {
    diagnose(h, Some(x)).unwrap().answer()
}

#[test]
fn the_known_generators_are_distinguished() {
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
fn incidental_sharing_is_recognised() {
    let (mut shared, mut named) = (0, 0);
    for seed in 0..6 {
        let sizes =
            IncidentalNeurons { features: 12, neurons: 24, steps: 5000, ..IncidentalNeurons::default() };
        let w = sizes.train(&mut RngStream::new(seed, 0)).unwrap();
        if collimate_superposition::polysemantic_neurons(&w, 0.25) == 0 {
            continue;
        }
        shared += 1;
        let x = SparseFeatures::uniform(12, 0.3).unwrap().rows(600, &mut RngStream::new(seed, 1));
        named += usize::from(answer(&x.dot(&w), &x) == Some(Explanation::Incidental));
    }
    assert!(shared > 0 && named * 2 > shared, "{named} of {shared}");
}

#[test]
fn it_abstains_without_evidence() {
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
fn unexplained_variance_is_not_taken_for_a_nonlinear_code() {
    // Four neurons with one feature each, and equal variance of something else in four others: a linear code that explains half.
    let stream = &mut RngStream::new(3, 0);
    let x = SparseFeatures::uniform(4, 0.3).unwrap().rows(400, stream);
    let mut h = Array2::from_shape_simple_fn((400, 8), || 0.3 * stream.normal());
    h.slice_mut(ndarray::s![.., ..4]).assign(&x);
    assert_eq!(diagnose(&h, Some(&x)).unwrap().answer(), None);
    // A square plus a linear term: determined by the labels, and not linear in them.
    let x = Array2::from_shape_simple_fn((400, 4), || stream.below(3) as f64 - 1.0);
    assert_eq!(answer(&x.mapv(|x| x * x + 0.3 * x), &x), Some(Explanation::NonLinear));
}
