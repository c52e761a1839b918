//! Blocks in the registers of AVX-512 and of AVX2.

use super::block::{Compare, Lanes};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A block in registers of 512 bits: one for single numbers, two for double ones.
#[derive(Clone, Copy)]
pub(crate) struct Whole<F: Registers>(F::Whole);

/// A block in registers of 256 bits: two for single numbers, four for double ones.
#[derive(Clone, Copy)]
pub(crate) struct Half<F: Registers>(F::Half);

/// The registers of a block.
pub(crate) trait Registers: Copy {
    type Whole: Copy;
    type Half: Copy;
}

impl Registers for f32 {
    type Whole = [__m512; 1];
    type Half = [__m256; 2];
}

impl Registers for f64 {
    type Whole = [__m512d; 2];
    type Half = [__m256d; 4];
}

macro_rules! block {
    ($block:ident<$f:ident>: $count:literal of $n:literal, sums $sums:literal,
     $splat:ident $load:ident $store:ident $add:ident $mul:ident $fold:ident) => {
        // SAFETY: the type is named only where its instructions are enabled. Every method passes on the caller's promises.
        unsafe impl Lanes for $block<$f> {
            type F = $f;
            const SUMS: usize = $sums;

            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn splat(value: $f) -> Self {
                // SAFETY: as for the whole.
                unsafe { Self([$splat(value); $count]) }
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn load(from: *const $f) -> Self {
                // SAFETY: as for the whole.
                unsafe {
                    let mut block = Self::splat(0.0);
                    for r in 0..$count {
                        block.0[r] = $load(from.add(r * $n));
                    }
                    block
                }
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn store(self, to: *mut $f) {
                for r in 0..$count {
                    // SAFETY: as for the whole.
                    unsafe { $store(to.add(r * $n), self.0[r]) }
                }
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn add(mut self, other: Self) -> Self {
                for r in 0..$count {
                    // SAFETY: as for the whole.
                    self.0[r] = unsafe { $add(self.0[r], other.0[r]) };
                }
                self
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
                for r in 0..$count {
                    // SAFETY: as for the whole.
                    self.0[r] = unsafe { $add(self.0[r], $mul(a.0[r], b.0[r])) };
                }
                self
            }
            #[inline(always)]
            // Safety: as for the trait.
            unsafe fn fold(mut self) -> $f {
                let mut half = $count / 2;
                while half > 0 {
                    for r in 0..half {
                        // SAFETY: as for the whole.
                        self.0[r] = unsafe { $add(self.0[r], self.0[r + half]) };
                    }
                    half /= 2;
                }
                // SAFETY: as for the whole.
                unsafe { $fold(self.0[0]) }
            }
        }
    };
}

block!(Whole<f32>: 1 of 16, sums 24,
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_mul_ps fold_sixteen);
block!(Whole<f64>: 2 of 8, sums 12,
    _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_add_pd _mm512_mul_pd fold_eight_wide);
block!(Half<f32>: 2 of 8, sums 6,
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_mul_ps fold_eight);
block!(Half<f64>: 4 of 4, sums 3,
    _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_add_pd _mm256_mul_pd fold_four_wide);

// Safety: the caller has AVX-512.
#[inline(always)]
unsafe fn fold_sixteen(sums: __m512) -> f32 {
    // SAFETY: AVX-512 is enabled where this is inlined.
    unsafe { fold_eight(_mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps::<1>(sums))) }
}

// Safety: the caller has AVX.
#[inline(always)]
unsafe fn fold_eight(sums: __m256) -> f32 {
    // SAFETY: AVX is enabled where this is inlined.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

// Safety: the caller has AVX-512.
#[inline(always)]
unsafe fn fold_eight_wide(sums: __m512d) -> f64 {
    // SAFETY: AVX-512 is enabled where this is inlined.
    unsafe { fold_four_wide(_mm256_add_pd(_mm512_castpd512_pd256(sums), _mm512_extractf64x4_pd::<1>(sums))) }
}

// Safety: the caller has AVX.
#[inline(always)]
unsafe fn fold_four_wide(sums: __m256d) -> f64 {
    // SAFETY: AVX is enabled where this is inlined.
    unsafe {
        let two = _mm_add_pd(_mm256_castpd256_pd128(sums), _mm256_extractf128_pd::<1>(sums));
        _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
    }
}

// SAFETY: as for `Lanes`.
unsafe impl Compare for Whole<f32> {
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller's promises.
        unsafe { Self([_mm512_sub_ps(self.0[0], other.0[0])]) }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the caller's promises.
        unsafe { Self([_mm512_max_ps(self.0[0], other.0[0])]) }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn exceeds(self, other: Self) -> u16 {
        // SAFETY: the caller's promises.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0[0], other.0[0]) }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn reaches(self, other: Self) -> u16 {
        // SAFETY: the caller's promises.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0[0], other.0[0]) }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn compress(self, mask: u16, to: *mut f32) {
        // SAFETY: the caller's promises.
        unsafe { _mm512_storeu_ps(to, _mm512_maskz_compress_ps(mask, self.0[0])) }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn compress_positions(start: u32, mask: u16, to: *mut u32) {
        // SAFETY: the caller's promises.
        unsafe {
            let ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let positions = _mm512_add_epi32(ramp, _mm512_set1_epi32(start as i32));
            _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(mask, positions));
        }
    }
}

/// For each mask of eight bits, the positions of its ones, then zeros.
static PLACES: [[i32; 8]; 256] = {
    let mut places = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                places[mask][count] = bit;
                count += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    places
};

// Safety: the caller has AVX2.
#[inline(always)]
unsafe fn places(mask: u16) -> __m256i {
    // SAFETY: a mask of eight bits has a row of the table; AVX2 is enabled where this is inlined.
    unsafe { _mm256_loadu_si256(PLACES.as_ptr().add(usize::from(mask)).cast()) }
}

// Safety: the caller has AVX.
#[inline(always)]
unsafe fn mask_of(halves: [__m256; 2]) -> u16 {
    // SAFETY: AVX is enabled where this is inlined.
    unsafe { (_mm256_movemask_ps(halves[0]) | _mm256_movemask_ps(halves[1]) << 8) as u16 }
}

// SAFETY: as for `Lanes`.
unsafe impl Compare for Half<f32> {
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller's promises.
        unsafe { Self([_mm256_sub_ps(self.0[0], other.0[0]), _mm256_sub_ps(self.0[1], other.0[1])]) }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the caller's promises.
        unsafe { Self([_mm256_max_ps(self.0[0], other.0[0]), _mm256_max_ps(self.0[1], other.0[1])]) }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn exceeds(self, other: Self) -> u16 {
        // SAFETY: the caller's promises.
        unsafe {
            mask_of([
                _mm256_cmp_ps::<_CMP_GT_OQ>(self.0[0], other.0[0]),
                _mm256_cmp_ps::<_CMP_GT_OQ>(self.0[1], other.0[1]),
            ])
        }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn reaches(self, other: Self) -> u16 {
        // SAFETY: the caller's promises.
        unsafe {
            mask_of([
                _mm256_cmp_ps::<_CMP_GE_OQ>(self.0[0], other.0[0]),
                _mm256_cmp_ps::<_CMP_GE_OQ>(self.0[1], other.0[1]),
            ])
        }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn compress(self, mask: u16, to: *mut f32) {
        // SAFETY: the caller's promises.
        unsafe {
            let (low, high) = (mask & 255, mask >> 8);
            _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(self.0[0], places(low)));
            let to = to.add(low.count_ones() as usize);
            _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(self.0[1], places(high)));
        }
    }
    #[inline(always)]
    // Safety: as for the trait.
    unsafe fn compress_positions(start: u32, mask: u16, to: *mut u32) {
        // SAFETY: the caller's promises.
        unsafe {
            let (low, high) = (mask & 255, mask >> 8);
            let at = _mm256_add_epi32(places(low), _mm256_set1_epi32(start as i32));
            _mm256_storeu_si256(to.cast(), at);
            let at = _mm256_add_epi32(places(high), _mm256_set1_epi32(start as i32 + 8));
            _mm256_storeu_si256(to.add(low.count_ones() as usize).cast(), at);
        }
    }
}
