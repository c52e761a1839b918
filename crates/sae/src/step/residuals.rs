//! The third pass: the residuals of every row, and the gradients with respect to every active code.

use crate::float::Float;
use crate::members::levels::Levels;
use crate::members::rule::{Contribution, Share};
use crate::step::code_block::{CodeBlock, Codes};
use crate::step::inputs::resize;
use crate::step::settings::{ROW_BLOCK, each};
use crate::step::task::Task;
use crate::weights::Weights;
use collimate_tensor::{Scalar, dot, sum_of_squares};
use ndarray::Array2;

/// Sums over the rows of one block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowSums {
    pub(crate) residual2: f64,
    pub(crate) aux2: f64,
    pub(crate) revive2: f64,
    pub(crate) inner: f64,
    pub(crate) extra: f64,
    pub(crate) active: u64,
    pub(crate) input2: f64,
    pub(crate) input_residual: f64,
}

/// The gradient of one dead latent in one row, without the factor of the auxiliary loss.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeadShare<F> {
    pub(crate) latent: u32,
    /// The code.
    pub(crate) code: F,
    /// ∂(squared error)/∂(code).
    pub(crate) d_code: F,
    /// The factor of the latent's group.
    pub(crate) factor: F,
}

impl<F: Scalar> DeadShare<F> {
    /// Returns the share with the factor `scale` of the auxiliary loss.
    pub(crate) fn scaled(&self, scale: F) -> Share<F> {
        let factor = self.factor * scale;
        let encoder = self.d_code * factor;
        let amounts = Contribution {
            encoder,
            decoder: (self.code + self.code) * factor,
            per_latent: [encoder, F::zero(), F::zero()],
            ..Contribution::default()
        };
        Share { latent: self.latent, active: false, amounts, norm_pull: F::zero() }
    }
}

/// The results for one block of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResidualBlock<F> {
    /// The shares of the dead entries of [`CodeBlock`], in the same order.
    pub(crate) dead: Vec<DeadShare<F>>,
    pub(crate) sums: RowSums,
    /// The sum of the residuals.
    pub(crate) first_sum: Vec<F>,
    /// The sum of the residuals of the second decode, or of all levels with their weights.
    pub(crate) second_sum: Vec<F>,
    scratch: Scratch<F>,
}

#[derive(Clone, Debug, Default)]
struct Scratch<F> {
    latents: Vec<u32>,
    codes: Vec<F>,
    gates: Vec<F>,
    dots: Vec<F>,
    dots_aux: Vec<F>,
}

/// The residuals of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Residuals<F: Scalar> {
    /// x̂ − y `[b, d]`.
    pub(crate) first: Array2<F>,
    /// The residuals of the second decode `[b, d]`; no rows without one.
    pub(crate) second: Array2<F>,
    /// The residuals after the dead latents, group by group.
    revived: Array2<F>,
    /// The suffix sums of the weighted residuals of nested levels, level by level.
    suffix: Array2<F>,
    pub(crate) blocks: Vec<ResidualBlock<F>>,
    /// The factor of the auxiliary loss: α over the variance of the residual, or another scale.
    pub(crate) aux_scale: F,
}

impl<F: Float> Residuals<F> {
    /// Sets the shapes for a batch of rows of width `d`.
    pub(crate) fn resize(&mut self, task: &Task<'_, F>, d: usize) {
        let only_if = |wanted: bool, rows: usize| if wanted { (rows, d) } else { (0, d) };
        resize(&mut self.first, (task.rows, d));
        resize(&mut self.second, only_if(task.member.second.is_some(), task.rows));
        let groups = task.member.group_ends(task.n_latents).len();
        resize(&mut self.revived, only_if(task.revives(), groups * task.rows));
        let levels = task.member.levels.map_or(0, |levels| levels.len());
        resize(&mut self.suffix, only_if(levels > 0, levels * task.rows));
        self.blocks.resize_with(task.rows.div_ceil(ROW_BLOCK), ResidualBlock::default);
    }

