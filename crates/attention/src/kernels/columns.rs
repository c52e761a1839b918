//! Loops down the columns of a tile: written once over a fixed number of lanes and compiled at every level.

use collimate_tensor::kernel_parts::lanes::multiply_add;
use collimate_tensor::leveled;

macro_rules! columns {
    ($f:ident, $bits:ident, $wide:literal, $narrow:literal, magic: $magic:literal, shift: $shift:literal,
     lowest: $lowest:literal, polynomial: $leading:expr, $($coefficient:expr),+) => {
        pub(crate) mod $f {
            use super::*;

            /// Returns 2ˣ for x ≤ 1 or NaN, within 2 units in the last place. Results below the normal numbers are 0.
            #[inline(always)]
            fn exp2<const FMA: bool>(x: $f) -> $f {
                // A comparison that NaN fails leaves NaN as it is.
                let x = if x < $lowest { $lowest } else { x };
                // Adding the number rounds to an integer and leaves it, biased, in the low bits of the sum.
                let shifted = x + $magic;
                let r = x - (shifted - $magic);
                let mut p: $f = $leading;
                $(p = multiply_add::<FMA, $f>(p, r, $coefficient);)+
                p * $f::from_bits(shifted.to_bits() << $shift)
            }

            /// Returns tanh(x/2) for x in units of log 2: (2ˣ − 1)/(2ˣ + 1), with 2ˣ − 1 from a polynomial that is exact at 0.
            #[inline(always)]
            fn tanh_of_half<const FMA: bool>(x: $f) -> $f {
                // Beyond, the quotient is 1 to the last place.
                let x = if x < -64.0 { -64.0 } else { x };
                let x = if x > 64.0 { 64.0 } else { x };
                let shifted = x + $magic;
                let r = x - (shifted - $magic);
                // The polynomial of 2ʳ less its last coefficient, 1, without the rounding of the subtraction.
                let power = $f::from_bits(shifted.to_bits() << $shift);
                let mut q: $f = $leading;
                let coefficients: &[$f] = &[$($coefficient),+];
                for &coefficient in &coefficients[..coefficients.len() - 1] {
                    q = multiply_add::<FMA, $f>(q, r, coefficient);
                }
                let less_one = multiply_add::<FMA, $f>(power, q * r, power - 1.0);
                less_one / (less_one + 2.0)
            }

            #[inline(always)]
            fn lanes<const C: usize>(x: &[$f], at: usize) -> [$f; C] {
                x[at..at + C].try_into().expect("a slice of that length")
            }

            leveled! {
                [C: usize = $wide, $narrow, $narrow; FMA: bool = true, true, false]

                /// Performs one step of the online softmax: replaces a tile of scores (in units of log 2) by 2 to the power
                /// of score minus new maximum. `top` is the running maximum and `total` the running sum. `factor` returns
                /// the factor on earlier sums. Masked scores are −∞. NaN reaches the sum.
                pub(crate) fn absorb(tile: &mut [$f], width: usize, top: &mut [$f], total: &mut [$f], factor: &mut [$f]) {
                    let rows = tile.len() / width;
                    for first in (0..width).step_by(C) {
                        let before: [$f; C] = lanes(top, first);
                        // Two chains at once: each maximum waits for the one before it.
                        let mut best = before;
                        let mut other = [$f::NEG_INFINITY; C];
                        if rows % 2 == 1 {
                            let y: [$f; C] = lanes(tile, (rows - 1) * width + first);
                            for i in 0..C {
                                other[i] = if y[i] > other[i] { y[i] } else { other[i] };
                            }
                        }
                        for row in (0..rows - rows % 2).step_by(2) {
                            let x: [$f; C] = lanes(tile, row * width + first);
                            let y: [$f; C] = lanes(tile, (row + 1) * width + first);
                            for i in 0..C {
                                best[i] = if x[i] > best[i] { x[i] } else { best[i] };
                                other[i] = if y[i] > other[i] { y[i] } else { other[i] };
                            }
                        }
                        let (mut base, mut shrunk) = ([0.0; C], [0.0; C]);
                        for i in 0..C {
                            best[i] = if other[i] > best[i] { other[i] } else { best[i] };
                            // All keys so far are masked: any finite base gives the correct zeros.
                            base[i] = if best[i] == $f::NEG_INFINITY { 0.0 } else { best[i] };
                            shrunk[i] = exp2::<FMA>(before[i] - base[i]);
                        }
                        top[first..first + C].copy_from_slice(&best);
                        factor[first..first + C].copy_from_slice(&shrunk);
                        let mut sums = [0.0; C];
                        for row in 0..rows {
                            let place = &mut tile[row * width + first..row * width + first + C];
                            for i in 0..C {
                                let p = exp2::<FMA>(place[i] - base[i]);
                                place[i] = p;
                                sums[i] += p;
                            }
                        }
                        let mut all: [$f; C] = lanes(total, first);
                        for i in 0..C {
                            all[i] = multiply_add::<FMA, $f>(all[i], shrunk[i], sums[i]);
                        }
                        total[first..first + C].copy_from_slice(&all);
                    }
                }

                /// Turns scores into the pattern: 2 to the power of score minus log-sum-exp, both in units of log 2.
                pub(crate) fn pattern(tile: &mut [$f], width: usize, log_sum_exp: &[$f]) {
                    let rows = tile.len() / width;
                    for first in (0..width).step_by(C) {
                        let base: [$f; C] = lanes(log_sum_exp, first);
                        for row in 0..rows {
                            let place = &mut tile[row * width + first..row * width + first + C];
                            for i in 0..C {
                                place[i] = exp2::<FMA>(place[i] - base[i]);
                            }
                        }
                    }
                }

                /// Turns the gradient by the pattern into the gradient by the scores: `dz ← p · (dp − mean)`.
                pub(crate) fn softmax_backward(p: &[$f], dp: &mut [$f], width: usize, mean: &[$f]) {
                    let rows = dp.len() / width;
                    assert!(p.len() >= rows * width);
                    for first in (0..width).step_by(C) {
                        let mean: [$f; C] = lanes(mean, first);
                        for row in 0..rows {
                            let p: [$f; C] = lanes(p, row * width + first);
                            let place = &mut dp[row * width + first..row * width + first + C];
                            for i in 0..C {
                                place[i] = p[i] * (place[i] - mean[i]);
                            }
                        }
                    }
                }

                /// Computes `softmax_backward` through a map of the scores that has the slope `slope` at each place.
                pub(crate) fn softmax_backward_sloped(p: &[$f], slope: &[$f], dp: &mut [$f], width: usize, mean: &[$f]) {
                    let rows = dp.len() / width;
                    assert!(p.len() >= rows * width && slope.len() >= rows * width);
                    for first in (0..width).step_by(C) {
                        let mean: [$f; C] = lanes(mean, first);
                        for row in 0..rows {
                            let p: [$f; C] = lanes(p, row * width + first);
                            let slope: [$f; C] = lanes(slope, row * width + first);
                            let place = &mut dp[row * width + first..row * width + first + C];
                            for i in 0..C {
                                place[i] = p[i] * (place[i] - mean[i]) * slope[i];
                            }
                        }
                    }
                }

                /// Computes `z ← cap · tanh(z / cap)` and the slope of that map at each place.
                pub(crate) fn softcap(tile: &mut [$f], slope: &mut [$f], cap: $f) {
                    let factor = 2.0 * std::$f::consts::LOG2_E / cap;
                    for (place, slope) in tile.chunks_exact_mut(C).zip(slope.chunks_exact_mut(C)) {
                        for i in 0..C {
                            let tanh = tanh_of_half::<FMA>(place[i] * factor);
                            place[i] = cap * tanh;
                            slope[i] = multiply_add::<FMA, $f>(-tanh, tanh, 1.0);
                        }
                    }
                }

                /// Computes `z ← cap · tanh(z / cap)`.
                pub(crate) fn softcap_only(tile: &mut [$f], cap: $f) {
                    let factor = 2.0 * std::$f::consts::LOG2_E / cap;
                    for place in tile.chunks_exact_mut(C) {
                        for i in 0..C {
                            place[i] = cap * tanh_of_half::<FMA>(place[i] * factor);
                        }
                    }
                }

                /// Returns true if all numbers are finite: a sum of `x · 0` is 0 only then.
                pub(crate) fn all_finite(x: &[$f]) -> bool {
                    // Several chains at once: each sum waits for the one before it.
                    let mut sums = [[0.0; C]; 4];
                    let mut chunks = x.chunks_exact(4 * C);
                    for chunk in &mut chunks {
                        for (sums, x) in sums.iter_mut().zip(chunk.chunks_exact(C)) {
                            for i in 0..C {
                                sums[i] += x[i] * 0.0;
                            }
                        }
                    }
                    let rest = chunks.remainder().iter().all(|x| x.is_finite());
                    rest && sums.iter().flatten().all(|&sum| sum == 0.0)
                }

                /// Computes `x ← x · y`.
                pub(crate) fn times(x: &mut [$f], y: &[$f]) {
                    for (x, y) in x.chunks_exact_mut(C).zip(y.chunks_exact(C)) {
                        for i in 0..C {
                            x[i] *= y[i];
                        }
                    }
                }

                /// Turns the direction of the scores (in units of log 2) into pattern times direction, and adds the sums of the
                /// columns to `mean`.
                pub(crate) fn tangent(p: &[$f], z: &mut [$f], width: usize, mean: &mut [$f]) {
                    let rows = z.len() / width;
                    assert!(p.len() >= rows * width);
                    for first in (0..width).step_by(C) {
                        let mut sums = [0.0; C];
                        for row in 0..rows {
                            let p: [$f; C] = lanes(p, row * width + first);
                            let place = &mut z[row * width + first..row * width + first + C];
                            for i in 0..C {
                                place[i] *= p[i] * std::$f::consts::LN_2;
                                sums[i] += place[i];
                            }
                        }
                        for i in 0..C {
                            mean[first + i] += sums[i];
                        }
                    }
                }
            }

            #[cfg(test)]
            pub(super) fn exp2_of(x: $f) -> $f {
                exp2::<true>(x)
            }
        }
    };
}

