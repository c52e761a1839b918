//! The chunked form: matrix products within a run of tokens, and the state for all earlier tokens.
//!
//! ```text
//! U = the rows written, (I + diag(β) tril(M, −1)) U = diag(β) (V − K_in S) under the delta rule, else V
//! out = Q_in S + A U,   S' = decay(S) + K_outᵀ U
//! ```
//! A and M hold the products of queries and keys, and of keys and keys, with the decay between their positions.

use super::decay::{Decay, keep_lower};
use super::problem::{Block, BlockGradients};
use crate::tasks::product;
use collimate_tensor::Scalar;
use ndarray::{Array2, Axis, Zip};

/// The intermediate results of the delta rule that both directions need.
struct Correction<F> {
    /// The keys with the decay from the start of the run `[t, d]`.
    k_in: Array2<F>,
    /// The difference between the values and the contents of that state: V − K_in S `[t, e]`.
    error: Array2<F>,
    /// The products of keys with earlier keys `[t, t]`, zero on and above the diagonal.
    overlap: Array2<F>,
}

pub(super) fn times<F: Scalar>(a: &ndarray::ArrayRef2<F>, b: &ndarray::ArrayRef2<F>) -> Array2<F> {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    product(F::one(), a, b, F::zero(), &mut c);
    c
}

impl<F: Scalar> Block<F> {
    /// Computes the rows that are written under the keys `[t, e]`.
    fn rows_written(&self, decay: &Decay<'_, F>, state: &Array2<F>) -> (Array2<F>, Option<Correction<F>>) {
        let Some(beta) = &self.beta else { return (self.v.clone(), None) };
        let k_in = decay.entering(&self.k);
        let mut overlap = decay.products(&self.k, &self.k);
        keep_lower(&mut overlap, true);
        let mut error = self.v.clone();
        product(-F::one(), &k_in, state, F::one(), &mut error);
        let mut u = error.clone();
        // Forward substitution: row i needs the rows before it.
        for i in 0..u.nrows() {
            let (before, mut rest) = u.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            for (j, earlier) in before.rows().into_iter().enumerate() {
                row.scaled_add(-overlap[[i, j]], &earlier);
            }
            row.mapv_inplace(|x| x * beta[i]);
        }
        (u, Some(Correction { k_in, error, overlap }))
    }
}

/// Computes the outputs of the readers and the state after the block.
pub(super) fn forward<F: Scalar>(block: &Block<F>, state: &Array2<F>) -> (Vec<Array2<F>>, Array2<F>) {
    let decay = Decay::new(&block.decay);
    let (u, _) = block.rows_written(&decay, state);
    let read = |q: &Array2<F>| {
        let mut out = times(&decay.entering(q), state);
        product(F::one(), &decay.products(q, &block.k), &u, F::one(), &mut out);
        out
    };
    let mut after = decay.whole(state);
    product(F::one(), &decay.leaving(&block.k).t(), &u, F::one(), &mut after);
    (block.q.iter().map(read).collect(), after)
}

/// Computes the gradients from the gradients by the outputs and by the state after the block.
pub(super) fn backward<F: Scalar>(
    block: &Block<F>,
    state: &Array2<F>,
    d_out: &[Array2<F>],
    d_after: &Array2<F>,
) -> BlockGradients<F> {
    let (t, last) = (block.k.nrows(), block.k.nrows() - 1);
    let decay = Decay::new(&block.decay);
    let (u, correction) = block.rows_written(&decay, state);
    // The gradient by each running sum of log-decays: a factor e^{b_i − b_j} adds its product at i and subtracts it at j.
    let mut d_sums = Array2::<F>::zeros(block.k.dim());

    // S' = decay(S) + K_outᵀ U
    let k_out = decay.leaving(&block.k);
    let mut d_u = times(&k_out, d_after);
    let d_k_out = times(&u, &d_after.t());
    let mut d_k = decay.leaving(&d_k_out);
    let mut d_state = decay.whole(d_after);
    let moved = &d_k_out * &k_out;
    d_sums -= &moved;
    let kept = Zip::from(d_state.rows()).and(state.rows()).map_collect(|a, b| dot(&a, &b));
    let mut end = d_sums.row_mut(last);
    end += &moved.sum_axis(Axis(0));
    end += &kept;

    // out = Q_in S + A U
    let mut d_q = Vec::with_capacity(block.q.len());
    for (q, d_out) in block.q.iter().zip(d_out) {
        let mut d_a = times(d_out, &u.t());
        keep_lower(&mut d_a, false);
        product(F::one(), &decay.products(q, &block.k).t(), d_out, F::one(), &mut d_u);
        product(F::one(), &decay.entering(q).t(), d_out, F::one(), &mut d_state);
        let (mut by_q, by_k) = decay.products_back(q, &block.k, &d_a);
        by_q += &decay.entering(&times(d_out, &state.t()));
        d_sums += &(&by_q * q);
        d_sums -= &(&by_k * &block.k);
        d_k += &by_k;
        d_q.push(by_q);
    }

    let (mut d_v, mut d_beta) = (d_u, None);
    if let (Some(Correction { k_in, error, overlap }), Some(beta)) = (correction, &block.beta) {
        // The transposed substitution, from the last row. Each row is then the gradient by its error.
        for i in (0..t).rev() {
            let (mut before, rest) = d_v.view_mut().split_at(Axis(0), i);
            let row = rest.row(0);
            for j in 0..i {
                before.row_mut(j).scaled_add(-beta[i] * overlap[[i, j]], &row);
            }
        }
        let unwritten = &error - &times(&overlap, &u);
        d_beta = Some(Zip::from(d_v.rows()).and(unwritten.rows()).map_collect(|a, b| dot(&a, &b)));
        for (mut row, &beta) in d_v.rows_mut().into_iter().zip(beta) {
            row.mapv_inplace(|x| x * beta);
        }
        let mut d_overlap = times(&d_v, &u.t());
        keep_lower(&mut d_overlap, true);
        d_overlap.mapv_inplace(|x| -x);
        let (mut later, earlier) = decay.products_back(&block.k, &block.k, &d_overlap);
        product(-F::one(), &k_in.t(), &d_v, F::one(), &mut d_state);
        later -= &decay.entering(&times(&d_v, &state.t()));
        d_sums += &(&later * &block.k);
        d_sums -= &(&earlier * &block.k);
        d_k += &later;
        d_k += &earlier;
    }
    BlockGradients { q: d_q, k: d_k, v: d_v, decay: decay.gradient(d_sums), beta: d_beta, state: d_state }
}