    /// Returns the residuals that train a latent of nested level `level`, or of a dictionary without levels.
    pub(crate) fn of_level(&self, level: Option<usize>) -> &[F] {
        let slice = "standard layout";
        match level {
            None => self.first.as_slice().expect(slice),
            Some(level) => {
                let size = self.first.len();
                &self.suffix.as_slice().expect(slice)[level * size..][..size]
            }
        }
    }

    /// Returns the residuals that the dead latents of a group leave.
    pub(crate) fn of_group(&self, group: usize) -> &[F] {
        let size = self.first.len();
        &self.revived.as_slice().expect("standard layout")[group * size..][..size]
    }

    /// Returns the sums over all rows.
    pub(crate) fn sums(&self) -> RowSums {
        let mut sums = RowSums::default();
        for block in &self.blocks {
            sums.residual2 += block.sums.residual2;
            sums.aux2 += block.sums.aux2;
            sums.revive2 += block.sums.revive2;
            sums.inner += block.sums.inner;
            sums.extra += block.sums.extra;
            sums.active += block.sums.active;
            sums.input2 += block.sums.input2;
            sums.input_residual += block.sums.input_residual;
        }
        sums
    }
}

/// The inputs that all rows share.
struct Decoder<'a, F: Float> {
    task: &'a Task<'a, F>,
    rows: &'a [F],
    bias: &'a [F],
    levels: Option<Levels>,
    /// The latents at which the groups of dead latents end.
    ends: Vec<u32>,
    /// The factor on the auxiliary loss of each group; one if a factor for all groups is used instead.
    factors: Vec<f64>,
}

/// One block of rows: its codes, and the places for its residuals.
struct Block<'a, F> {
    codes: &'a mut CodeBlock<F>,
    /// The derivatives of the penalties of the rows.
    slopes: &'a [F],
    target: &'a [F],
    first: &'a mut [F],
    second: &'a mut [F],
    revived: Vec<&'a mut [F]>,
    suffix: Vec<&'a mut [F]>,
    out: &'a mut ResidualBlock<F>,
}

/// Computes all decodes and the residuals, and completes all entries.
///
/// `codes.penalties` holds the derivatives of the penalties of the rows.
pub(crate) fn decode<F: Float>(
    task: &Task<'_, F>,
    weights: &Weights<F>,
    target: &[F],
    codes: &mut Codes<F>,
    residuals: &mut Residuals<F>,
) {
    let slice = "standard layout";
    let d = weights.w_dec.ncols();
    let decoder = Decoder::new(task, weights);
    let run = ROW_BLOCK * d;
    let all = task.rows * d;
    let mut second = residuals.second.as_slice_mut().expect(slice).chunks_mut(run);
    let mut revived: Vec<_> = residuals
        .revived
        .as_slice_mut()
        .expect(slice)
        .chunks_mut(all)
        .map(|plane| plane.chunks_mut(run))
        .collect();
    let mut suffix: Vec<_> = residuals
        .suffix
        .as_slice_mut()
        .expect(slice)
        .chunks_mut(all)
        .map(|plane| plane.chunks_mut(run))
        .collect();
    let first = residuals.first.as_slice_mut().expect(slice).chunks_mut(run);
    let rows = codes.blocks.iter_mut().zip(codes.penalties.chunks(ROW_BLOCK)).zip(target.chunks(run));
    let mut blocks: Vec<_> = rows
        .zip(first.zip(&mut residuals.blocks))
        .map(|(((codes, slopes), target), (first, out))| Block {
            codes,
            slopes,
            target,
            first,
            second: second.next().unwrap_or_default(),
            revived: revived.iter_mut().map(|plane| plane.next().unwrap_or_default()).collect(),
            suffix: suffix.iter_mut().map(|plane| plane.next().unwrap_or_default()).collect(),
            out,
        })
        .collect();
    each(task.serial, &mut blocks, |_, block| decoder.block(block));
}

