/// A storage format whose elements can be expanded.
#[derive(Clone, Copy)]
pub(in crate::files) struct Block {
    /// The number of elements of a block.
    pub(in crate::files) elements: usize,
    /// The number of bytes of a block.
    pub(in crate::files) bytes: usize,
    /// Expands whole blocks. Both slices hold the same number of blocks.
    pub(in crate::files) expand: fn(&[u8], &mut [f32]),
}

/// Expands block by block.
#[inline(always)]
pub(super) fn each_block<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    expand: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    for (x, block) in out.as_chunks_mut::<ELEMENTS>().0.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
        expand(block, x);
    }
}

/// Returns the `N` bytes at `at`. Every block has them.
#[inline(always)]
pub(super) fn field<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block[at..].first_chunk().expect("a field lies in its block")
}

/// Returns the half-precision number at `at`.
#[inline(always)]
pub(super) fn half(block: &[u8], at: usize) -> f32 {
    half_bits(u16::from_le_bytes(*field(block, at)))
}

/// Returns the number of the bits of an f16, without branches, so that loops over it become vector instructions.
#[inline(always)]
pub(super) fn half_bits(bits: u16) -> f32 {
    /// The bits of 2⁻¹⁴, the smallest normal f16.
    const SMALLEST_NORMAL: u32 = 113 << 23;
    // The exponent and the digits at their places in an f32. The biases are 15 and 127.
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let normal = magnitude + ((127 - 15) << 23);
    // Without an exponent there is no leading one: it is added with the exponent, and then subtracted.
    let subnormal = f32::from_bits(magnitude + SMALLEST_NORMAL) - f32::from_bits(SMALLEST_NORMAL);
    // A NaN becomes a quiet NaN, as in the conversion of processors.
    let quiet = if magnitude > 31 << 23 { 1 << 22 } else { 0 };
    let infinite = magnitude | 255 << 23 | quiet;
    let size = if magnitude < 1 << 23 {
        subnormal.to_bits()
    } else if magnitude < 31 << 23 {
        normal
    } else {
        infinite
    };
    f32::from_bits(size | u32::from(bits & 0x8000) << 16)
}
