//! Blocks as plain arrays, which the compiler turns into the vectors that every processor of the architecture has.

use super::block::{Compare, Lanes, N};
use collimate_tensor::kernel_parts::lanes::{fold, multiply_add};

/// A block as an array.
#[derive(Clone, Copy)]
pub(crate) struct Plain<F>([F; N]);

/// True if every processor of the architecture multiplies and adds in one instruction. Elsewhere that is a slow call.
const FUSED: bool = cfg!(target_arch = "aarch64");
/// The registers of 128 bits beside four operands.
const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 28 } else { 12 };

macro_rules! plain {
    ($f:ident, $registers:literal) => {
        // SAFETY: no method needs more than the architecture has.
        unsafe impl Lanes for Plain<$f> {
            type F = $f;
            const SUMS: usize = REGISTERS / $registers;
            const FUSED: bool = FUSED;

            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn splat(value: $f) -> Self {
                Self([value; N])
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn load(from: *const $f) -> Self {
                // SAFETY: the caller's promise of a block; an array needs the alignment of its numbers only.
                unsafe { Self(from.cast::<[$f; N]>().read()) }
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn store(self, to: *mut $f) {
                // SAFETY: as above.
                unsafe { to.cast::<[$f; N]>().write(self.0) }
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn add(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] += other.0[i];
                }
                self
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
                for i in 0..N {
                    self.0[i] = multiply_add::<FUSED, $f>(a.0[i], b.0[i], self.0[i]);
                }
                self
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn fold(self) -> $f {
                fold(self.0)
            }
        }
    };
}

plain!(f32, 4);
plain!(f64, 8);

// SAFETY: no method needs more than the architecture has.
unsafe impl Compare for Plain<f32> {
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn sub(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] -= other.0[i];
        }
        self
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn max(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] = if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] };
        }
        self
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn exceeds(self, other: Self) -> u16 {
        let mut mask = 0;
        for i in 0..N {
            mask |= u16::from(self.0[i] > other.0[i]) << i;
        }
        mask
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn reaches(self, other: Self) -> u16 {
        let mut mask = 0;
        for i in 0..N {
            mask |= u16::from(self.0[i] >= other.0[i]) << i;
        }
        mask
    }
    // Safety: as the trait asks.
    #[inline(always)]
    unsafe fn compress(self, mut mask: u16, mut to: *mut f32) {
        while mask != 0 {
            // SAFETY: at most sixteen numbers, as the caller promises.
            unsafe {
                to.write(self.0[mask.trailing_zeros() as usize & (N - 1)]);
                to = to.add(1);
            }
            mask &= mask - 1;
        }
    }
    // Safety: as the trait asks.
    #[inline(always)]
    unsafe fn compress_positions(start: u32, mut mask: u16, mut to: *mut u32) {
        while mask != 0 {
            // SAFETY: as above.
            unsafe {
                to.write(start + mask.trailing_zeros());
                to = to.add(1);
            }
            mask &= mask - 1;
        }
    }
}
