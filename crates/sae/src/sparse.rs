//! The rows of a step, on their active latents only.

use crate::latents;
use crate::rule::{Entry, Rule, Vectors};
use crate::step::{ROW_BLOCK, RowSums, Workspace, each};
use crate::topk::select_dead;
use crate::{Weights, kernels};
use collimate_tensor::{Scalar, axpy, dot, sum_of_squares};

/// Selection, both decodes, the residuals and every inner product with them, row by row.
pub(crate) fn forward<F: Scalar, R: Rule<F>>(
    rule: &R,
    weights: &Weights<F>,
    offset: impl Fn(usize) -> F + Sync + Send,
    dead: &[u32],
    k_aux: usize,
    ws: &mut Workspace<F>,
) {
    let (n, d) = weights.w_dec.dim();
    let decoder = weights.w_dec.as_slice().expect("standard layout");
    let bias = weights.b_dec.as_slice().expect("contiguous");
    let atom = |latent: u32| &decoder[latent as usize * d..(latent as usize + 1) * d];
    let constants: Vectors<'_, F> = [&ws.constants[0], &ws.constants[1], &ws.constants[2]];
    let (penalty, norm) = (&ws.penalty, &ws.decoder_norm);
    let second = ws.aux.nrows() > 0;
    let slice = "standard layout";
    let input = ws.input.as_slice().expect(slice);
    let products = ws.products.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * n);
    let residual = ws.residual.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * d);
    let mut aux = ws.aux.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * d);
    let mut tasks: Vec<_> = ws
        .rows
        .iter_mut()
        .zip(products.zip(residual).zip(input.chunks(ROW_BLOCK * d)))
        .map(|(block, ((products, residual), input))| {
            (block, products, residual, aux.next().unwrap_or_default(), input)
        })
        .collect();
    each(ws.serial, &mut tasks, |_, (block, products, residual, aux, input)| {
        block.entries.clear();
        block.cuts.clear();
        block.dead_entries.clear();
        block.dead_cuts.clear();
        let mut sums = RowSums::default();
        let mut x = std::mem::take(&mut block.scratch.values);
        let row_count = residual.len() / d;
        for r in 0..row_count {
            let products = &mut products[r * n..(r + 1) * n];
            let residual = &mut residual[r * d..(r + 1) * d];
            let from = block.entries.len();
            rule.select(constants, products, &mut block.scratch, &mut block.entries);
            let entries = &mut block.entries[from..];
            push_cuts(&mut block.cuts, entries, from, n);
            x.clear();
            x.extend(input[r * d..(r + 1) * d].iter().enumerate().map(|(i, &v)| v + offset(i)));
            for i in 0..d {
                residual[i] = bias[i] - x[i];
            }
            if R::TWO_DECODES {
                let aux = &mut aux[r * d..(r + 1) * d];
                aux.copy_from_slice(residual);
                for entry in entries.iter() {
                    kernels::axpy_twice(entry.code, entry.gate, atom(entry.latent), residual, aux);
                }
                sums.aux2 += sum_of_squares(aux).to_f64();
            } else {
                entries.iter().for_each(|entry| axpy(entry.code, atom(entry.latent), residual));
            }
            sums.active += entries.iter().filter(|entry| entry.code > F::zero()).count() as u64;
            sums.residual2 += sum_of_squares(residual).to_f64();
            sums.input2 += sum_of_squares(&x).to_f64();
            sums.input_residual += dot(&x, residual).to_f64();
            for entry in entries.iter_mut() {
                let atom = atom(entry.latent);
                let latent = entry.latent as usize;
                let (on_residual, on_aux) = if R::TWO_DECODES {
                    kernels::dot_twice(atom, residual, &aux[r * d..(r + 1) * d])
                } else {
                    (dot(atom, residual), F::zero())
                };
                rule.local(entry, on_residual, on_aux, penalty[latent]);
                sums.penalised += (rule.penalised(entry) * norm[latent]).to_f64();
            }
            if k_aux > 0 {
                let aux = &mut aux[r * d..(r + 1) * d];
                let from = block.dead_entries.len();
                select_dead(products, dead, k_aux, &mut block.scratch, &mut block.dead_entries);
                let entries = &mut block.dead_entries[from..];
                push_cuts(&mut block.dead_cuts, entries, from, n);
                aux.copy_from_slice(residual);
                entries.iter().for_each(|entry| axpy(entry.code, atom(entry.latent), aux));
                for entry in entries.iter_mut() {
                    let on_aux = dot(atom(entry.latent), aux);
                    entry.d_code = on_aux + on_aux;
                }
                sums.aux2 += sum_of_squares(aux).to_f64();
            }
        }
        block.scratch.values = x;
        block.sums = sums;
        column_sum(residual, d, &mut block.residual_sum);
        if second {
            column_sum(aux, d, &mut block.aux_sum);
        }
    });
}

/// Where each block of latents begins among the entries of a row.
fn push_cuts<F>(cuts: &mut Vec<u32>, entries: &[Entry<F>], from: usize, n: usize) {
    let mut position = 0;
    for start in (0..n).step_by(latents::BLOCK) {
        while position < entries.len() && (entries[position].latent as usize) < start {
            position += 1;
        }
        cuts.push((from + position) as u32);
    }
    cuts.push((from + entries.len()) as u32);
}

/// The sums of the columns of a row-major run.
pub(crate) fn column_sum<F: Scalar>(rows: &[F], d: usize, out: &mut Vec<F>) {
    out.clear();
    out.resize(d, F::zero());
    for row in rows.chunks(d) {
        out.iter_mut().zip(row).for_each(|(sum, &v)| *sum += v);
    }
}
