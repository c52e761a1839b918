//! Numbers that are stored one by one.

use super::block::half_bits;

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (x, chunk) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *x = number(*chunk);
    }
}

pub(super) fn float32(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, f32::from_le_bytes);
}

pub(super) fn float16(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b| half_bits(u16::from_le_bytes(b)));
}

/// The upper halves of f32 numbers. A NaN becomes a quiet NaN, as in the `half` crate.
pub(super) fn bfloat16(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b| {
        let bits = u16::from_le_bytes(b);
        let quiet = if bits & 0x7fff > 0x7f80 { 1 << 22 } else { 0 };
        f32::from_bits(u32::from(bits) << 16 | quiet)
    });
}

pub(super) fn float64(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b| f64::from_le_bytes(b) as f32);
}

pub(super) fn integer8(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |[b]| f32::from(b.cast_signed()));
}

pub(super) fn integer16(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b| f32::from(i16::from_le_bytes(b)));
}

pub(super) fn integer32(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b| i32::from_le_bytes(b) as f32);
}

pub(super) fn integer64(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b| i64::from_le_bytes(b) as f32);
}
