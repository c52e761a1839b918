//! The codes of rows from the products with an encoder, in blocks that bound the memory.

use crate::error::SaeError;
use collimate_tensor::{PackedMatrix, Scalar, SparseRows, matmul};
use ndarray::{Array1, Array2, ArrayRef2, s};
use rayon::prelude::*;

/// The largest number of products that are held at once.
const PRODUCTS: usize = 1 << 23;
/// The largest number of rows of a block: enough for a product at full speed.
const ROWS: usize = 1024;
/// The number of rows from which an encoder is packed.
const PACK_FROM: usize = 256;

/// Computes z = W x + b for each row of `x`, and collects the codes that `keep` makes from z.
///
/// `keep` appends pairs (latent, code) in ascending order of the latents. Codes of zero are left out.
///
/// # Determinism
/// The same bits on any number of threads.
pub(super) fn codes<F: Scalar>(
    x: &ArrayRef2<F>,
    encoder: &ArrayRef2<F>,
    bias: &Array1<F>,
    keep: impl Fn(&[F], &mut Vec<(u32, F)>) + Sync,
) -> Result<SparseRows<F>, SaeError> {
    let n = encoder.nrows();
    let mut codes = SparseRows::new(n);
    let packed = (x.nrows() >= PACK_FROM).then(|| PackedMatrix::new(&encoder.t()));
    let block = (PRODUCTS / n.max(1)).clamp(1, ROWS);
    for start in (0..x.nrows()).step_by(block) {
        let chunk = x.slice(s![start..(start + block).min(x.nrows()), ..]).as_standard_layout().into_owned();
        let mut products: Array2<F> = match &packed {
            Some(packed) => packed.matmul(&chunk)?,
            None => matmul(&chunk, &encoder.t())?,
        };
        products += bias;
        let rows: Vec<Vec<(u32, F)>> = products
            .as_slice()
            .expect("standard layout")
            .par_chunks(n)
            .map(|row| {
                let mut kept = Vec::new();
                keep(row, &mut kept);
                kept
            })
            .collect();
        for row in rows {
            push(&mut codes, row)?;
        }
    }
    Ok(codes)
}

/// Appends a row of codes without its zeros.
pub(super) fn push<F: Scalar>(
    codes: &mut SparseRows<F>,
    row: impl IntoIterator<Item = (u32, F)>,
) -> Result<(), SaeError> {
    let (columns, values): (Vec<u32>, Vec<F>) =
        row.into_iter().filter(|(_, code)| *code != F::zero()).unzip();
    Ok(codes.push_row(&columns, &values)?)
}

/// Appends the positive entries of a row.
pub(super) fn positive<F: Scalar>(row: &[F], kept: &mut Vec<(u32, F)>) {
    let entries = row.iter().enumerate().filter(|(_, z)| **z > F::zero());
    kept.extend(entries.map(|(latent, &z)| (latent as u32, z)));
}
