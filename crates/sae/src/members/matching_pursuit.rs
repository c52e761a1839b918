use crate::step::{Losses, check};
use crate::{Sae, SaeError, Variant, Weights};
use collimate_tensor::{Scalar, SparseRows, axpy, dot, matmul_into, sum_of_squares};
use ndarray::{Array1, Array2, ArrayRef2};

/// The matching-pursuit dictionary: latents are taken one after another, each the best for what is left of the row.
///
/// ```text
/// r_0 = x − b_dec       i_t = argmax_i r_t·d_i,  c_t = r_t·d_{i_t} > 0,  r_{t+1} = r_t − c_t d_{i_t}      t < k
/// f_i = Σ_{t: i_t = i} c_t        x̂ = x − r_T        L = ‖r_T‖²       (it ends early when no product is positive)
///
/// backwards through the pursuit, from g_T = 2 r_T, with s_t = g_{t+1}·d_{i_t} and r_t = r_{t+1} + c_t d_{i_t}:
///   ∂d_{i_t} −= c_t g_{t+1} + s_t r_t        g_t = g_{t+1} − s_t d_{i_t}        ∂b_dec = −g_0
/// ```
/// The encoder is the decoder: `w_enc` is kept equal to `w_dec` and has no gradient of its own. The residuals are not
/// stored but taken back, so a row needs the memory of two. An encoding costs k dense products, not one. A latent may be
/// taken twice. The decoder rows have length one.
///
/// # References
/// Mallat and Zhang (1993); Costa et al. (2025), "From Flat to Hierarchical: Extracting Sparse Representations with Matching
/// Pursuit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchingPursuit {
    /// The largest number of latents that are taken.
    pub k: usize,
}

/// The latents that were taken and their amounts, row by row, and what is left.
struct Pursued<F> {
    taken: Vec<Vec<(u32, F)>>,
    left: Array2<F>,
}

/// The pursuit in x − b_dec, by the rows of the encoder: those of the decoder, unless that was dealt out anew as a null.
fn pursue<F: Scalar>(k: usize, w_enc: &Array2<F>, mut left: Array2<F>) -> Result<Pursued<F>, SaeError> {
    let (rows, n) = (left.nrows(), w_enc.nrows());
    let mut taken = vec![Vec::new(); rows];
    let mut products = Array2::zeros((rows, n));
    for step in 0..k {
        matmul_into(F::one(), &left, &w_enc.t(), F::zero(), &mut products)?;
        let mut any = false;
        for ((mut row, taken), products) in left.rows_mut().into_iter().zip(&mut taken).zip(products.rows()) {
            // A row that has come to its end stays there.
            if taken.len() < step {
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
                taken.push((best.0 as u32, best.1));
                any = true;
            }
        }
        if !any {
            break;
        }
    }
    Ok(Pursued { taken, left })
}

/// x − b_dec.
fn centred<F: Scalar>(x: &ArrayRef2<F>, b_dec: &Array1<F>) -> Array2<F> {
    let mut rows = x.as_standard_layout().into_owned();
    rows -= b_dec;
    rows
}

/// The codes of some rows.
pub(crate) fn encode<F: Scalar>(
    pursuit: &MatchingPursuit,
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
) -> Result<SparseRows<F>, SaeError> {
    let Weights { w_enc, b_dec, .. } = sae.weights();
    let mut codes = SparseRows::new(w_enc.nrows());
    for (latents, values) in pursuit_codes(pursuit.k, w_enc, centred(x, b_dec))? {
        codes.push_row(&latents, &values)?;
    }
    Ok(codes)
}

/// The latents and the codes of rows from which b_dec was subtracted.
pub(crate) fn pursuit_codes<F: Scalar>(
    k: usize,
    w_enc: &Array2<F>,
    rows: Array2<F>,
) -> Result<impl Iterator<Item = (Vec<u32>, Vec<F>)> + use<F>, SaeError> {
    Ok(pursue(k, w_enc, rows)?.taken.into_iter().map(merged))
}

/// Latents in ascending order, the amounts of one that was taken twice added up.
fn merged<F: Scalar>(mut row: Vec<(u32, F)>) -> (Vec<u32>, Vec<F>) {
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

/// The loss of a batch, its gradient, and which latents were taken.
pub(crate) fn gradient<F: Scalar>(
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
    step: u64,
) -> Result<(Losses, Weights<F>, Vec<bool>), SaeError> {
    let Variant::MatchingPursuit(pursuit) = sae.variant() else { unreachable!("asked for by its variant") };
    let weights = sae.weights();
    let mut gradient = Weights::zeros_like(weights);
    let mut active = vec![false; weights.w_dec.nrows()];
    let Pursued { taken, left } = pursue(pursuit.k, &weights.w_enc, centred(x, &weights.b_dec))?;
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
    check(losses.reconstruction, step, "the reconstruction loss")?;
    Ok((losses, gradient, active))
}
