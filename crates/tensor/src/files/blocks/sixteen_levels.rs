//! Formats of 4 bits whose sixteen levels are not evenly spaced.

use super::block::{each_block, field, half};

/// The levels of `IQ4_NL` and `IQ4_XS`: denser near zero.
const DENSE_AT_ZERO: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];
/// Twice the numbers of a float with two bits of exponent and one of digits. Zero has no sign.
const FLOAT4: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// The lower halves of the N bytes are the first N elements.
#[inline(always)]
fn expand<const N: usize>(bytes: &[u8; N], scale: f32, levels: &[f32; 16], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(N);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = scale * levels[usize::from(byte & 15)];
        *high = scale * levels[usize::from(byte >> 4)];
    }
}

/// Scale d, 16 bytes: `x = d level(q)`.
pub(super) fn iq4_nl(bytes: &[u8], out: &mut [f32]) {
    each_block::<18, 32>(bytes, out, |b, x| expand::<16>(field(b, 2), half(b, 0), &DENSE_AT_ZERO, x));
}

/// d, 8 scales s of 6 bits (2 bytes of upper bits, 4 bytes of lower bits), 128 bytes: `x = d (s − 32) level(q)`.
pub(super) fn iq4_xs(bytes: &[u8], out: &mut [f32]) {
    each_block::<136, 256>(bytes, out, |b, x| {
        let (scale, upper) = (half(b, 0), u16::from_le_bytes(*field(b, 2)));
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let s = (b[4 + k / 2] >> (4 * (k % 2)) & 15) | ((upper >> (2 * k) & 3) as u8) << 4;
            let d = scale * f32::from(s.cast_signed() - 32);
            expand::<16>(field(b, 8 + 16 * k), d, &DENSE_AT_ZERO, x);
        }
    });
}

/// A byte e, 16 bytes: `x = 2^(e − 128) level(q)`.
pub(super) fn mxfp4(bytes: &[u8], out: &mut [f32]) {
    each_block::<17, 32>(bytes, out, |b, x| {
        let scale = match b[0] {
            // 2⁻¹²⁸ and 2⁻¹²⁷ have no exponent of their own in f32.
            e @ 0..2 => f32::from_bits(1 << (21 + e)),
            e => f32::from_bits(u32::from(e - 1) << 23),
        };
        expand::<16>(field(b, 1), scale, &FLOAT4, x);
    });
}

/// Four scales s, 32 bytes: `x = s/2 level(q)` for 16 elements each.
pub(super) fn nvfp4(bytes: &[u8], out: &mut [f32]) {
    each_block::<36, 64>(bytes, out, |b, x| {
        for (k, x) in x.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            expand::<8>(field(b, 4 + 8 * k), half_of_float8(b[k]), &FLOAT4, x);
        }
    });
}

/// Returns half the number of 4 bits of exponent and 3 of digits. The upper bit has no meaning, and 127 means 0.
#[inline(always)]
fn half_of_float8(code: u8) -> f32 {
    let (exponent, digits) = (u32::from(code >> 3 & 15), u32::from(code & 7));
    if code == 127 {
        0.0
    } else if exponent == 0 {
        digits as f32 / 1024.0
    } else {
        // The biases are 7 and 127; one less halves the number.
        f32::from_bits((exponent + 127 - 7 - 1) << 23 | digits << 20)
    }
}
