//! The fingerprint of a model.

use super::Model;
use crate::precision::Precision;
use collimate_measure::Fingerprint;
use collimate_tensor::Scalar;
use ndarray::{Array2, s};
use rayon::prelude::*;

impl<F: Precision> Model<F> {
    /// Returns the fingerprint of the description and of the bits of every parameter, as numbers in f64. It is computed on first use.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, Model, RngStream};
    /// let model = |seed| Model::<f32>::random(Description::small(), &RngStream::new(seed, 0));
    /// assert_eq!(model(1).fingerprint(), model(1).fingerprint());
    /// assert_ne!(model(1).fingerprint(), model(2).fingerprint());
    /// ```
    pub fn fingerprint(&self) -> Fingerprint {
        *self.fingerprint.get_or_init(|| {
            let parameters = self.parameters.par_iter().zip(&self.stored);
            let digests: Vec<u64> = parameters
                .map(|(x, stored)| match stored {
                    Some(stored) => digest(stored.dim(), |row| stored.select::<F>(&[row])),
                    None => digest(x.dim(), |row| x.slice(s![row..row + 1, ..]).to_owned()),
                })
                .collect();
            let start = Fingerprint::of(format!("{:?}", self.description).as_bytes());
            digests.into_iter().fold(start, |all, digest| all.and(&digest.to_le_bytes()))
        })
    }
}

const PRIME: u64 = 0x100_0000_01b3;

/// Returns a hash of many numbers by their bits, fast enough for all parameters of a model: four interleaved FNV-1a lanes over words.
fn digest<F: Precision>((rows, columns): (usize, usize), row: impl Fn(usize) -> Array2<F>) -> u64 {
    let mut lanes =
        [0xcbf2_9ce4_8422_2325_u64, 0x9ae1_6a3b_2f90_404f, 0xc949_d7c7_509e_6557, 0xff51_afd7_ed55_8ccd];
    let mix = |lane: u64, word: u64| (lane ^ word).wrapping_mul(PRIME).rotate_left(29);
    for size in [rows, columns] {
        lanes[0] = mix(lanes[0], size as u64);
    }
    for number in 0..rows {
        for (index, x) in row(number).iter().enumerate() {
            lanes[index % 4] = mix(lanes[index % 4], Scalar::to_f64(*x).to_bits());
        }
    }
    lanes.into_iter().fold(0, mix)
}
