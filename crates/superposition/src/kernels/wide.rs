//! The gradient of a model with many hidden dimensions: lanes over features, tiles of samples that stay in the cache.
//!
//! An output error is first computed as if the sample were zero, and then corrected where a feature is on. Two of the five
//! products have the sparse input as a factor; the other three are dense.

use super::lanes::{LANES, Lanes, floor};
use super::uniforms::Uniforms;
use collimate_tensor::kernel_parts::lanes::{add_scaled, multiply_add};

/// The number of samples in a tile.
pub(crate) const TILE: usize = 64;
/// The number of values that are computed at once along the hidden dimensions, which are fewer than the features.
pub(crate) const HALF: usize = 8;

/// The sizes of a model. `features` and `hidden` are padded to whole vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) features: usize,
    pub(crate) hidden: usize,
    /// The number of hidden dimensions without padding.
    pub(crate) rows: usize,
}

/// The model in the layouts that the products need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// The weights `[rows, features]`.
    pub(crate) weights: Vec<f32>,
    /// The transposed weights `[features, hidden]`.
    pub(crate) transposed: Vec<f32>,
    /// The transposed weights `[features, hidden]`, each feature times twice its share.
    pub(crate) weighted: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// The importance of each feature divided by the batch size.
    pub(crate) share: Vec<f32>,
}

/// The features that are on in a tile of samples, sample by sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Active {
    pub(crate) ends: Vec<u32>,
    pub(crate) index: Vec<u32>,
    pub(crate) value: Vec<f32>,
}

/// The working memory of one tile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// The hidden states `[TILE, hidden]`.
    pub(crate) code: Vec<f32>,
    /// The output errors `[TILE, features]`.
    pub(crate) error: Vec<f32>,
    /// The gradients of the hidden states `[TILE, hidden]`.
    pub(crate) back: Vec<f32>,
}

/// Sums over samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// The hidden states times the errors `[rows, features]`, to be multiplied by twice the share.
    pub(crate) decoder: Vec<f32>,
    /// The gradient of the weights as encoder `[features, hidden]`.
    pub(crate) encoder: Vec<f32>,
    /// The sums of the errors, to be multiplied by twice the share.
    pub(crate) bias: Vec<f32>,
    /// The sums of the squared errors, to be multiplied by the share.
    pub(crate) squares: Vec<f32>,
    /// The part of the loss from features that are on while their outputs are off.
    pub(crate) missed: f64,
}

/// Writes the values below 1 with their indices to the front of `index` and `value`, and returns their number.
#[inline(always)]
fn keep(start: u32, scaled: &Lanes, index: &mut [u32], value: &mut [f32]) -> usize {
    let mut count = 0;
    for l in 0..LANES {
        index[count] = start + l as u32;
        value[count] = scaled[l];
        count += usize::from(scaled[l] < 1.0);
    }
    count
}

/// Compresses like [`keep`], with the AVX-512 instruction for this task.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn compress(start: u32, scaled: &Lanes, index: &mut [u32], value: &mut [f32]) -> usize {
    use std::arch::x86_64::*;
    assert!(index.len() >= LANES && value.len() >= LANES);
    // SAFETY: called only where AVX-512 was detected; the slices hold sixteen numbers each.
    unsafe {
        let x = _mm512_loadu_ps(scaled.as_ptr());
        let on = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_set1_ps(1.0));
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let i = _mm512_add_epi32(lanes, _mm512_set1_epi32(start as i32));
        _mm512_storeu_ps(value.as_mut_ptr(), _mm512_maskz_compress_ps(on, x));
        _mm512_storeu_si512(index.as_mut_ptr().cast(), _mm512_maskz_compress_epi32(on, i));
        on.count_ones() as usize
    }
}

/// Stands in for the AVX-512 version on other architectures, where it is never called.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn compress(start: u32, scaled: &Lanes, index: &mut [u32], value: &mut [f32]) -> usize {
    keep(start, scaled, index, value)
}

impl Active {
    /// Removes all samples.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.index.clear();
        self.value.clear();
    }

    /// Adds a sample.
    pub(crate) fn push(&mut self, row: &[f64]) {
        for (i, &x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            self.index.push(i as u32);
            self.value.push(x as f32);
        }
        self.ends.push(self.index.len() as u32);
    }
}

