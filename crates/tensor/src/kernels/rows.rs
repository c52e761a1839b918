//! Row kernels: written once over fixed lanes, compiled at every CPU level.
//!
//! They use no fused multiply-add, and sums run over a fixed number of lanes in a fixed order. So these kernels give the
//! same bits at every level.

use super::lanes::fold;
use crate::leveled;

/// The number of partial sums of a reduction.
const LANES: usize = 16;

macro_rules! rows {
    ($f:ident, $exp:path) => {
        pub(crate) mod $f {
            use super::*;

            #[inline(always)]
            fn lanes(x: &[$f], term: impl Fn($f) -> $f) -> $f {
                let mut sums = [0.0; LANES];
                let chunks = x.chunks_exact(LANES);
                let tail = chunks.remainder();
                for chunk in chunks {
                    for i in 0..LANES {
                        sums[i] += term(chunk[i]);
                    }
                }
                for (i, &v) in tail.iter().enumerate() {
                    sums[i] += term(v);
                }
                fold(sums)
            }

            /// Returns the largest entry. NaN entries are skipped: they reach the row through the sum.
            #[inline(always)]
            fn maximum(x: &[$f]) -> $f {
                let mut best = [$f::NEG_INFINITY; LANES];
                let chunks = x.chunks_exact(LANES);
                let tail = chunks.remainder();
                for chunk in chunks {
                    for i in 0..LANES {
                        best[i] = if chunk[i] > best[i] { chunk[i] } else { best[i] };
                    }
                }
                for (i, &v) in tail.iter().enumerate() {
                    best[i] = if v > best[i] { v } else { best[i] };
                }
                best.iter().fold($f::NEG_INFINITY, |m, &v| if v > m { v } else { m })
            }

            #[inline(always)]
            fn any_nan(x: &[$f]) -> bool {
                x.iter().any(|v| v.is_nan())
            }

            /// Returns the number by which a row and √ε are divided before their squares are taken, if `square`, the mean square plus
            /// ε, has overflowed or has lost digits. Returns nothing for every other row, and for a row with NaN or infinity.
            #[inline(always)]
            fn divisor(x: &[$f], square: $f, epsilon: $f) -> Option<$f> {
                if square > $f::MIN_POSITIVE / $f::EPSILON && square < $f::INFINITY {
                    return None;
                }
                // A NaN, once reached, remains the largest.
                let larger = |top: $f, v: &$f| if v.abs() > top || v.is_nan() { v.abs() } else { top };
                let top = x.iter().fold(epsilon.sqrt(), larger);
                (top > 0.0 && top < $f::INFINITY).then_some(top)
            }

            leveled! {
                pub(crate) fn exp(x: &mut [$f]) {
                    for v in x {
                        *v = $exp(*v);
                    }
                }
                pub(crate) fn softmax(row: &mut [$f]) {
                    let top = maximum(row);
                    if top == $f::NEG_INFINITY {
                        // All entries are masked (zeros), or there are only NaN and masked entries (NaN).
                        let value = if any_nan(row) { $f::NAN } else { 0.0 };
                        row.fill(value);
                        return;
                    }
                    for v in row.iter_mut() {
                        *v = $exp(*v - top);
                    }
                    let scale = 1.0 / lanes(row, |v| v);
                    for v in row {
                        *v *= scale;
                    }
                }
                pub(crate) fn log_sum_exp(row: &[$f]) -> $f {
                    let top = maximum(row);
                    if top.is_infinite() {
                        // Infinity minus infinity has no value, but the limit is the largest entry.
                        return if any_nan(row) { $f::NAN } else { top };
                    }
                    top + lanes(row, |v| $exp(v - top)).ln()
                }
                pub(crate) fn silu(x: &mut [$f]) {
                    for v in x {
                        *v /= 1.0 + $exp(-*v);
                    }
                }
                pub(crate) fn silu_times(gate: &[$f], up: &[$f], out: &mut [$f]) {
                    let n = out.len();
                    let (gate, up) = (&gate[..n], &up[..n]);
                    for i in 0..n {
                        out[i] = gate[i] / (1.0 + $exp(-gate[i])) * up[i];
                    }
                }
                pub(crate) fn gelu_tanh(x: &mut [$f]) {
                    // x·½(1 + tanh u) = x·σ(2u), u = √(2/π)(x + 0.044715 x³)
                    const TWICE: $f = 1.595_769_121_605_730_8_f64 as $f;
                    for v in x {
                        let u = TWICE * (*v + 0.044_715 * *v * *v * *v);
                        *v /= 1.0 + $exp(-u);
                    }
                }
                pub(crate) fn rms_norm(x: &[$f], gain: &[$f], epsilon: $f, out: &mut [$f]) {
                    let n = x.len();
                    let (gain, out) = (&gain[..n], &mut out[..n]);
                    let square = lanes(x, |v| v * v) / n as $f + epsilon;
                    let Some(by) = divisor(x, square, epsilon) else {
                        let scale = 1.0 / square.sqrt();
                        for i in 0..n {
                            out[i] = x[i] * scale * gain[i];
                        }
                        return;
                    };
                    let least = epsilon.sqrt() / by;
                    let root = (lanes(x, |v| (v / by) * (v / by)) / n as $f + least * least).sqrt();
                    for i in 0..n {
                        out[i] = x[i] / by / root * gain[i];
                    }
                }
                pub(crate) fn layer_norm(x: &[$f], gain: &[$f], bias: &[$f], epsilon: $f, out: &mut [$f]) {
                    let n = x.len();
                    let (gain, bias, out) = (&gain[..n], &bias[..n], &mut out[..n]);
                    let mean = lanes(x, |v| v) / n as $f;
                    let square = lanes(x, |v| (v - mean) * (v - mean)) / n as $f + epsilon;
                    let Some(by) = divisor(x, square, epsilon) else {
                        let scale = 1.0 / square.sqrt();
                        for i in 0..n {
                            out[i] = (x[i] - mean) * scale * gain[i] + bias[i];
                        }
                        return;
                    };
                    let (mean, least) = (lanes(x, |v| v / by) / n as $f, epsilon.sqrt() / by);
                    let variance = lanes(x, |v| (v / by - mean) * (v / by - mean)) / n as $f;
                    // A least root whose square underflows is still the root of a constant row.
                    let root = (variance + least * least).sqrt().max(least);
                    for i in 0..n {
                        out[i] = (x[i] / by - mean) / root * gain[i] + bias[i];
                    }
                }
                pub(crate) fn dot(a: &[$f], b: &[$f]) -> $f {
                    let n = a.len();
                    let b = &b[..n];
                    let mut sums = [0.0; LANES];
                    let whole = n - n % LANES;
                    let mut at = 0;
                    while at < whole {
                        for i in 0..LANES {
                            sums[i] += a[at + i] * b[at + i];
                        }
                        at += LANES;
                    }
                    for i in 0..n - whole {
                        sums[i] += a[whole + i] * b[whole + i];
                    }
                    fold(sums)
                }
                /// Returns the inner products of one slice with four others. Each sum runs in the order of `dot`; four streams from memory
                /// are faster than one.
                pub(crate) fn four_dots(a: &[$f], b: [&[$f]; 4]) -> [$f; 4] {
                    let n = a.len();
                    let b = [&b[0][..n], &b[1][..n], &b[2][..n], &b[3][..n]];
                    let mut sums = [[0.0; LANES]; 4];
                    let whole = n - n % LANES;
                    let mut at = 0;
                    while at < whole {
                        for (sums, b) in sums.iter_mut().zip(b) {
                            for i in 0..LANES {
                                sums[i] += a[at + i] * b[at + i];
                            }
                        }
                        at += LANES;
                    }
                    for (sums, b) in sums.iter_mut().zip(b) {
                        for i in 0..n - whole {
                            sums[i] += a[whole + i] * b[whole + i];
                        }
                    }
                    [fold(sums[0]), fold(sums[1]), fold(sums[2]), fold(sums[3])]
                }
                pub(crate) fn axpy(alpha: $f, x: &[$f], y: &mut [$f]) {
                    let n = x.len();
                    let y = &mut y[..n];
                    for i in 0..n {
                        y[i] += alpha * x[i];
                    }
                }
            }

            /// Replaces each row of a matrix by its softmax.
            pub(crate) fn softmax_rows(rows: &mut [$f], columns: usize) {
                rows.chunks_exact_mut(columns).for_each(softmax);
            }

            pub(crate) fn gelu_erf(x: &mut [$f]) {
                for v in x {
                    let wide = f64::from(*v);
                    *v = (0.5 * wide * (1.0 + libm::erf(wide * std::f64::consts::FRAC_1_SQRT_2))) as $f;
                }
            }
        }
    };
}