// The polynomials interpolate (2ʳ − 1)/r at the Chebyshev points of |r| ≤ ½: relative errors 5·10⁻⁹ and 10⁻¹⁹.
columns!(f32, u32, 16, 8, magic: 12_583_039.0, shift: 23, lowest: -127.0, polynomial:
    1.545_316_3e-4, 1.339_086_3e-3, 9.618_083e-3, 5.550_357e-2, 2.402_265e-1, std::f32::consts::LN_2, 1.0);
columns!(f64, u64, 8, 4, magic: 6_755_399_441_056_767.0, shift: 52, lowest: -1023.0, polynomial:
    2.572_932_417_736_230_4e-11, 4.455_817_908_336_064_5e-10, 7.054_897_304_155_499_5e-9,
    1.017_805_708_773_394_1e-7, 1.321_548_680_870_556_3e-6, 1.525_273_383_355_677_2e-5,
    1.540_353_039_337_073_3e-4, 1.333_355_814_640_647e-3, 9.618_129_107_628_48e-3,
    5.550_410_866_482_102e-2, 2.402_265_069_591_007e-1, std::f64::consts::LN_2, 1.0);

#[cfg(test)]
mod tests {
    #[test]
    fn powers_of_two_are_accurate_and_flush_to_zero() {
        let (mut single, mut double) = (0.0_f64, 0.0_f64);
        for i in -126_000..=1000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp2();
            single = single.max((f64::from(super::f32::exp2_of(x)) - exact).abs() / exact);
            let x = i as f64 * 8e-3;
            double = double.max((super::f64::exp2_of(x) - x.exp2()).abs() / x.exp2());
        }
        assert!(single < 2.0 * f64::from(f32::EPSILON) && double < 2.0 * f64::EPSILON, "{single} {double}");
        assert_eq!(super::f32::exp2_of(f32::NEG_INFINITY), 0.0);
        assert_eq!(super::f64::exp2_of(f64::NEG_INFINITY), 0.0);
        assert_eq!(super::f32::exp2_of(-140.0), 0.0);
        assert_eq!((super::f32::exp2_of(0.0), super::f64::exp2_of(0.0)), (1.0, 1.0));
        assert!(super::f32::exp2_of(f32::NAN).is_nan() && super::f64::exp2_of(f64::NAN).is_nan());
    }

    #[test]
    fn one_non_finite_number_is_found_at_any_place() {
        for length in [0, 1, 31, 64, 65, 200] {
            let mut x: Vec<f32> = (0..length).map(|i| i as f32 * 1e36 - 1e38).collect();
            assert!(super::f32::all_finite(&x), "{length}");
            for place in 0..length {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let good = std::mem::replace(&mut x[place], bad);
                    assert!(!super::f32::all_finite(&x), "{bad} at {place} of {length}");
                    x[place] = good;
                }
            }
        }
    }

    macro_rules! against_the_definition {
        ($f:ident, $rows:expr, $tolerance:expr) => {{
            let (rows, width) = ($rows, 32);
            let score = |i: usize| match i % 11 {
                0 => $f::NEG_INFINITY,
                r => (i * 37 % 101) as $f * 0.3 - r as $f,
            };
            let scores: Vec<$f> = (0..rows * width).map(score).collect();
            let column = |j: usize| scores.iter().skip(j).step_by(width).copied();
            // Two steps over the halves of the rows.
            let (mut top, mut total, mut factor) = ([$f::NEG_INFINITY; 32], [0.0; 32], [0.0; 32]);
            let mut tile = scores.clone();
            let half = rows / 2 * width;
            super::$f::absorb(&mut tile[..half], width, &mut top, &mut total, &mut factor);
            super::$f::absorb(&mut tile[half..], width, &mut top, &mut total, &mut factor);
            for j in 0..width {
                let largest = column(j).fold($f::NEG_INFINITY, $f::max);
                assert_eq!(top[j], largest);
                let sum: $f = column(j).map(|z| if z == largest { 1.0 } else { (z - largest).exp2() }).sum();
                let sum = if largest == $f::NEG_INFINITY { 0.0 } else { sum };
                assert!((total[j] - sum).abs() <= $tolerance * (1.0 + sum), "{} for {sum}", total[j]);
            }
            let (mut capped, mut slope) = (scores.clone(), scores.clone());
            super::$f::softcap(&mut capped, &mut slope, 4.0);
            let mut only = scores.clone();
            super::$f::softcap_only(&mut only, 4.0);
            assert_eq!(only, capped);
            for ((&z, &capped), &slope) in scores.iter().zip(&capped).zip(&slope) {
                let tanh = (z / 4.0).tanh();
                assert!((capped - 4.0 * tanh).abs() < 8.0 * $tolerance, "{capped} at {z}");
                assert!((slope - (1.0 - tanh * tanh)).abs() < 4.0 * $tolerance);
            }
        }};
    }

    #[test]
    fn columns_agree_with_the_definition_at_the_level_in_use() {
        for rows in [2, 3, 8, 65] {
            against_the_definition!(f32, rows, 1e-6);
            against_the_definition!(f64, rows, 1e-14);
        }
        // Small scores pass a softcap to the last place: no difference of nearby numbers is taken.
        let mut small = [1e-5_f32; 16];
        super::f32::softcap_only(&mut small, 50.0);
        assert!(small.iter().all(|x| (x - 1e-5).abs() < 2e-12));
    }
}
