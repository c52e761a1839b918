//! The passes of the family over key heads and blocks of tokens: one task for each key head.

use super::problem::{Block, BlockGradients, LinearGradients, Problem, Reach, States};
use super::{Form, chunk, steps, whole};
use crate::tasks;
use collimate_tensor::Scalar;
use ndarray::{Array2, Array3, Array4, ArrayRef3, Axis, s};

/// Computes the outputs, and the states before each block and after the last block.
pub(crate) fn forward<F: Scalar>(problem: &Problem<F>) -> (Array3<F>, States<F>) {
    match problem.reach {
        Reach::Past => causal_forward(problem),
        Reach::All => whole::forward(problem),
    }
}

/// Computes the gradients by all inputs from the gradients by the outputs and by the final state.
pub(crate) fn backward<F: Scalar>(
    problem: &Problem<F>,
    states: &States<F>,
    d_out: &ArrayRef3<F>,
    d_state: &ArrayRef3<F>,
) -> LinearGradients<F> {
    match problem.reach {
        Reach::Past => causal_backward(problem, states, d_out, d_state),
        Reach::All => whole::backward(problem, states, d_out, d_state),
    }
}

/// Computes the directions of the outputs and of the final state.
pub(crate) fn jvp<F: Scalar>(
    problem: &Problem<F>,
    states: &States<F>,
    direction: &LinearGradients<F>,
) -> (Array3<F>, Array3<F>) {
    match problem.reach {
        Reach::Past => causal_jvp(problem, states, direction),
        Reach::All => whole::jvp(problem, states, direction),
    }
}

/// Runs one block from the state before it. Returns the outputs of the readers and the state after the block.
fn block_forward<F: Scalar>(form: Form, block: &Block<F>, state: Array2<F>) -> (Vec<Array2<F>>, Array2<F>) {
    match form {
        Form::Recurrent => steps::forward(block, state),
        Form::Chunked { .. } | Form::Parallel => chunk::forward(block, &state),
    }
}

fn causal_forward<F: Scalar>(problem: &Problem<F>) -> (Array3<F>, States<F>) {
    let ((h, t, _), (g, d, e)) = (problem.q.dim(), problem.initial.dim());
    let blocks = problem.blocks();
    let mut out = Array3::zeros((h, t, e));
    let mut states = Array4::zeros((g, blocks.len() + 1, d, e));
    let mut heads: Vec<_> = states.outer_iter_mut().map(|states| (states, Vec::new())).enumerate().collect();
    tasks::run(
        &mut heads,
        usize::MAX,
        || (),
        |(), (group, (states, outputs))| {
            let readers = problem.readers(*group);
            states.index_axis_mut(Axis(0), 0).assign(&problem.initial.index_axis(Axis(0), *group));
            for (i, tokens) in blocks.iter().enumerate() {
                let block = problem.block(*group, &readers, tokens.clone());
                let before = states.index_axis(Axis(0), i).to_owned();
                let (out, after) = block_forward(problem.form, &block, before);
                states.index_axis_mut(Axis(0), i + 1).assign(&after);
                outputs.push(out);
            }
        },
    );
    for (group, (_, parts)) in &heads {
        for (tokens, part) in blocks.iter().zip(parts) {
            for (head, rows) in problem.readers(*group).into_iter().zip(part) {
                out.slice_mut(s![head, tokens.clone(), ..]).assign(rows);
            }
        }
    }
    (out, states)
}

