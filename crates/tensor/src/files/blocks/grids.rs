//! Blocks of 256 elements whose words of 4 or 8 elements are taken from a list.

use super::block::{each_block, field, half, half_bits};
use super::words::{IQ1, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};

/// Writes one word, scaled. A bit of `signs` changes the sign of its element.
#[inline(always)]
fn signed<const N: usize>(x: &mut [f32; N], scale: f32, word: &[i8; N], signs: u8) {
    for i in 0..N {
        let size = scale * f32::from(word[i]);
        x[i] = if signs & 1 << i == 0 { size } else { -size };
    }
}

/// Returns eight signs from the lower seven bits. The eighth makes the number of minus signs even.
#[inline(always)]
fn even(seven: u32) -> u8 {
    let seven = (seven & 127) as u8;
    seven | (seven.count_ones() as u8 & 1) << 7
}

/// Returns `d (2s + 1)/8` for the two scales of a byte.
#[inline(always)]
fn pair(scale: f32, byte: u8) -> [f32; 2] {
    [byte & 15, byte >> 4].map(|s| scale * (0.5 + f32::from(s)) * 0.25)
}

/// d, 8 groups of 8 bytes (4 numbers of words; 4 × 7 signs and a scale s of 4 bits): `x = ± d (2s + 1)/8 word`.
pub(super) fn iq2_xxs(bytes: &[u8], out: &mut [f32]) {
    each_block::<66, 256>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let rest = u32::from_le_bytes(*field(b, 6 + 8 * k));
            let d = scale * (0.5 + (rest >> 28) as f32) * 0.25;
            for (j, x) in x.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                signed(x, d, &IQ2_XXS[usize::from(b[2 + 8 * k + j])], even(rest >> (7 * j)));
            }
        }
    });
}

/// d, 32 × (number of a word, 7 signs), 16 scales s of 4 bits: `x = ± d (2s + 1)/8 word`.
pub(super) fn iq2_xs(bytes: &[u8], out: &mut [f32]) {
    each_block::<74, 256>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let d = pair(scale, b[66 + k]);
            for (j, x) in x.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let code = u16::from_le_bytes(*field(b, 2 + 8 * k + 2 * j));
                signed(x, d[j / 2], &IQ2_XS[usize::from(code & 511)], even(u32::from(code >> 9)));
            }
        }
    });
}

/// d, 32 numbers of words, 32 bytes of signs, 8 bytes with the upper bits of the numbers, 16 scales s of 4 bits:
/// `x = ± d (2s + 1)/8 word`.
pub(super) fn iq2_s(bytes: &[u8], out: &mut [f32]) {
    each_block::<82, 256>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (d, upper) = (pair(scale, b[74 + k]), usize::from(b[66 + k]));
            for (j, x) in x.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let number = usize::from(b[2 + 4 * k + j]) | (upper >> (2 * j) & 3) << 8;
                signed(x, d[j / 2], &IQ2_S[number], b[34 + 4 * k + j]);
            }
        }
    });
}

/// d, 64 numbers of words, 8 × (4 × 7 signs, a scale s of 4 bits): `x = ± d (2s + 1)/4 word`.
pub(super) fn iq3_xxs(bytes: &[u8], out: &mut [f32]) {
    each_block::<98, 256>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let rest = u32::from_le_bytes(*field(b, 66 + 4 * k));
            let d = scale * (0.5 + (rest >> 28) as f32) * 0.5;
            for (j, x) in x.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let signs = even(rest >> (7 * (j / 2))) >> (4 * (j % 2));
                signed(x, d, &IQ3_XXS[usize::from(b[2 + 8 * k + j])], signs);
            }
        }
    });
}

/// d, 64 numbers of words, 8 bytes with the upper bits of the numbers, 32 bytes of signs, 8 scales s of 4 bits:
/// `x = ± d (2s + 1) word`.
pub(super) fn iq3_s(bytes: &[u8], out: &mut [f32]) {
    each_block::<110, 256>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for (k, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let d = scale * f32::from(2 * four_bits(&b[106..], k) + 1);
            let upper = usize::from(b[66 + k]);
            for (j, x) in x.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let number = usize::from(b[2 + 8 * k + j]) | (upper >> j & 1) << 8;
                signed(x, d, &IQ3_S[number], b[74 + 4 * k + j / 2] >> (4 * (j % 2)));
            }
        }
    });
}

/// d, 32 numbers of words, 8 × (4 × 3 upper bits of the numbers, a scale s of 3 bits, a sign): `x = d (2s + 1) (word ± 1/8)`.
pub(super) fn iq1_s(bytes: &[u8], out: &mut [f32]) {
    each_block::<50, 256>(bytes, out, |b, x| {
        let scale = half(b, 0);
        for (j, x) in x.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let rest = u16::from_le_bytes(*field(b, 34 + 2 * (j / 4)));
            let number = usize::from(b[2 + j]) | usize::from(rest >> (3 * (j % 4)) & 7) << 8;
            let d = scale * f32::from(2 * (rest >> 12 & 7) + 1);
            shifted(x, d, &IQ1[number], rest & 1 << 15 != 0);
        }
    });
}

/// 32 numbers of words, 32 × (3 upper bits of the number, a sign), 16 scales s of 3 bits, d in the upper bits of the four numbers that
/// hold the scales: `x = d (2s + 1) (word ± 1/8)`.
pub(super) fn iq1_m(bytes: &[u8], out: &mut [f32]) {
    each_block::<56, 256>(bytes, out, |b, x| {
        let scales: [u16; 4] = std::array::from_fn(|k| u16::from_le_bytes(*field(b, 48 + 2 * k)));
        let bits = scales.iter().rev().fold(0, |bits, s| bits << 4 | s >> 12);
        let scale = half_bits(bits);
        for (j, x) in x.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let rest = four_bits(&b[32..], j);
            let number = usize::from(b[j]) | usize::from(rest & 7) << 8;
            let d = scale * f32::from(2 * (scales[j / 8] >> (3 * (j / 2 % 4)) & 7) + 1);
            shifted(x, d, &IQ1[number], rest & 8 != 0);
        }
    });
}

/// Writes one word, moved down or up by an eighth, and scaled.
#[inline(always)]
fn shifted(x: &mut [f32; 8], scale: f32, word: &[i8; 8], down: bool) {
    let shift = if down { -0.125 } else { 0.125 };
    for i in 0..8 {
        x[i] = scale * (f32::from(word[i]) + shift);
    }
}

/// Returns number k of a list of numbers of four bits.
#[inline(always)]
fn four_bits(bytes: &[u8], k: usize) -> u8 {
    bytes[k / 2] >> (4 * (k % 2)) & 15
}