collimate_tensor::leveled! {
    [COMPRESS: bool = true, false, false]

    /// Draws `samples` samples of features that are on with probability `on` and then uniform.
    pub(crate) fn draw(on: &[f32], features: usize, samples: usize, generator: &mut Uniforms, active: &mut Active) {
        let room = samples * features + LANES;
        active.index.resize(room, 0);
        active.value.resize(room, 0.0);
        active.ends.clear();
        let mut count = 0usize;
        for _ in 0..samples {
            for start in (0..features).step_by(LANES) {
                let u = generator.next();
                let mut scaled = [0.0; LANES];
                for l in 0..LANES {
                    // A padding feature has probability 0, hence u/p is infinite or NaN.
                    scaled[l] = u[l] / on[start + l];
                }
                let index = &mut active.index[count..count + LANES];
                let value = &mut active.value[count..count + LANES];
                count += if COMPRESS {
                    compress(start as u32, &scaled, index, value)
                } else {
                    keep(start as u32, &scaled, index, value)
                };
            }
            active.ends.push(count as u32);
        }
    }
}

/// Returns `start[r][·] + Σ_s a(r, s) b[s][·]` for a block of `R` rows and `C` vectors.
#[inline(always)]
fn block<const FUSED: bool, const R: usize, const C: usize>(
    a: &[f32],
    a_row: usize,
    a_step: usize,
    steps: usize,
    b: &[f32],
    b_stride: usize,
    start: &[[Lanes; C]; R],
) -> [[Lanes; C]; R] {
    let mut sums = *start;
    let a = &a[..(R - 1) * a_row + (steps.max(1) - 1) * a_step + 1];
    for s in 0..steps {
        let mut row = [[0.0; LANES]; C];
        for c in 0..C {
            row[c].copy_from_slice(&b[s * b_stride + c * LANES..s * b_stride + (c + 1) * LANES]);
        }
        for r in 0..R {
            let factor = a[r * a_row + s * a_step];
            for c in 0..C {
                add_scaled::<FUSED, f32, LANES>(factor, &row[c], &mut sums[r][c]);
            }
        }
    }
    sums
}

#[inline(always)]
fn outputs<const FUSED: bool, const R: usize, const C: usize>(
    sizes: Sizes,
    model: &Model,
    floor: f32,
    code: &[f32],
    column: usize,
    error: &mut [f32],
) {
    let mut start = [[[0.0; LANES]; C]; R];
    for c in 0..C {
        let from = column + c * LANES;
        for r in 0..R {
            start[r][c].copy_from_slice(&model.bias[from..from + LANES]);
        }
    }
    let sums = block::<FUSED, R, C>(
        code,
        sizes.hidden,
        1,
        sizes.rows,
        &model.weights[column..],
        sizes.features,
        &start,
    );
    for r in 0..R {
        for c in 0..C {
            let from = r * sizes.features + column + c * LANES;
            let to = &mut error[from..from + LANES];
            for l in 0..LANES {
                let z = sums[r][c][l];
                to[l] = if z <= floor { 0.0 } else { z };
            }
        }
    }
}

#[inline(always)]
fn decoder<const FUSED: bool, const R: usize, const C: usize>(
    sizes: Sizes,
    samples: usize,
    code: &[f32],
    error: &[f32],
    row: usize,
    column: usize,
    out: &mut [f32],
) {
    let mut start = [[[0.0; LANES]; C]; R];
    for r in 0..R {
        for c in 0..C {
            let from = (row + r) * sizes.features + column + c * LANES;
            start[r][c].copy_from_slice(&out[from..from + LANES]);
        }
    }
    let sums = block::<FUSED, R, C>(
        &code[row..],
        1,
        sizes.hidden,
        samples,
        &error[column..],
        sizes.features,
        &start,
    );
    for r in 0..R {
        for c in 0..C {
            let from = (row + r) * sizes.features + column + c * LANES;
            out[from..from + LANES].copy_from_slice(&sums[r][c]);
        }
    }
}