fn causal_backward<F: Scalar>(
    problem: &Problem<F>,
    states: &States<F>,
    d_out: &ArrayRef3<F>,
    d_state: &ArrayRef3<F>,
) -> LinearGradients<F> {
    let blocks = problem.blocks();
    let parts: Vec<(Vec<BlockGradients<F>>, Array2<F>)> = tasks::map(problem.k.dim().0, |group| {
        let readers = problem.readers(group);
        let mut d_state = d_state.index_axis(Axis(0), group).to_owned();
        let mut parts = Vec::with_capacity(blocks.len());
        for (i, tokens) in blocks.iter().enumerate().rev() {
            let block = problem.block(group, &readers, tokens.clone());
            let before = states.slice(s![group, i, .., ..]).to_owned();
            let d_out: Vec<Array2<F>> =
                readers.iter().map(|&h| d_out.slice(s![h, tokens.clone(), ..]).to_owned()).collect();
            let part = match problem.form {
                Form::Recurrent => steps::backward(&block, before, &d_out, d_state),
                Form::Chunked { .. } | Form::Parallel => chunk::backward(&block, &before, &d_out, &d_state),
            };
            d_state = part.state.clone();
            parts.push(part);
        }
        parts.reverse();
        (parts, d_state)
    });
    let mut gradients = LinearGradients {
        q: Array3::zeros(problem.q.dim()),
        k: Array3::zeros(problem.k.dim()),
        v: Array3::zeros(problem.v.dim()),
        log_decay: problem.log_decay.as_ref().map(|x| Array3::zeros(x.dim())),
        beta: problem.beta.as_ref().map(|x| Array2::zeros(x.dim())),
        initial: Array3::zeros(problem.initial.dim()),
    };
    for (group, (parts, d_state)) in parts.into_iter().enumerate() {
        let readers = problem.readers(group);
        gradients.initial.index_axis_mut(Axis(0), group).assign(&d_state);
        for (tokens, part) in blocks.iter().zip(parts) {
            let rows = s![group, tokens.clone(), ..];
            for (&head, d_q) in readers.iter().zip(&part.q) {
                let mut rows = gradients.q.slice_mut(s![head, tokens.clone(), ..]);
                rows.scaled_add(problem.scale, d_q);
            }
            gradients.k.slice_mut(rows).assign(&part.k);
            gradients.v.slice_mut(rows).assign(&part.v);
            if let (Some(all), Some(own)) = (&mut gradients.beta, part.beta) {
                all.slice_mut(s![group, tokens.clone()]).assign(&own);
            }
            if let Some(all) = &mut gradients.log_decay {
                // One number for all tokens: its gradient is the sum over the tokens.
                if all.dim().1 == problem.k.dim().1 {
                    let mut rows = all.slice_mut(rows);
                    rows += &part.decay;
                } else {
                    let mut row = all.slice_mut(s![group, 0, ..]);
                    row += &part.decay.sum_axis(Axis(0));
                }
            }
        }
    }
    gradients
}

fn causal_jvp<F: Scalar>(
    problem: &Problem<F>,
    states: &States<F>,
    direction: &LinearGradients<F>,
) -> (Array3<F>, Array3<F>) {
    let blocks = problem.blocks();
    let parts: Vec<(Vec<Vec<Array2<F>>>, Array2<F>)> = tasks::map(problem.k.dim().0, |group| {
        let readers = problem.readers(group);
        let mut moved = direction.initial.index_axis(Axis(0), group).to_owned();
        let mut outputs = Vec::with_capacity(blocks.len());
        for (i, tokens) in blocks.iter().enumerate() {
            let block = problem.block(group, &readers, tokens.clone());
            let before = states.slice(s![group, i, .., ..]).to_owned();
            let along = problem.block_direction(direction, group, &readers, tokens.clone(), moved);
            let (out, after) = match problem.form {
                Form::Recurrent => steps::jvp(&block, before, &along),
                Form::Chunked { .. } | Form::Parallel => chunk::jvp(&block, &before, &along),
            };
            outputs.push(out);
            moved = after;
        }
        (outputs, moved)
    });
    let (h, t, _) = problem.q.dim();
    let mut out = Array3::zeros((h, t, problem.initial.dim().2));
    let mut state = Array3::zeros(problem.initial.dim());
    for (group, (outputs, moved)) in parts.into_iter().enumerate() {
        state.index_axis_mut(Axis(0), group).assign(&moved);
        for (tokens, part) in blocks.iter().zip(outputs) {
            for (head, rows) in problem.readers(group).into_iter().zip(&part) {
                out.slice_mut(s![head, tokens.clone(), ..]).assign(rows);
            }
        }
    }
    (out, state)
}