impl<'a, F: Float> Decoder<'a, F> {
    fn new(task: &'a Task<'a, F>, weights: &'a Weights<F>) -> Self {
        let ends = task.member.group_ends(task.n_latents);
        let mut before = 0;
        let factors = ends
            .iter()
            .map(|&end| {
                let dead = task.settings.dead.partition_point(|&i| i < end);
                let of_group = (dead - std::mem::replace(&mut before, dead)) as f64;
                task.member.aux.map_or(1.0, |aux| aux.scale.of_group(of_group, aux.k))
            })
            .collect();
        Self {
            task,
            rows: weights.w_dec.as_slice().expect("standard layout"),
            bias: weights.b_dec.as_slice().expect("contiguous"),
            levels: task.member.levels,
            ends,
            factors,
        }
    }

    fn block(&self, block: &mut Block<'_, F>) {
        let d = self.bias.len();
        block.out.sums = RowSums::default();
        block.out.dead.clear();
        let mut from = 0;
        for r in 0..block.target.len() / d {
            let entries = from..block.codes.ends[r] as usize;
            from = entries.end;
            self.row(block, r, entries);
            if self.task.revives() {
                self.revive(block, r);
            }
        }
        let Block { first, second, suffix, out, .. } = block;
        column_sum(first, d, &mut out.first_sum);
        column_sum(suffix.first().map_or(&**second, |suffix| suffix), d, &mut out.second_sum);
    }

    /// Decodes row `r`, and takes the products of its decoder rows with its residuals.
    fn row(&self, block: &mut Block<'_, F>, r: usize, range: std::ops::Range<usize>) {
        let d = self.bias.len();
        let row = r * d..(r + 1) * d;
        let Block { codes, slopes, target, first, second, revived, suffix, out } = block;
        let ResidualBlock { sums, scratch, .. } = &mut **out;
        let Scratch { latents, codes: amounts, gates, dots, dots_aux } = scratch;
        let entries = &mut codes.entries[range];
        let (residual, y) = (&mut first[row.clone()], &target[row.clone()]);
        for i in 0..d {
            residual[i] = self.bias[i] - y[i];
        }
        latents.clear();
        latents.extend(entries.iter().map(|entry| entry.latent));
        amounts.clear();
        amounts.extend(entries.iter().map(|entry| entry.code));
        let (rule, constants) = (self.task.rule, self.task.constants);
        let factors = self.task.factors(slopes[r]);
        match self.levels {
            None if factors.two => {
                let second = &mut second[row];
                second.copy_from_slice(residual);
                gates.clear();
                gates.extend(entries.iter().map(|entry| entry.gate));
                F::combine_twice(latents, [amounts, gates], self.rows, [&mut *residual, &mut *second]);
                sums.aux2 += sum_of_squares(second).to_f64();
                F::dots(latents, self.rows, [&*residual, second], [&mut *dots, &mut *dots_aux]);
                rule.complete(constants, factors, entries, [dots, dots_aux], &mut sums.extra);
            }
            None => {
                F::combine(latents, amounts, self.rows, residual);
                F::dots(latents, self.rows, [&*residual], [&mut *dots]);
                rule.complete(constants, factors, entries, [dots, &[]], &mut sums.extra);
            }
            Some(levels) => {
                let by_level = revived.len() > 1 && self.task.revives();
                let arguments = LevelRow {
                    latents,
                    codes: amounts,
                    residual: &mut *residual,
                    range: row.clone(),
                    revived: if by_level { &mut revived[..] } else { &mut [] },
                    suffix: &mut suffix[..],
                };
                self.decode_levels(&levels, arguments, &mut sums.inner);
                let mut start = 0;
                for (level, &width) in levels.widths().iter().enumerate() {
                    let stop = start + latents[start..].partition_point(|&i| i < width);
                    F::dots(&latents[start..stop], self.rows, [&suffix[level][row.clone()]], [&mut *dots]);
                    let entries = &mut entries[start..stop];
                    rule.complete(constants, factors, entries, [dots, &[]], &mut sums.extra);
                    start = stop;
                }
            }
        }
        sums.active += entries.iter().filter(|entry| entry.code != F::zero()).count() as u64;
        sums.residual2 += sum_of_squares(residual).to_f64();
        sums.input2 += sum_of_squares(y).to_f64();
        sums.input_residual += dot(y, residual).to_f64();
    }

