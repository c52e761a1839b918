//! The operations on a block.

use collimate_tensor::Scalar;

/// The number of numbers in a block.
pub(crate) const N: usize = 16;

/// A block of numbers in registers.
///
/// # Safety
/// The methods may be called only on a processor that has the instructions of the type, from functions that are inlined
/// into one that enables them.
pub(crate) unsafe trait Lanes: Copy {
    /// The type of a number.
    type F: Scalar;
    /// The number of blocks of sums that the registers hold beside the operands.
    const SUMS: usize;
    /// True if [`Lanes::add_product`] rounds once.
    const FUSED: bool = false;

    /// Returns a block of zeros.
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn zeros() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::splat(Self::F::default()) }
    }
    /// Returns a block of equal numbers.
    // Safety: as for the trait.
    unsafe fn splat(value: Self::F) -> Self;
    /// Reads a block.
    // Safety: as for the trait.
    unsafe fn load(from: *const Self::F) -> Self;
    /// Writes the block.
    // Safety: as for the trait.
    unsafe fn store(self, to: *mut Self::F);
    /// Returns the sum of two blocks.
    // Safety: as for the trait.
    unsafe fn add(self, other: Self) -> Self;
    /// Returns self + a·b: rounded twice on x86, once on processors whose every instruction set has a fused form.
    // Safety: as for the trait.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// Returns the sum of the numbers, halves onto halves.
    // Safety: as for the trait.
    unsafe fn fold(self) -> Self::F;

    /// Reads the first `count` numbers of a block; the others are `fill`.
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn load_part(from: *const Self::F, count: usize, fill: Self::F) -> Self {
        let mut numbers = [fill; N];
        // SAFETY: the caller's promise for the numbers; the buffer holds a block.
        unsafe {
            std::ptr::copy_nonoverlapping(from, numbers.as_mut_ptr(), count);
            Self::load(numbers.as_ptr())
        }
    }
}

/// Comparisons of blocks of sixteen single numbers. A bit of a mask stands for a number, the lowest for the first.
///
/// # Safety
/// As for [`Lanes`].
pub(crate) unsafe trait Compare: Lanes<F = f32> {
    /// Returns the difference of two blocks.
    // Safety: as for the trait.
    unsafe fn sub(self, other: Self) -> Self;
    /// Returns the larger numbers; the number of `other` if one of the two is NaN.
    // Safety: as for the trait.
    unsafe fn max(self, other: Self) -> Self;
    /// Returns the numbers that are greater than those of `other`.
    // Safety: as for the trait.
    unsafe fn exceeds(self, other: Self) -> u16;
    /// Returns the numbers that are not smaller than those of `other`.
    // Safety: as for the trait.
    unsafe fn reaches(self, other: Self) -> u16;
    /// Writes the numbers of the mask one after another; up to sixteen numbers after `to` are overwritten.
    // Safety: as for the trait.
    unsafe fn compress(self, mask: u16, to: *mut f32);
    /// Writes the positions of the mask one after another, counted from `start`; up to sixteen are overwritten.
    // Safety: as for the trait.
    unsafe fn compress_positions(start: u32, mask: u16, to: *mut u32);

    /// Reads the block of a slice that begins at `start`; after the end of the slice the numbers are `fill`.
    // Safety: `start` lies within the slice.
    #[inline(always)]
    unsafe fn load_at(x: &[f32], start: usize, fill: f32) -> Self {
        // SAFETY: the numbers that are read lie in the slice.
        unsafe {
            let from = x.as_ptr().add(start);
            match x.len() - start {
                left if left < N => Self::load_part(from, left, fill),
                _ => Self::load(from),
            }
        }
    }
}
