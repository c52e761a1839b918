//! The codes of some rows, without a step.

use crate::error::SaeError;
use crate::float::Float;
use crate::members::choices::InputBias;
use crate::members::member::Member;
use crate::members::rule::{Constants, Rule};
use crate::step::batch;
use crate::step::code_block::CodeBlock;
use crate::step::codes::Selection;
use crate::step::settings::{ROW_BLOCK, SERIAL};
use crate::weights::Weights;
use collimate_tensor::{BufferPool, PackedMatrix, SparseRows, matmul_into};
use ndarray::{Array2, ArrayRef2, s};

/// The number of rows that are encoded at once: enough for the product, few enough for the memory.
const ENCODE_ROWS: usize = 1024;
/// The number of rows from which an encoder is packed.
const PACK_FROM: usize = 256;

/// Computes the codes of some rows.
pub(crate) fn encode<F: Float>(
    rule: &dyn Rule<F>,
    member: &Member,
    weights: &Weights<F>,
    x: &ArrayRef2<F>,
) -> Result<SparseRows<F>, SaeError> {
    let mut constants = Constants::default();
    rule.all_constants(weights, &mut constants.vectors);
    member.norms(weights, &mut constants.norms);
    let n = weights.w_dec.nrows();
    let keep = rule.keep(x.nrows()).filter(|_| member.threshold.is_none());
    let mut selection = Selection::new(rule, member, weights, &constants);
    selection.above = F::from_f64(member.threshold.unwrap_or(0.0));
    let (tiles, slice) = (BufferPool::default(), "standard layout");
    let encoder = member.gate_rows(weights);
    let packed = (x.nrows() >= PACK_FROM).then(|| PackedMatrix::new(&encoder.t()));
    let mut codes = SparseRows::new(n);
    let mut all: Vec<CodeBlock<F>> = Vec::new();
    let mut blocks: Vec<CodeBlock<F>> = Vec::new();
    for start in (0..x.nrows()).step_by(ENCODE_ROWS) {
        let chunk = x.slice(s![start..(start + ENCODE_ROWS).min(x.nrows()), ..]);
        let mut input = chunk.as_standard_layout().into_owned();
        if member.input_bias == InputBias::Subtracted {
            input -= &weights.b_dec;
        }
        blocks.resize_with(chunk.nrows().div_ceil(ROW_BLOCK), CodeBlock::default);
        let serial = chunk.nrows() * n < SERIAL;
        let centred = input.as_slice().expect(slice);
        match &packed {
            Some(packed) => selection.select_tiles(serial, &mut blocks, packed, &tiles, centred),
            None => {
                let mut products = Array2::zeros((chunk.nrows(), n));
                matmul_into(F::one(), &input, &encoder.t(), F::zero(), &mut products)?;
                selection.select_products(serial, &mut blocks, products.as_slice().expect(slice), centred);
            }
        }
        if keep.is_some() {
            all.append(&mut blocks);
        } else {
            push_codes(&blocks, &mut codes)?;
        }
    }
    if let Some(keep) = keep {
        batch::keep_largest(&mut all, &constants.norms, keep, &mut Vec::new());
        push_codes(&all, &mut codes)?;
    }
    Ok(codes)
}

/// Appends the codes that are not zero.
fn push_codes<F: Float>(blocks: &[CodeBlock<F>], codes: &mut SparseRows<F>) -> Result<(), SaeError> {
    let (mut columns, mut values): (Vec<u32>, Vec<F>) = Default::default();
    for block in blocks {
        let mut from = 0;
        for &end in &block.ends {
            columns.clear();
            values.clear();
            for entry in block.entries[from..end as usize].iter().filter(|entry| entry.code != F::zero()) {
                columns.push(entry.latent);
                values.push(entry.code);
            }
            codes.push_row(&columns, &values)?;
            from = end as usize;
        }
    }
    Ok(())
}
