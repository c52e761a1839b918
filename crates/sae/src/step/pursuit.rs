//! The step of matching pursuit, whose encoding is a sequence of products.

use crate::error::SaeError;
use crate::float::Float;
use crate::members::matching_pursuit::MatchingPursuit;
use crate::step::optimise::finite;
use crate::step::settings::Losses;
use crate::weights::Weights;
use collimate_tensor::{SparseRows, axpy, dot, matmul_into, sum_of_squares};
use ndarray::{Array1, Array2, ArrayRef2};

/// The result of a pursuit.
struct Pursued<F> {
    /// The latents that each row took and their amounts, in order.
    taken: Vec<Vec<(u32, F)>>,
    /// The remainders of the rows.
    left: Array2<F>,
}

/// Runs matching pursuit on x − b_dec with the encoder rows.
///
/// They equal the decoder rows except in the null model, which shuffles the decoder.
fn pursue<F: Float>(
    pursuit: MatchingPursuit,
    w_enc: &Array2<F>,
    mut left: Array2<F>,
) -> Result<Pursued<F>, SaeError> {
    let (rows, n) = (left.nrows(), w_enc.nrows());
    let mut taken: Vec<Vec<(u32, F)>> = vec![Vec::new(); rows];
    let mut ended = vec![false; rows];
    let mut products = Array2::zeros((rows, n));
    for _ in 0..pursuit.k {
        matmul_into(F::one(), &left, &w_enc.t(), F::zero(), &mut products)?;
        let mut any = false;
        let rows = left.rows_mut().into_iter().zip(&mut taken).zip(&mut ended);
        for (((mut row, taken), ended), products) in rows.zip(products.rows()) {
            if *ended {
                continue;
            }
            let mut best = (0, F::zero());
            for (latent, &product) in products.iter().enumerate() {
                if product > best.1 {
                    best = (latent, product);
                }
            }
            if best.1 > F::zero() {
                let atom = w_enc.row(best.0);
                let atom = atom.as_slice().expect("rows are contiguous");
                axpy(-best.1, atom, row.as_slice_mut().expect("standard layout"));
                let latent = best.0 as u32;
                let repeated = taken.iter().any(|entry| entry.0 == latent);
                taken.push((best.0 as u32, best.1));
                *ended = pursuit.stops_at_repeat && repeated
                    || pursuit.residual_threshold > 0.0
                        && row.iter().map(|&v| v.to_f64().powi(2)).sum::<f64>().sqrt()
                            < pursuit.residual_threshold;
                any |= !*ended;
            } else {
                *ended = true;
            }
        }
        if !any {
            break;
        }
    }
    Ok(Pursued { taken, left })
}

/// Returns x − b_dec.
fn centred<F: Float>(x: &ArrayRef2<F>, b_dec: &Array1<F>) -> Array2<F> {
    let mut rows = x.as_standard_layout().into_owned();
    rows -= b_dec;
    rows
}

/// Computes the codes of some rows.
pub(crate) fn encode<F: Float>(
    pursuit: MatchingPursuit,
    weights: &Weights<F>,
    x: &ArrayRef2<F>,
) -> Result<SparseRows<F>, SaeError> {
    let mut codes = SparseRows::new(weights.w_enc.nrows());
    for row in pursue(pursuit, &weights.w_enc, centred(x, &weights.b_dec))?.taken {
        let (latents, values) = merged(row);
        codes.push_row(&latents, &values)?;
    }
    Ok(codes)
}

/// Returns the latents in ascending order; the amounts of a latent that was taken twice are added up.
fn merged<F: Float>(mut row: Vec<(u32, F)>) -> (Vec<u32>, Vec<F>) {
    row.sort_by_key(|entry| entry.0);
    let (mut columns, mut values): (Vec<u32>, Vec<F>) = Default::default();
    for (latent, amount) in row {
        if columns.last() == Some(&latent) {
            *values.last_mut().expect("as many as columns") += amount;
        } else {
            columns.push(latent);
            values.push(amount);
        }
    }
    (columns, values)
}

/// Computes the loss of a batch, its gradient, and which latents were taken.
pub(crate) fn gradient<F: Float>(
    pursuit: MatchingPursuit,
    weights: &Weights<F>,
    x: &ArrayRef2<F>,
    step: u64,
) -> Result<(Losses, Weights<F>, Vec<bool>), SaeError> {
    let mut gradient = Weights::zeros_like(weights);
    let mut active = vec![false; weights.w_dec.nrows()];
    let Pursued { taken, left } = pursue(pursuit, &weights.w_enc, centred(x, &weights.b_dec))?;
    let rows = x.nrows() as f64;
    let per_row = F::from_f64(1.0 / rows);
    let mut losses = Losses::default();
    for ((taken, left), x) in taken.into_iter().zip(left.rows()).zip(x.rows()) {
        let mut r = left.to_vec();
        let mut g: Vec<F> = r.iter().map(|&r| (r + r) * per_row).collect();
        losses.reconstruction += sum_of_squares(&r).to_f64() / rows;
        losses.input_norm2 += x.iter().map(|&v| v.to_f64().powi(2)).sum::<f64>() / rows;
        let along: f64 = x.iter().zip(&r).map(|(&x, &r)| x.to_f64() * r.to_f64()).sum();
        // x̂ = x − r
        losses.input_output -= along / rows;
        for &(latent, amount) in taken.iter().rev() {
            let atom = weights.w_dec.row(latent as usize);
            let atom = atom.as_slice().expect("rows are contiguous");
            axpy(amount, atom, &mut r);
            let s = dot(&g, atom);
            let mut to = gradient.w_dec.row_mut(latent as usize);
            let to = to.as_slice_mut().expect("standard layout");
            axpy(-amount, &g, to);
            axpy(-s, &r, to);
            axpy(-s, atom, &mut g);
            active[latent as usize] = true;
        }
        axpy(-F::one(), &g, gradient.b_dec.as_slice_mut().expect("contiguous"));
        losses.l0 += merged(taken).0.len() as f64 / rows;
    }
    losses.output_norm2 = losses.input_norm2 + 2.0 * losses.input_output + losses.reconstruction;
    losses.input_output += losses.input_norm2;
    losses.total = losses.reconstruction;
    finite(losses.reconstruction, step, "the reconstruction loss")?;
    Ok((losses, gradient, active))
}
