use crate::{normal, with_threads};
use collimate_stream::RngStream;
use collimate_tensor::{ShapeError, SparseRows};
use ndarray::{Array2, array};
use proptest::prelude::*;

fn sparse(rows: usize, columns: usize, density: f64, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || {
        if stream.bernoulli(density) { stream.normal() } else { 0.0 }
    })
}

proptest! {
    #[test]
    fn decoding_is_the_dense_product(b in 0usize..20, n in 1usize..30, d in 0usize..20, seed in 0u64..1000) {
        let stream = &mut RngStream::new(seed, 0);
        let dense = sparse(b, n, 0.3, stream);
        let dictionary = normal::<f64>(n, d, stream);
        let codes = SparseRows::from_dense(&dense);
        prop_assert_eq!(codes.to_dense(), dense.clone());
        let difference = codes.decode(&dictionary).unwrap() - dense.dot(&dictionary);
        prop_assert!(difference.iter().all(|x| x.abs() < 1e-12));
    }
}

#[test]
fn decoding_gives_the_same_bits_on_any_number_of_threads() {
    let stream = &mut RngStream::new(2, 0);
    let codes = SparseRows::from_dense(&sparse(600, 500, 0.05, stream));
    let dictionary = normal::<f64>(500, 64, stream);
    let run = |threads| with_threads(threads, || codes.decode(&dictionary).unwrap());
    assert_eq!(run(1), run(3));
}

#[test]
fn bad_rows_are_refused_and_change_nothing() {
    let mut codes = SparseRows::new(4);
    assert!(matches!(
        codes.push_row(&[1, 1], &[1.0, 2.0]),
        Err(ShapeError::NotAscending { position: 1, .. })
    ));
    assert!(matches!(codes.push_row(&[4], &[1.0]), Err(ShapeError::OutOfBounds { index: 4, length: 4, .. })));
    assert!(matches!(codes.push_row(&[1], &[]), Err(ShapeError::Mismatch { .. })));
    assert_eq!((codes.n_rows(), codes.n_stored()), (0, 0));
    assert!(codes.decode(&array![[1.0]]).is_err());
}
