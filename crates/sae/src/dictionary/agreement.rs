use crate::dictionary::Dictionary;
use crate::error::SaeError;
use crate::precision::Precision;
use ndarray::ArrayRef2;
use std::fmt;

/// The differences between two dictionaries on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// The number of rows that were compared.
    pub rows: usize,
    /// The largest difference of two reconstructed numbers.
    pub reconstruction: f64,
    /// The largest difference divided by the largest reconstructed number of the first dictionary.
    pub relative: f64,
    /// The number of codes that are zero in one dictionary only.
    pub support: u64,
    /// The largest difference of two codes, each in the units of its own decoder row: |f_i‖d_i‖ − f_i'‖d_i'‖|.
    pub codes: f64,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "on {} rows: reconstructions differ by at most {:.2e} ({:.2e} of the largest), codes by {:.2e}, {} codes are \
             active in one only",
            self.rows, self.reconstruction, self.relative, self.codes, self.support
        )
    }
}

/// Compares the codes and the reconstructions of two dictionaries on the same rows.
///
/// Equal shapes prove nothing: a square matrix hides a transpose.
///
/// # Errors
/// As [`Dictionary::forward`]; [`SaeError::Mismatch`] if their sizes differ.
pub fn agreement<F: Precision>(
    a: &Dictionary<F>,
    b: &Dictionary<F>,
    x: &ArrayRef2<F>,
) -> Result<Agreement, SaeError> {
    if a.size() != b.size() || a.d_out() != b.d_out() {
        let shape = |d: &Dictionary<F>| [d.size().n_latents, d.size().d_model, d.d_out()];
        return Err(SaeError::shape("the converted dictionary", &shape(a), &shape(b)));
    }
    let (first, second) = (a.forward(x)?, b.forward(x)?);
    let (norms_a, norms_b) = (a.decoder_norms(), b.decoder_norms());
    let mut out = Agreement { rows: x.nrows(), reconstruction: 0.0, relative: 0.0, support: 0, codes: 0.0 };
    let mut largest = 0.0_f64;
    for (&p, &q) in first.reconstruction.iter().zip(&second.reconstruction) {
        out.reconstruction = out.reconstruction.max((p.to_f64() - q.to_f64()).abs());
        largest = largest.max(p.to_f64().abs());
    }
    out.relative = if largest > 0.0 { out.reconstruction / largest } else { out.reconstruction };
    let mut dense = vec![F::zero(); a.size().n_latents];
    for (p, q) in first.codes.rows().zip(second.codes.rows()) {
        p.0.iter().zip(p.1).for_each(|(&i, &v)| dense[i as usize] = v * norms_a[i as usize]);
        for (&i, &v) in q.0.iter().zip(q.1) {
            let other = std::mem::take(&mut dense[i as usize]);
            out.support += u64::from(other == F::zero());
            out.codes = out.codes.max((other - v * norms_b[i as usize]).to_f64().abs());
        }
        for &i in p.0 {
            let left = std::mem::take(&mut dense[i as usize]);
            out.support += u64::from(left != F::zero());
            out.codes = out.codes.max(left.to_f64().abs());
        }
    }
    Ok(out)
}