    /// Decodes the nested levels of a row one after another, and leaves their weighted suffix sums in `suffix`.
    ///
    /// The residual of each level is copied to `revived`, if that has planes. Adds the weighted squared errors of the inner
    /// levels to `inner`.
    fn decode_levels(&self, levels: &Levels, row: LevelRow<'_, '_, F>, inner: &mut f64) {
        let LevelRow { latents, codes, residual, range, revived, suffix } = row;
        let mut start = 0;
        for (level, &width) in levels.widths().iter().enumerate() {
            let stop = start + latents[start..].partition_point(|&i| i < width);
            F::combine(&latents[start..stop], &codes[start..stop], self.rows, residual);
            start = stop;
            if let Some(plane) = revived.get_mut(level) {
                plane[range.clone()].copy_from_slice(residual);
            }
            let weight = levels.weights()[level];
            let factor = F::from_f64(weight);
            let to = &mut suffix[level][range.clone()];
            to.iter_mut().zip(&*residual).for_each(|(to, &e)| *to = factor * e);
            if level + 1 < levels.len() {
                *inner += weight * sum_of_squares(residual).to_f64();
            }
        }
        for level in (1..levels.len()).rev() {
            let (before, after) = suffix.split_at_mut(level);
            let to = &mut before[level - 1][range.clone()];
            to.iter_mut().zip(&after[0][range.clone()]).for_each(|(to, &s)| *to += s);
        }
    }

    /// Lets the dead latents of row `r` model its residual, group by group.
    fn revive(&self, block: &mut Block<'_, F>, r: usize) {
        let d = self.bias.len();
        let row = r * d..(r + 1) * d;
        let Block { codes, first, revived, out, .. } = block;
        let ResidualBlock { dead, sums, scratch, .. } = &mut **out;
        let Scratch { latents, codes: amounts, dots, .. } = scratch;
        let mut left = &codes.dead_entries[dead.len()..codes.dead_ends[r] as usize];
        let by_level = revived.len() > 1;
        for ((plane, &end), &factor) in revived.iter_mut().zip(&self.ends).zip(&self.factors) {
            let (entries, rest) = left.split_at(left.partition_point(|entry| entry.latent < end));
            left = rest;
            let residual = &mut plane[row.clone()];
            if !by_level {
                residual.copy_from_slice(&first[row.clone()]);
            }
            latents.clear();
            latents.extend(entries.iter().map(|entry| entry.latent));
            amounts.clear();
            amounts.extend(entries.iter().map(|entry| entry.code));
            F::combine(latents, amounts, self.rows, residual);
            F::dots(latents, self.rows, [&*residual], [&mut *dots]);
            dead.extend(entries.iter().zip(&*dots).map(|(entry, &dot)| DeadShare {
                latent: entry.latent,
                code: entry.code,
                d_code: dot + dot,
                factor: F::from_f64(factor),
            }));
            sums.revive2 += factor * sum_of_squares(residual).to_f64();
        }
    }
}

/// The arguments of [`Decoder::decode_levels`].
struct LevelRow<'a, 'b, F> {
    latents: &'a [u32],
    codes: &'a [F],
    residual: &'a mut [F],
    /// The place of the row in a plane.
    range: std::ops::Range<usize>,
    revived: &'a mut [&'b mut [F]],
    suffix: &'a mut [&'b mut [F]],
}

/// Computes the sums of the columns of a row-major run.
pub(crate) fn column_sum<F: Scalar>(rows: &[F], d: usize, out: &mut Vec<F>) {
    out.clear();
    out.resize(d, F::zero());
    for row in rows.chunks(d) {
        out.iter_mut().zip(row).for_each(|(sum, &v)| *sum += v);
    }
}