/// Runs `$call` for blocks of at most `$most` vectors, from left to right.
macro_rules! columns {
    ($width:expr, $most:expr, $column:ident, $c:ident => $call:expr) => {{
        let mut $column = 0;
        while $column < $width {
            let left = (($width - $column) / LANES).min($most);
            // Blocks wider than the level allows are not compiled.
            match left {
                5 if const { $most >= 5 } => {
                    const $c: usize = 5;
                    $call
                }
                4 if const { $most >= 4 } => {
                    const $c: usize = 4;
                    $call
                }
                3 if const { $most >= 3 } => {
                    const $c: usize = 3;
                    $call
                }
                2 => {
                    const $c: usize = 2;
                    $call
                }
                _ => {
                    const $c: usize = 1;
                    $call
                }
            }
            $column += left * LANES;
        }
    }};
}

/// Computes the hidden states of `samples` samples: the sum of the active features' directions times their values.
#[inline(always)]
fn encode<const FUSED: bool, const V: usize>(
    sizes: Sizes,
    from: usize,
    transposed: &[f32],
    active: &Active,
    samples: usize,
    code: &mut [f32],
) {
    let mut at = 0;
    for s in 0..samples {
        let end = active.ends[s] as usize;
        let mut sums = [[[0.0f32; HALF]; V]; 2];
        let (index, value) = (&active.index[at..end], &active.value[at..end]);
        let mut pairs = index.chunks_exact(2).zip(value.chunks_exact(2));
        for (i, x) in &mut pairs {
            for half in 0..2 {
                let row = &transposed[i[half] as usize * sizes.hidden + from..][..V * HALF];
                for v in 0..V {
                    for l in 0..HALF {
                        sums[half][v][l] =
                            multiply_add::<FUSED, f32>(x[half], row[v * HALF + l], sums[half][v][l]);
                    }
                }
            }
        }
        if index.len() % 2 == 1 {
            let row = &transposed[index[index.len() - 1] as usize * sizes.hidden + from..][..V * HALF];
            let x = value[value.len() - 1];
            for v in 0..V {
                for l in 0..HALF {
                    sums[0][v][l] = multiply_add::<FUSED, f32>(x, row[v * HALF + l], sums[0][v][l]);
                }
            }
        }
        let to = &mut code[s * sizes.hidden + from..][..V * HALF];
        for v in 0..V {
            for l in 0..HALF {
                to[v * HALF + l] = sums[0][v][l] + sums[1][v][l];
            }
        }
        at = end;
    }
}

/// Computes the gradients of the hidden states from the errors, for `S` samples.
#[inline(always)]
fn send_back<const FUSED: bool, const S: usize, const V: usize>(
    sizes: Sizes,
    from: usize,
    error: &[f32],
    weighted: &[f32],
    back: &mut [f32],
) {
    let mut sums = [[[0.0f32; HALF]; V]; S];
    let error = &error[..S * sizes.features];
    for i in 0..sizes.features {
        let row = &weighted[i * sizes.hidden + from..][..V * HALF];
        for s in 0..S {
            let e = error[s * sizes.features + i];
            for v in 0..V {
                for l in 0..HALF {
                    sums[s][v][l] = multiply_add::<FUSED, f32>(e, row[v * HALF + l], sums[s][v][l]);
                }
            }
        }
    }
    for s in 0..S {
        for v in 0..V {
            back[s * sizes.hidden + from + v * HALF..][..HALF].copy_from_slice(&sums[s][v]);
        }
    }
}

/// Adds the gradient of the weights as encoder: the values `x_j` times the gradients of the hidden states.
#[inline(always)]
fn encoder<const FUSED: bool, const V: usize>(
    sizes: Sizes,
    from: usize,
    active: &Active,
    samples: usize,
    back: &[f32],
    out: &mut [f32],
) {
    let mut at = 0;
    for s in 0..samples {
        let end = active.ends[s] as usize;
        let mut row = [[0.0f32; HALF]; V];
        for v in 0..V {
            row[v].copy_from_slice(&back[s * sizes.hidden + from + v * HALF..][..HALF]);
        }
        for (&i, &x) in active.index[at..end].iter().zip(&active.value[at..end]) {
            let to = &mut out[i as usize * sizes.hidden + from..][..V * HALF];
            for v in 0..V {
                for l in 0..HALF {
                    to[v * HALF + l] = multiply_add::<FUSED, f32>(x, row[v][l], to[v * HALF + l]);
                }
            }
        }
        at = end;
    }
}

