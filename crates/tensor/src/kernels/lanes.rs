//! Arithmetic on arrays that lie in vector registers, for the loops that [`leveled!`](crate::leveled) compiles.

use ndarray::NdFloat;

/// Returns `a·b + c`, with one rounding if `FUSED`. Only a level with the instruction may set `FUSED`: elsewhere it is a slow call.
#[inline(always)]
pub fn multiply_add<const FUSED: bool, F: NdFloat>(a: F, b: F, c: F) -> F {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Adds `a·b` to `sum`, lane by lane.
#[inline(always)]
pub fn add_product<const FUSED: bool, F: NdFloat, const N: usize>(a: &[F; N], b: &[F; N], sum: &mut [F; N]) {
    for l in 0..N {
        sum[l] = multiply_add::<FUSED, F>(a[l], b[l], sum[l]);
    }
}

/// Adds `a·b` to `sum`, with one number `a` for all lanes.
#[inline(always)]
pub fn add_scaled<const FUSED: bool, F: NdFloat, const N: usize>(a: F, b: &[F; N], sum: &mut [F; N]) {
    for l in 0..N {
        sum[l] = multiply_add::<FUSED, F>(a, b[l], sum[l]);
    }
}

/// Returns the sum of all lanes: the upper half is added to the lower half until one number is left. `N` is a power of two.
#[inline(always)]
pub fn fold<F: NdFloat, const N: usize>(mut lanes: [F; N]) -> F {
    const { assert!(N.is_power_of_two()) };
    let mut width = N / 2;
    while width > 0 {
        for l in 0..width {
            let upper = lanes[l + width];
            lanes[l] += upper;
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_folded_by_halves() {
        // The order shows in the rounding: (2⁶⁰ − 2⁶⁰) + (1 + 1), and not from left to right.
        let big = 2.0_f64.powi(60);
        assert_eq!(fold([big, 1.0, -big, 1.0]), 2.0);
        assert_eq!(fold([1.0, big, 1.0, -big]), 2.0);
        assert_eq!(fold([big, -big, 1.0, 1.0]), 0.0);
        assert_eq!(fold([3.0_f32]), 3.0);
    }

    #[test]
    fn products_are_rounded_once_or_twice() {
        let a = 1.0 + f64::EPSILON;
        let exact_rest = f64::EPSILON * f64::EPSILON;
        assert_eq!(multiply_add::<true, f64>(a, a, -(1.0 + 2.0 * f64::EPSILON)), exact_rest);
        assert_eq!(multiply_add::<false, f64>(a, a, -(1.0 + 2.0 * f64::EPSILON)), 0.0);
        let mut sum = [1.0_f32, 2.0];
        add_product::<false, f32, 2>(&[3.0, 4.0], &[5.0, 6.0], &mut sum);
        assert_eq!(sum, [16.0, 26.0]);
        add_scaled::<false, f32, 2>(2.0, &[1.0, 3.0], &mut sum);
        assert_eq!(sum, [18.0, 32.0]);
    }
}
