//! The recurrent form: the state token by token, forwards, backwards and along a direction.

use super::problem::{Block, BlockGradients};
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, Array3, ArrayRef1, ArrayRef2, ArrayView1, ArrayView2, Axis};

/// Returns `xᵀ m`: the contents of a state for a key or query.
pub(super) fn read<F: Scalar>(m: &ArrayRef2<F>, x: &ArrayView1<'_, F>) -> Array1<F> {
    let mut out = Array1::zeros(m.ncols());
    for (&weight, row) in x.iter().zip(m.rows()) {
        add_scaled(weight, &row, &mut out);
    }
    out
}

/// Adds `x yᵀ` to `m`.
pub(super) fn write<F: Scalar>(m: &mut ArrayRef2<F>, x: &ArrayView1<'_, F>, y: &ArrayView1<'_, F>) {
    for (&weight, mut row) in x.iter().zip(m.rows_mut()) {
        add_scaled(weight, y, &mut row);
    }
}

fn add_scaled<F: Scalar>(weight: F, x: &ArrayRef1<F>, y: &mut ArrayRef1<F>) {
    match (x.as_slice(), y.as_slice_mut()) {
        (Some(x), Some(y)) => F::axpy_kernel(weight, x, y),
        _ => unreachable!("rows of matrices made here are contiguous"),
    }
}

/// Returns `m y`: one inner product for each row.
fn against<F: Scalar>(m: &ArrayRef2<F>, y: &ArrayView1<'_, F>) -> Array1<F> {
    let inner = |row: ArrayView1<'_, F>| match (row.to_slice(), y.to_slice()) {
        (Some(a), Some(b)) => F::dot_kernel(a, b),
        _ => unreachable!("rows of matrices made here are contiguous"),
    };
    m.rows().into_iter().map(inner).collect()
}

/// Multiplies row `c` of the state by the factor of its channel.
fn fade<F: Scalar>(m: &mut ArrayRef2<F>, factors: &ArrayView1<'_, F>) {
    for (c, mut row) in m.rows_mut().into_iter().enumerate() {
        let factor = factors[c.min(factors.len() - 1)];
        row.mapv_inplace(|x| x * factor);
    }
}

impl<F: Scalar> Block<F> {
    /// Returns the row that token `i` writes under its key into the (decayed) state and, under the delta rule, the earlier contents.
    fn written(&self, i: usize, state: &ArrayRef2<F>) -> (Array1<F>, Option<Array1<F>>) {
        let Some(beta) = &self.beta else { return (self.v.row(i).to_owned(), None) };
        let held = read(state, &self.k.row(i));
        ((&self.v.row(i) - &held) * beta[i], Some(held))
    }
}

/// Computes the outputs of the readers and the state after the block.
pub(super) fn forward<F: Scalar>(block: &Block<F>, mut state: Array2<F>) -> (Vec<Array2<F>>, Array2<F>) {
    let mut out = vec![Array2::zeros(block.v.dim()); block.q.len()];
    for i in 0..block.k.nrows() {
        fade(&mut state, &block.decay.row(i));
        let (u, _) = block.written(i, &state);
        write(&mut state, &block.k.row(i), &u.view());
        for (q, out) in block.q.iter().zip(&mut out) {
            out.row_mut(i).assign(&read(&state, &q.row(i)));
        }
    }
    (out, state)
}

