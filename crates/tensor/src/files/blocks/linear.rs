//! Blocks of 32 elements with evenly spaced levels.

use super::block::{each_block, field, half};

/// Scale d, 16 bytes: `x = d (q − 8)`. The lower halves of the bytes are the first 16 elements.
pub(super) fn q4_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<18, 32>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for i in 0..16 {
            x[i] = scale * f32::from((b[2 + i] & 15).cast_signed() - 8);
            x[i + 16] = scale * f32::from((b[2 + i] >> 4).cast_signed() - 8);
        }
    });
}

/// Scale d, minimum m, 16 bytes: `x = d q + m`, in the order of `q4_0`.
pub(super) fn q4_1(bytes: &[u8], out: &mut [f32]) {
    each_block::<20, 32>(bytes, out, |b, x| {
        let (scale, minimum) = (half(b, 0), half(b, 2));
        for i in 0..16 {
            x[i] = scale * f32::from(b[4 + i] & 15) + minimum;
            x[i + 16] = scale * f32::from(b[4 + i] >> 4) + minimum;
        }
    });
}

/// Scale d, 32 fifth bits, 16 bytes: `x = d (q − 16)`, in the order of `q4_0`.
pub(super) fn q5_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<22, 32>(bytes, out, |b, x| {
        let scale = half(b, 0);
        five_bits(field(b, 2), field(b, 6), x, |q| scale * f32::from(q.cast_signed() - 16));
    });
}

/// Scale d, minimum m, 32 fifth bits, 16 bytes: `x = d q + m`, in the order of `q4_0`.
pub(super) fn q5_1(bytes: &[u8], out: &mut [f32]) {
    each_block::<24, 32>(bytes, out, |b, x| {
        let (scale, minimum) = (half(b, 0), half(b, 2));
        five_bits(field(b, 4), field(b, 8), x, |q| scale * f32::from(q) + minimum);
    });
}

/// Writes the numbers of 32 elements of five bits. Each byte of `high` has the fifth bits of eight elements.
#[inline(always)]
fn five_bits(high: &[u8; 4], low: &[u8; 16], out: &mut [f32; 32], number: impl Fn(u8) -> f32) {
    for (k, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let (low, shift): (&[u8; 8], _) = (field(low, 8 * (k % 2)), 4 * (k / 2));
        for i in 0..8 {
            let fifth = if high[k] & 1 << i == 0 { 0 } else { 16 };
            x[i] = number((low[i] >> shift & 15) | fifth);
        }
    }
}

/// Scale d, 32 signed bytes: `x = d q`.
pub(super) fn q8_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<34, 32>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for i in 0..32 {
            x[i] = scale * f32::from(b[2 + i].cast_signed());
        }
    });
}