/// Computes the directions of the outputs of the readers and of the state after the block.
pub(super) fn jvp<F: Scalar>(
    block: &Block<F>,
    state: &Array2<F>,
    direction: &BlockGradients<F>,
) -> (Vec<Array2<F>>, Array2<F>) {
    let (one, last) = (F::one(), block.k.nrows() - 1);
    let decay = Decay::new(&block.decay);
    let sums = running(&direction.decay);
    let (u, correction) = block.rows_written(&decay, state);
    // The derivative of a factor e^{b_i − b_j} is ḃ_i times its product at i, and −ḃ_j times its product at j.
    let later = |x: &Array2<F>, x_dot: &Array2<F>| x_dot + &(x * &sums);
    let earlier = |x: &Array2<F>, x_dot: &Array2<F>| x_dot - &(x * &sums);
    let (k, k_earlier) = (&block.k, earlier(&block.k, &direction.k));

    let mut u_dot = direction.v.clone();
    if let (Some(Correction { k_in, error, overlap }), Some(beta), Some(beta_dot)) =
        (correction, &block.beta, &direction.beta)
    {
        let k_later = later(k, &direction.k);
        let mut overlap_dot = decay.products(&k_later, k) + decay.products(k, &k_earlier);
        keep_lower(&mut overlap_dot, true);
        product(-one, &decay.entering(&k_later), state, one, &mut u_dot);
        product(-one, &k_in, &direction.state, one, &mut u_dot);
        product(-one, &overlap_dot, &u, one, &mut u_dot);
        let unwritten = &error - &times(&overlap, &u);
        for i in 0..=last {
            let (before, mut rest) = u_dot.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            for (j, earlier) in before.rows().into_iter().enumerate() {
                row.scaled_add(-overlap[[i, j]], &earlier);
            }
            row.mapv_inplace(|x| x * beta[i]);
            row.scaled_add(beta_dot[i], &unwritten.row(i));
        }
    }

    let read = |(q, q_dot): (&Array2<F>, &Array2<F>)| {
        let q_later = later(q, q_dot);
        let mut out = times(&decay.entering(&q_later), state);
        product(one, &decay.entering(q), &direction.state, one, &mut out);
        let weights_dot = decay.products(&q_later, k) + decay.products(q, &k_earlier);
        product(one, &weights_dot, &u, one, &mut out);
        product(one, &decay.products(q, k), &u_dot, one, &mut out);
        out
    };
    let out = block.q.iter().zip(&direction.q).map(read).collect();

    let end = sums.row(last);
    let mut moved = direction.state.clone();
    for (c, (mut moved, state)) in moved.rows_mut().into_iter().zip(state.rows()).enumerate() {
        moved.scaled_add(end[c.min(end.len() - 1)], &state);
    }
    let mut after = decay.whole(&moved);
    let k_leaving = &k_earlier + &(k * &end);
    product(one, &decay.leaving(&k_leaving).t(), &u, one, &mut after);
    product(one, &decay.leaving(k).t(), &u_dot, one, &mut after);
    (out, after)
}

/// Returns running sums: row `i` is the sum of the rows up to `i`.
fn running<F: Scalar>(x: &Array2<F>) -> Array2<F> {
    let mut sums = x.clone();
    for i in 1..sums.nrows() {
        let (before, mut rest) = sums.view_mut().split_at(Axis(0), i);
        let mut row = rest.row_mut(0);
        row += &before.row(i - 1);
    }
    sums
}

fn dot<F: Scalar>(a: &ndarray::ArrayRef1<F>, b: &ndarray::ArrayRef1<F>) -> F {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}
