use collimate_tensor::Scalar;

/// The normalisation of each row before the encoder, which is undone after the decoder.
///
/// ```text
/// ConstantNorm:  x ← x·√d/‖x‖                        x̂ ← x̂·‖x‖/√d
/// LayerNorm:     x ← (x − mean)/(s + 10⁻⁵)           x̂ ← x̂·s + mean          s² = Σ(x − mean)²/(d − 1)
/// ```
/// For a transcoder nothing is undone: its output is another activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowNormalisation {
    /// Rows are unchanged.
    None,
    /// Every row gets the length √d.
    ConstantNorm,
    /// Every row gets mean 0 and standard deviation 1.
    LayerNorm,
}

impl RowNormalisation {
    /// Normalises a row, and returns scale and shift: the output is restored as `value·scale + shift`.
    pub(crate) fn apply<F: Scalar>(self, row: &mut [F]) -> (F, F) {
        let d = row.len() as f64;
        let sum = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>();
        match self {
            Self::None => (F::one(), F::zero()),
            Self::ConstantNorm => {
                let norm = sum(&mut row.iter().map(|&x| x.to_f64().powi(2))).sqrt();
                // A row of zeros is unchanged, and nothing has to be undone.
                if norm == 0.0 {
                    return (F::one(), F::zero());
                }
                let factor = F::from_f64(d.sqrt() / norm);
                row.iter_mut().for_each(|x| *x *= factor);
                (F::from_f64(norm / d.sqrt()), F::zero())
            }
            Self::LayerNorm => {
                let mean = sum(&mut row.iter().map(|&x| x.to_f64())) / d;
                let variance =
                    sum(&mut row.iter().map(|&x| (x.to_f64() - mean).powi(2))) / (d - 1.0).max(1.0);
                let deviation = variance.sqrt();
                row.iter_mut().for_each(|x| *x = F::from_f64((x.to_f64() - mean) / (deviation + 1e-5)));
                (F::from_f64(deviation), F::from_f64(mean))
            }
        }
    }
}
