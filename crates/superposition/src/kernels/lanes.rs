//! Arithmetic on sixteen numbers at once.

/// The number of values that are computed at once.
pub(crate) const LANES: usize = 16;

/// The content of one or several vector registers.
pub(crate) type Lanes = [f32; LANES];

/// Returns `a·b + c`, with one rounding if the level has the instruction.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Adds `a·b` to `c`, lane by lane.
#[inline(always)]
pub(crate) fn accumulate<const FUSED: bool>(a: &Lanes, b: &Lanes, c: &mut Lanes) {
    for l in 0..LANES {
        c[l] = multiply_add::<FUSED>(a[l], b[l], c[l]);
    }
}

/// Adds `a·b` to `c`, with one number `a` for all lanes.
#[inline(always)]
pub(crate) fn accumulate_scaled<const FUSED: bool>(a: f32, b: &Lanes, c: &mut Lanes) {
    for l in 0..LANES {
        c[l] = multiply_add::<FUSED>(a, b[l], c[l]);
    }
}

/// Returns the sum of all lanes, in a fixed order.
#[inline(always)]
pub(crate) fn total(mut v: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            v[l] += v[l + width];
        }
        width /= 2;
    }
    v[0]
}

/// Returns the pre-activation up to which an output is 0: 0 for a ReLU, and NaN for a linear output, since no number compares as at
/// most NaN. One loop then serves both activations.
pub(crate) fn floor(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NAN }
}
