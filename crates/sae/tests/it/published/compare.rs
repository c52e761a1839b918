//! Arrays of the other libraries, and their distance from ours.

use collimate_sae::Precision;
use collimate_tensor::files::Safetensors;
use ndarray::Array2;

/// Reads a tensor of a case as rows.
pub(super) fn rows<F: Precision>(io: &Safetensors, key: &str) -> Array2<F> {
    let array = io.read(key).unwrap().to_f64().into_dimensionality::<ndarray::Ix2>().unwrap();
    array.mapv(F::from_f64)
}

/// Returns the largest difference of two entries.
pub(super) fn apart(ours: &Array2<f64>, expected: &Array2<f64>) -> f64 {
    (ours - expected).fold(0.0, |most: f64, v| most.max(v.abs()))
}