/// Runs `$call` for blocks of at most four half vectors along the hidden dimensions.
macro_rules! halves {
    ($width:expr, $from:ident, $v:ident => $call:expr) => {{
        let mut $from = 0;
        while $from < $width {
            let left = (($width - $from) / HALF).min(4);
            match left {
                4 => {
                    const $v: usize = 4;
                    $call
                }
                3 => {
                    const $v: usize = 3;
                    $call
                }
                2 => {
                    const $v: usize = 2;
                    $call
                }
                _ => {
                    const $v: usize = 1;
                    $call
                }
            }
            $from += left * HALF;
        }
    }};
}

collimate_tensor::leveled! {
    [FUSED: bool = true, true, false; ROWS: usize = 4, 3, 2; COLUMNS: usize = 5, 2, 2]

    /// Adds the loss and the gradient of the samples of a tile.
    pub(crate) fn add_tile(
        sizes: Sizes, model: &Model, relu: bool, active: &Active, samples: usize, work: &mut Work, sums: &mut Sums,
    ) {
        let Sizes { features, hidden, rows } = sizes;
        let Work { code, error, back } = work;
        let floor = floor(relu);
        halves!(hidden, from, V => encode::<FUSED, V>(sizes, from, &model.transposed, active, samples, code));
        let mut s = 0;
        while s < samples {
            if s + ROWS <= samples {
                columns!(features, COLUMNS, column, C => outputs::<FUSED, ROWS, C>(sizes, model, floor, &code[s * hidden..], column, &mut error[s * features..]));
                s += ROWS;
            } else {
                columns!(features, COLUMNS, column, C => outputs::<FUSED, 1, C>(sizes, model, floor, &code[s * hidden..], column, &mut error[s * features..]));
                s += 1;
            }
        }
        let mut at = 0;
        for s in 0..samples {
            let end = active.ends[s] as usize;
            let row = &mut error[s * features..(s + 1) * features];
            let mut missed = [0.0_f32; 2];
            for (&i, &x) in active.index[at..end].iter().zip(&active.value[at..end]) {
                // Without a branch, since the processor cannot predict which outputs are on.
                let i = i as usize;
                let on = f32::from(u8::from(!relu | (row[i] > 0.0)));
                row[i] -= on * x;
                missed[1] = multiply_add::<FUSED, f32>((1.0 - on) * x, model.share[i] * x, missed[1]);
                missed.swap(0, 1);
            }
            sums.missed += f64::from(missed[0] + missed[1]);
            at = end;
        }
        for s in 0..samples {
            let row = &error[s * features..(s + 1) * features];
            let (bias, squares) = (&mut sums.bias[..features], &mut sums.squares[..features]);
            for i in 0..features {
                bias[i] += row[i];
                squares[i] = multiply_add::<FUSED, f32>(row[i], row[i], squares[i]);
            }
        }
        let mut s = 0;
        while s < samples {
            if s + 4 <= samples {
                halves!(hidden, from, V => send_back::<FUSED, 4, V>(sizes, from, &error[s * features..], &model.weighted, &mut back[s * hidden..]));
                s += 4;
            } else {
                halves!(hidden, from, V => send_back::<FUSED, 1, V>(sizes, from, &error[s * features..], &model.weighted, &mut back[s * hidden..]));
                s += 1;
            }
        }
        let mut row = 0;
        while row < rows {
            if row + ROWS <= rows {
                columns!(features, COLUMNS, column, C => decoder::<FUSED, ROWS, C>(sizes, samples, code, error, row, column, &mut sums.decoder));
                row += ROWS;
            } else {
                columns!(features, COLUMNS, column, C => decoder::<FUSED, 1, C>(sizes, samples, code, error, row, column, &mut sums.decoder));
                row += 1;
            }
        }
        halves!(hidden, from, V => encoder::<FUSED, V>(sizes, from, active, samples, back, &mut sums.encoder));
    }
}
