//! The recurrence without a mask: every query reads the state of all keys, without decay and delta rule.
//!
//! ```text
//! S = S₀ + Kᵀ V,   out = Q S                                 token by token or in chunks
//! out = Q S₀ + (Q Kᵀ) V                                      all at once, as a table of attention
//! ```

use super::Form;
use super::chunk::times;
use super::problem::{LinearGradients, Problem, States};
use super::steps::{read, write};
use crate::tasks::{self, product};
use collimate_tensor::Scalar;
use ndarray::{Array2, Array3, Array4, ArrayRef2, ArrayRef3, Axis, s};

/// Returns the matrix of one head.
fn of<F: Scalar>(x: &ArrayRef3<F>, head: usize) -> Array2<F> {
    x.index_axis(Axis(0), head).to_owned()
}

/// Adds `xᵀ y`, summed over the rows, to `m`, in the given form.
fn accumulate<F: Scalar>(form: Form, x: &Array2<F>, y: &Array2<F>, m: &mut ArrayRef2<F>) {
    match form {
        Form::Recurrent => x.rows().into_iter().zip(y.rows()).for_each(|(x, y)| write(m, &x, &y)),
        Form::Chunked { size } => {
            for (x, y) in x.axis_chunks_iter(Axis(0), size).zip(y.axis_chunks_iter(Axis(0), size)) {
                product(F::one(), &x.t(), &y, F::one(), m);
            }
        }
        Form::Parallel => product(F::one(), &x.t(), y, F::one(), m),
    }
}

/// Computes the outputs of all heads and the states before and after the keys.
pub(super) fn forward<F: Scalar>(problem: &Problem<F>) -> (Array3<F>, States<F>) {
    let ((h, t, _), (g, d, e)) = (problem.q.dim(), problem.initial.dim());
    let parts: Vec<(Vec<Array2<F>>, Array2<F>)> = tasks::map(g, |group| {
        let (k, v, before) = (of(&problem.k, group), of(&problem.v, group), of(&problem.initial, group));
        let mut state = before.clone();
        accumulate(problem.form, &k, &v, &mut state);
        let out = |&head: &usize| {
            let q = of(&problem.q, head) * problem.scale;
            match problem.form {
                Form::Recurrent => {
                    let mut out = Array2::zeros((t, e));
                    for (q, mut out) in q.rows().into_iter().zip(out.rows_mut()) {
                        out.assign(&read(&state, &q));
                    }
                    out
                }
                Form::Chunked { .. } => times(&q, &state),
                Form::Parallel => {
                    let mut out = times(&q, &before);
                    product(F::one(), &times(&q, &k.t()), &v, F::one(), &mut out);
                    out
                }
            }
        };
        (problem.readers(group).iter().map(out).collect(), state)
    });
    let (mut out, mut states) = (Array3::zeros((h, t, e)), Array4::zeros((g, 2, d, e)));
    for (group, (rows, state)) in parts.iter().enumerate() {
        states.slice_mut(s![group, 0, .., ..]).assign(&problem.initial.index_axis(Axis(0), group));
        states.slice_mut(s![group, 1, .., ..]).assign(state);
        for (head, rows) in problem.readers(group).into_iter().zip(rows) {
            out.index_axis_mut(Axis(0), head).assign(rows);
        }
    }
    (out, states)
}

/// Computes dQ = dout Sᵀ, dK = V dSᵀ, dV = K dS and dS₀ = dS, with dS = Qᵀ dout + (the gradient by the final state).
pub(super) fn backward<F: Scalar>(
    problem: &Problem<F>,
    states: &States<F>,
    d_out: &ArrayRef3<F>,
    d_state: &ArrayRef3<F>,
) -> LinearGradients<F> {
    let parts: Vec<(Vec<Array2<F>>, [Array2<F>; 3])> = tasks::map(problem.k.dim().0, |group| {
        let state = states.slice(s![group, 1, .., ..]).to_owned();
        let mut d_state = of(d_state, group);
        let by_query = |&head: &usize| {
            let d_out = of(d_out, head);
            accumulate(problem.form, &(of(&problem.q, head) * problem.scale), &d_out, &mut d_state);
            times(&d_out, &state.t()) * problem.scale
        };
        let d_q = problem.readers(group).iter().map(by_query).collect();
        let (k, v) = (of(&problem.k, group), of(&problem.v, group));
        (d_q, [times(&v, &d_state.t()), times(&k, &d_state), d_state])
    });
    let mut gradients = LinearGradients {
        q: Array3::zeros(problem.q.dim()),
        k: Array3::zeros(problem.k.dim()),
        v: Array3::zeros(problem.v.dim()),
        log_decay: None,
        beta: None,
        initial: Array3::zeros(problem.initial.dim()),
    };
    for (group, (d_q, [d_k, d_v, d_initial])) in parts.iter().enumerate() {
        gradients.k.index_axis_mut(Axis(0), group).assign(d_k);
        gradients.v.index_axis_mut(Axis(0), group).assign(d_v);
        gradients.initial.index_axis_mut(Axis(0), group).assign(d_initial);
        for (head, d_q) in problem.readers(group).into_iter().zip(d_q) {
            gradients.q.index_axis_mut(Axis(0), head).assign(d_q);
        }
    }
    gradients
}

/// Computes Ṡ = Ṡ₀ + K̇ᵀ V + Kᵀ V̇ and the outputs Q̇ S + Q Ṡ.
pub(super) fn jvp<F: Scalar>(
    problem: &Problem<F>,
    states: &States<F>,
    direction: &LinearGradients<F>,
) -> (Array3<F>, Array3<F>) {
    let (h, t, _) = problem.q.dim();
    let (mut out, mut moved) = (Array3::zeros((h, t, problem.initial.dim().2)), direction.initial.clone());
    for (group, mut moved) in moved.outer_iter_mut().enumerate() {
        let state = states.slice(s![group, 1, .., ..]).to_owned();
        accumulate(problem.form, &of(&direction.k, group), &of(&problem.v, group), &mut moved);
        accumulate(problem.form, &of(&problem.k, group), &of(&direction.v, group), &mut moved);
        for head in problem.readers(group) {
            let mut rows = out.index_axis_mut(Axis(0), head);
            product(problem.scale, &of(&direction.q, head), &state, F::zero(), &mut rows);
            product(problem.scale, &of(&problem.q, head), &moved, F::one(), &mut rows);
        }
    }
    (out, moved)
}
