//! Blocks of 256 elements with the levels −1, 0 and 1.

use super::block::{each_block, half};

/// 32 and 16 bytes of five digits, 4 bytes of four digits, scale d: `x = d (digit − 1)`.
///
/// A byte holds a fraction in base 3, rounded up to 1/256. Multiplying by 3 brings the next digit in front of the point.
pub(super) fn tq1_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<54, 256>(bytes, out, |b, x| {
        let scale = half(b, 52);
        let (first, rest) = x.split_at_mut(160);
        let (second, third) = rest.split_at_mut(80);
        digits(&b[..32], scale, first);
        digits(&b[32..48], scale, second);
        digits(&b[48..52], scale, third);
    });
}

/// Expands the first digits of all bytes, then the second digits, and so on.
#[inline(always)]
fn digits(bytes: &[u8], scale: f32, out: &mut [f32]) {
    let mut power = 1_u8;
    for x in out.chunks_exact_mut(bytes.len()) {
        for (x, byte) in x.iter_mut().zip(bytes) {
            let digit = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8;
            *x = scale * f32::from(digit.cast_signed() - 1);
        }
        power *= 3;
    }
}

/// 64 bytes of four numbers of 2 bits, scale d: `x = d (q − 1)`.
pub(super) fn tq2_0(bytes: &[u8], out: &mut [f32]) {
    each_block::<66, 256>(bytes, out, |b, x| {
        let scale = half(b, 64);
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for i in 0..32 {
                let q = b[32 * (k / 4) + i] >> (2 * (k % 4)) & 3;
                x[i] = scale * f32::from(q.cast_signed() - 1);
            }
        }
    });
}