/// Computes the gradients from the gradients by the outputs and by the state after the block.
pub(super) fn backward<F: Scalar>(
    block: &Block<F>,
    before: Array2<F>,
    d_out: &[Array2<F>],
    d_after: Array2<F>,
) -> BlockGradients<F> {
    let (t, (d, e)) = (block.k.nrows(), before.dim());
    // The states before each token are needed in reverse: run the block once more and keep them.
    let mut states = Array3::zeros((t + 1, d, e));
    states.index_axis_mut(Axis(0), 0).assign(&before);
    let mut state = before;
    for i in 0..t {
        fade(&mut state, &block.decay.row(i));
        let (u, _) = block.written(i, &state);
        write(&mut state, &block.k.row(i), &u.view());
        states.index_axis_mut(Axis(0), i + 1).assign(&state);
    }
    let mut gradients = BlockGradients {
        q: vec![Array2::zeros(block.k.dim()); block.q.len()],
        k: Array2::zeros(block.k.dim()),
        v: Array2::zeros(block.v.dim()),
        decay: Array2::zeros(block.decay.dim()),
        beta: block.beta.as_ref().map(|beta| Array1::zeros(beta.len())),
        state: d_after,
    };
    let d_state = &mut gradients.state;
    for i in (0..t).rev() {
        let after: ArrayView2<F> = states.index_axis(Axis(0), i + 1);
        for ((q, d_q), d_out) in block.q.iter().zip(&mut gradients.q).zip(d_out) {
            d_q.row_mut(i).assign(&against(&after, &d_out.row(i)));
            write(d_state, &q.row(i), &d_out.row(i));
        }
        let mut faded = states.index_axis(Axis(0), i).to_owned();
        fade(&mut faded, &block.decay.row(i));
        let (u, held) = block.written(i, &faded);
        let k = block.k.row(i);
        let mut d_k = against(d_state, &u.view());
        let d_u = read(d_state, &k);
        match (&block.beta, held, &mut gradients.beta) {
            (Some(beta), Some(held), Some(d_beta)) => {
                let error = &block.v.row(i) - &held;
                d_beta[i] = d_u.iter().zip(&error).map(|(&a, &b)| a * b).sum();
                let d_v = d_u * beta[i];
                // The state is read under the key before it is written.
                d_k -= &against(&faded, &d_v.view());
                write(d_state, &k, &d_v.mapv(|x| -x).view());
                gradients.v.row_mut(i).assign(&d_v);
            }
            _ => gradients.v.row_mut(i).assign(&d_u),
        }
        gradients.k.row_mut(i).assign(&d_k);
        let mut d_decay = gradients.decay.row_mut(i);
        for (c, (a, b)) in d_state.rows().into_iter().zip(faded.rows()).enumerate() {
            let slot = c.min(d_decay.len() - 1);
            d_decay[slot] += a.iter().zip(&b).map(|(&a, &b)| a * b).sum();
        }
        fade(d_state, &block.decay.row(i));
    }
    gradients
}

/// Computes the directions of the outputs of the readers and of the state after the block.
pub(super) fn jvp<F: Scalar>(
    block: &Block<F>,
    mut state: Array2<F>,
    direction: &BlockGradients<F>,
) -> (Vec<Array2<F>>, Array2<F>) {
    let mut moved = direction.state.clone();
    let mut out = vec![Array2::zeros(block.v.dim()); block.q.len()];
    for i in 0..block.k.nrows() {
        let (k, k_dot) = (block.k.row(i), direction.k.row(i));
        // The direction of e^g S is e^g (Ṡ + ġ S).
        let log_factors = direction.decay.row(i);
        for (c, (mut moved, state)) in moved.rows_mut().into_iter().zip(state.rows()).enumerate() {
            moved.scaled_add(log_factors[c.min(log_factors.len() - 1)], &state);
        }
        fade(&mut moved, &block.decay.row(i));
        fade(&mut state, &block.decay.row(i));
        let (u, held) = block.written(i, &state);
        let u_dot = match (&block.beta, held, &direction.beta) {
            (Some(beta), Some(held), Some(beta_dot)) => {
                let held_dot = read(&moved, &k) + read(&state, &k_dot);
                (&block.v.row(i) - &held) * beta_dot[i] + (&direction.v.row(i) - &held_dot) * beta[i]
            }
            _ => direction.v.row(i).to_owned(),
        };
        write(&mut moved, &k_dot, &u.view());
        write(&mut moved, &k, &u_dot.view());
        write(&mut state, &k, &u.view());
        for ((q, q_dot), out) in block.q.iter().zip(&direction.q).zip(&mut out) {
            out.row_mut(i).assign(&(read(&moved, &q.row(i)) + read(&state, &q_dot.row(i))));
        }
    }
    (out, moved)
}