rows!(f32, super::exp_f32);
rows!(f64, super::exp_f64);

/// Returns exp(x) within 2 units in the last place; subnormal results included.
///
/// Cody–Waite reduction x = k·ln 2 + r, |r| ≤ ½ ln 2, then a minimax polynomial for eʳ (Moshier, Cephes `expf`).
#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to an integer in the low bits
    // Comparisons that NaN fails leave NaN as it is.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.5 { -104.5 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let k = shifted - MAGIC;
    let r = (x - k * 0.693_359_4) + k * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // 2ᵏ in two factors, since k may lie beyond the exponents of normal numbers.
    let k = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let half = k >> 1;
    let power = |e: i32| f32::from_bits((e.wrapping_add(127) as u32) << 23);
    y * power(half) * power(k.wrapping_sub(half))
}

/// Returns exp(x) within 2 units in the last place; subnormal results included.
#[inline(always)]
fn exp_f64(x: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5·2⁵²
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1; // the upper 32 bits of ln 2
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    let shifted = x * std::f64::consts::LOG2_E + MAGIC;
    let k = shifted - MAGIC;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // Taylor to degree 13: the remainder is below 5·10⁻¹⁸ for |r| ≤ ½ ln 2.
    let p = 1.0 / 6_227_020_800.0;
    let p = p * r + 1.0 / 479_001_600.0;
    let p = p * r + 1.0 / 39_916_800.0;
    let p = p * r + 1.0 / 3_628_800.0;
    let p = p * r + 1.0 / 362_880.0;
    let p = p * r + 1.0 / 40_320.0;
    let p = p * r + 1.0 / 5_040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let k = (shifted.to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64);
    let half = k >> 1;
    let power = |e: i64| f64::from_bits((e.wrapping_add(1023) as u64) << 52);
    y * power(half) * power(k.wrapping_sub(half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_the_whole_range() {
        let mut worst = 0.0_f64;
        for i in -104_000..=88_700 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            let unit = (f64::from(f32::EPSILON) * exact).max(f64::from(f32::from_bits(1)));
            worst = worst.max((f64::from(exp_f32(x)) - exact).abs() / unit);
        }
        assert!(worst < 2.0, "f32: {worst} units");
        let mut worst = 0.0_f64;
        for i in -74_500..=70_900 {
            let x = i as f64 * 1e-2;
            let exact = x.exp();
            let unit = (f64::EPSILON * exact).max(f64::from_bits(1));
            worst = worst.max((exp_f64(x) - exact).abs() / unit);
        }
        assert!(worst < 2.0, "f64: {worst} units");
    }

    #[test]
    fn exp_at_the_edges() {
        for (x, y) in
            [(0.0, 1.0), (f32::NEG_INFINITY, 0.0), (f32::INFINITY, f32::INFINITY), (1e30, f32::INFINITY)]
        {
            assert_eq!(exp_f32(x), y);
            assert_eq!(exp_f64(f64::from(x)), f64::from(y));
        }
        assert!(exp_f32(f32::NAN).is_nan() && exp_f64(f64::NAN).is_nan());
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        // The dispatched kernel against the plain loop compiled for the portable level.
        let x: Vec<f32> = (0..1003).map(|i| ((i * 37) % 101) as f32 * 0.17 - 8.0).collect();
        let plain: Vec<u32> = x.iter().map(|&v| exp_f32(v).to_bits()).collect();
        let mut y = x.clone();
        self::f32::exp(&mut y);
        assert_eq!(y.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), plain);
    }
}
