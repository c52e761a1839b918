//! Blocks of 256 elements in groups of 16 or 32. The scales of the groups are small integers, in units of a scale of the block.

use super::block::{each_block, field, half};

/// 16 bytes of scales s and minimums m (4 bits each), 64 bytes, d, e: `x = d s q − e m` with q of 2 bits.
pub(super) fn q2_k(bytes: &[u8], out: &mut [f32]) {
    each_block::<84, 256>(bytes, out, |b, x| {
        let (scale, minimum) = (half(b, 80), half(b, 82));
        for (k, x) in x.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let group = Group::of(k);
            let (d, m) = (scale * f32::from(b[k] & 15), minimum * f32::from(b[k] >> 4));
            let q: &[u8; 16] = field(b, 16 + group.at);
            for i in 0..16 {
                x[i] = d * f32::from(q[i] >> group.shift & 3) - m;
            }
        }
    });
}

/// 32 bytes of third bits, 64 bytes, 16 scales s of 6 bits, d: `x = d (s − 32) (q − 4)` with q of 3 bits.
pub(super) fn q3_k(bytes: &[u8], out: &mut [f32]) {
    each_block::<110, 256>(bytes, out, |b, x| {
        let scale = half(b, 108);
        for (k, x) in x.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let group = Group::of(k);
            let low = b[96 + k % 8] >> (4 * (k / 8)) & 15;
            let high = b[104 + k % 4] >> (2 * (k / 4)) & 3;
            let d = scale * f32::from((low | high << 4).cast_signed() - 32);
            let (q, third): (&[u8; 16], &[u8; 16]) = (field(b, 32 + group.at), field(b, 16 * (k % 2)));
            for i in 0..16 {
                let q = (q[i] >> group.shift & 3) | (third[i] >> (k / 2) & 1) << 2;
                x[i] = d * f32::from(q.cast_signed() - 4);
            }
        }
    });
}

/// d, e, 8 scales s and minimums m of 6 bits, 128 bytes: `x = d s q − e m` with q of 4 bits.
pub(super) fn q4_k(bytes: &[u8], out: &mut [f32]) {
    each_block::<144, 256>(bytes, out, |b, x| {
        let (scale, minimum) = (half(b, 0), half(b, 2));
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (s, m) = scale_and_minimum(field(b, 4), k);
            let (d, m) = (scale * f32::from(s), minimum * f32::from(m));
            let (q, shift): (&[u8; 32], _) = (field(b, 16 + 32 * (k / 2)), 4 * (k % 2));
            for i in 0..32 {
                x[i] = d * f32::from(q[i] >> shift & 15) - m;
            }
        }
    });
}

/// d, e, 8 scales s and minimums m of 6 bits, 32 bytes of fifth bits, 128 bytes: `x = d s q − e m` with q of 5 bits.
pub(super) fn q5_k(bytes: &[u8], out: &mut [f32]) {
    each_block::<176, 256>(bytes, out, |b, x| {
        let (scale, minimum) = (half(b, 0), half(b, 2));
        let fifth: &[u8; 32] = field(b, 16);
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (s, m) = scale_and_minimum(field(b, 4), k);
            let (d, m) = (scale * f32::from(s), minimum * f32::from(m));
            let (q, shift): (&[u8; 32], _) = (field(b, 48 + 32 * (k / 2)), 4 * (k % 2));
            for i in 0..32 {
                x[i] = d * f32::from((q[i] >> shift & 15) | (fifth[i] >> k & 1) << 4) - m;
            }
        }
    });
}

/// 128 bytes of lower bits, 64 bytes of upper bits, 16 signed scales s, d: `x = d s (q − 32)` with q of 6 bits.
pub(super) fn q6_k(bytes: &[u8], out: &mut [f32]) {
    each_block::<210, 256>(bytes, out, |b, x| {
        let scale = half(b, 208);
        for (k, x) in x.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let group = Group::of(k);
            let d = scale * f32::from(b[192 + k].cast_signed());
            // Groups 0 to 3 and 8 to 11 are in the lower halves of the bytes, the others in the upper halves.
            let (low, shift): (&[u8; 16], _) = (field(b, 64 * (k / 8) + 16 * (k % 4)), 4 * (k / 4 % 2));
            let high: &[u8; 16] = field(b, 128 + group.at);
            for i in 0..16 {
                let q = (low[i] >> shift & 15) | (high[i] >> group.shift & 3) << 4;
                x[i] = d * f32::from(q.cast_signed() - 32);
            }
        }
    });
}

/// The place of a group of 16 numbers of 2 bits. A half of the block is 32 bytes, and each byte holds the same element of four pairs
/// of groups.
struct Group {
    /// The first byte.
    at: usize,
    /// The position of the bits in each byte.
    shift: usize,
}

impl Group {
    #[inline(always)]
    fn of(k: usize) -> Self {
        Self { at: 32 * (k / 8) + 16 * (k % 2), shift: 2 * (k % 8 / 2) }
    }
}

/// Returns scale and minimum k of 8. The last four keep their upper two bits in the bytes of the first four.
#[inline(always)]
fn scale_and_minimum(packed: &[u8; 12], k: usize) -> (u8, u8) {
    if k < 4 {
        return (packed[k] & 63, packed[k + 4] & 63);
    }
    let both = packed[k + 4];
    ((both & 15) | packed[k - 4] >> 6 << 4, both >> 4 | packed[k] >> 6 << 4)
}
