//! The register tile of all matrix products: rows of the left operand times vectors of columns of the right operand.
//!
//! Both the products with packed panels of this crate and the tiles of attention use these kernels. A kernel keeps the sums of
//! `M` rows and `V` vectors in registers over the whole of k. In each step it loads one row of `V` vectors of the right
//! operand and broadcasts one number of each row of the left operand.

/// The way in which a product is combined with the existing output.
#[derive(Clone, Copy, Debug)]
pub enum Join<'a, F> {
    /// The product replaces the output, which is not read.
    Replace,
    /// The product is added to the output.
    Add,
    /// The output is multiplied by a factor for each column, then the product is added.
    Scale(&'a [F]),
}

impl<F> Join<'_, F> {
    /// Returns the join of the columns from `first` on.
    ///
    /// # Panics
    /// If there are fewer than `first` factors.
    #[inline]
    pub fn columns_from(self, first: usize) -> Self {
        match self {
            Self::Scale(factors) => Self::Scale(&factors[first..]),
            Self::Replace | Self::Add => self,
        }
    }
}

macro_rules! register_tile {
    ($name:ident, $f:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $fma:ident, $set1:ident,
     $add:ident, $store:ident) => {
        /// Computes `M` rows and `V` vectors of columns of `a·b` and combines them with `c` as `join` says.
        ///
        /// Neighbouring rows of `a`, `b` and `c` are `row`, `b_row` and `c_row` numbers apart, neighbouring numbers of a row
        /// of `a` are `step` apart. With `UNIT` the step is 1.
        ///
        /// # Safety
        /// The processor has the instructions. `a` holds `M` rows of `k` numbers, `b` holds `k` rows and `c` holds `M` rows of
        /// `V` vectors. The factors of [`Join::Scale`] are `V` vectors. No other code accesses `c`.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        pub unsafe fn $name<const M: usize, const V: usize, const UNIT: bool>(
            k: usize,
            a: *const $f,
            row: isize,
            step: isize,
            b: *const $f,
            b_row: usize,
            join: Join<'_, $f>,
            c: *mut $f,
            c_row: isize,
        ) {
            use std::arch::x86_64::*;
            let step = if UNIT { 1 } else { step };
            let mut sums = [[$zero(); V]; M];
            // SAFETY: the caller's promises.
            unsafe {
                for p in 0..k {
                    let mut right = [$zero(); V];
                    for j in 0..V {
                        right[j] = $load(b.add(p * b_row + j * $lanes));
                    }
                    for i in 0..M {
                        let x = $set1(*a.offset(i as isize * row + p as isize * step));
                        for j in 0..V {
                            sums[i][j] = $fma(x, right[j], sums[i][j]);
                        }
                    }
                }
                for i in 0..M {
                    for j in 0..V {
                        let to = c.offset(i as isize * c_row).add(j * $lanes);
                        let sum = match join {
                            Join::Replace => sums[i][j],
                            Join::Add => $add($load(to), sums[i][j]),
                            Join::Scale(factors) => {
                                $fma($load(to), $load(factors.as_ptr().add(j * $lanes)), sums[i][j])
                            }
                        };
                        $store(to, sum);
                    }
                }
            }
        }
    };
}

register_tile!(
    avx512_f32,
    f32,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_fmadd_ps,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_storeu_ps
);
register_tile!(
    avx512_f64,
    f64,
    "avx512f",
    8,
    _mm512_setzero_pd,
    _mm512_loadu_pd,
    _mm512_fmadd_pd,
    _mm512_set1_pd,
    _mm512_add_pd,
    _mm512_storeu_pd
);
register_tile!(
    avx2_f32,
    f32,
    "avx2,fma",
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_fmadd_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_storeu_ps
);
register_tile!(
    avx2_f64,
    f64,
    "avx2,fma",
    4,
    _mm256_setzero_pd,
    _mm256_loadu_pd,
    _mm256_fmadd_pd,
    _mm256_set1_pd,
    _mm256_add_pd,
    _mm256_storeu_pd
);
