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
        let levels = five_bits(field(b, 2), field(b, 6));
        for i in 0..32 {
            x[i] = scale * f32::from(levels[i].cast_signed() - 16);
        }
    });
}

/// Scale d, minimum m, 32 fifth bits, 16 bytes: `x = d q + m`, in the order of `q4_0`.
pub(super) fn q5_1(bytes: &[u8], out: &mut [f32]) {
    each_block::<24, 32>(bytes, out, |b, x| {
        let (scale, minimum) = (half(b, 0), half(b, 2));
        let levels = five_bits(field(b, 4), field(b, 8));
        for i in 0..32 {
            x[i] = scale * f32::from(levels[i]) + minimum;
        }
    });
}

/// Returns 32 numbers of five bits. Bit i of `high` is the fifth bit of element i.
#[inline(always)]
fn five_bits(high: &[u8; 4], low: &[u8; 16]) -> [u8; 32] {
    let mut levels = [0; 32];
    for i in 0..32 {
        let fifth = if high[i / 8] & 1 << (i % 8) == 0 { 0 } else { 16 };
        levels[i] = (if i < 16 { low[i] & 15 } else { low[i - 16] >> 4 }) | fifth;
    }
    levels
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
