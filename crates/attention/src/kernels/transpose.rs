//! Copies of rows into columns of whole vectors, and back.

use collimate_tensor::{CpuLevel, Scalar};
use ndarray::{ArrayRef2, s};

/// The number of rows copied together, so that neighbouring numbers are written together.
const TOGETHER: usize = 8;

/// The copies for f64.
pub(crate) mod f64 {
    pub(crate) use super::{into_columns, out_of_columns};
}

/// Writes `to[p][i] = factor · x[i][p]`. Columns past the rows of `x` become zero.
pub(crate) fn into_columns<F: Scalar>(x: &ArrayRef2<F>, factor: F, width: usize, to: &mut [F]) {
    let (rows, depth) = x.dim();
    let mut i = 0;
    while i < rows {
        let group = x.slice(s![i..rows.min(i + TOGETHER), ..]);
        let slices: [Option<&[F]>; TOGETHER] =
            std::array::from_fn(|r| group.slice(s![r.min(group.nrows() - 1), ..]).to_slice());
        match slices {
            [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f), Some(g), Some(h)]
                if i + TOGETHER <= rows =>
            {
                for p in 0..depth {
                    let column = &mut to[p * width + i..p * width + i + TOGETHER];
                    let values = [a[p], b[p], c[p], d[p], e[p], f[p], g[p], h[p]];
                    column.iter_mut().zip(values).for_each(|(to, value)| *to = value * factor);
                }
            }
            _ => {
                for (r, row) in group.rows().into_iter().enumerate() {
                    row.iter().enumerate().for_each(|(p, &value)| to[p * width + i + r] = value * factor);
                }
            }
        }
        i += TOGETHER;
    }
    if rows < width {
        (0..depth).for_each(|p| to[p * width + rows..(p + 1) * width].fill(F::zero()));
    }
}

/// Writes `x[i][p] = factors[i] · from[p][i]`.
pub(crate) fn out_of_columns<F: Scalar>(from: &[F], width: usize, factors: &[F], x: &mut ArrayRef2<F>) {
    for (i, mut row) in x.rows_mut().into_iter().enumerate() {
        match row.as_slice_mut() {
            Some(row) => {
                for (p, value) in row.iter_mut().enumerate() {
                    *value = from[p * width + i] * factors[i];
                }
            }
            None => {
                row.iter_mut().enumerate().for_each(|(p, value)| *value = from[p * width + i] * factors[i])
            }
        }
    }
}

/// Writes `to[i][..d] = factor · x[i]`, padded with zeros to whole vectors: the rows as the right operand of a product.
pub(crate) fn into_rows<F: Scalar>(x: &ArrayRef2<F>, factor: F, width: usize, to: &mut [F]) {
    for (row, to) in x.rows().into_iter().zip(to.chunks_exact_mut(width.max(1))) {
        to[row.len()..].fill(F::zero());
        to.iter_mut().zip(row).for_each(|(to, &value)| *to = value * factor);
    }
}

/// The copies for f32: through registers, in squares of eight by eight, if rows are contiguous and both sides are multiples of eight.
pub(crate) mod f32 {
    use super::*;

    /// Returns true if the squares cover all of `x`.
    fn fits(x: &ArrayRef2<f32>) -> bool {
        let (rows, columns) = x.dim();
        CpuLevel::current() >= CpuLevel::Avx2
            && x.strides()[1] == 1
            && rows % 8 == 0
            && columns % 8 == 0
            && !x.is_empty()
    }

    /// Writes the same bits as [`into_columns`](super::into_columns), in squares of 8 × 8 if they cover `x`.
    pub(crate) fn into_columns(x: &ArrayRef2<f32>, factor: f32, width: usize, to: &mut [f32]) {
        let (rows, depth) = x.dim();
        if !fits(x) {
            return super::into_columns(x, factor, width, to);
        }
        assert!(to.len() >= depth * width && rows <= width, "room for the columns");
        #[cfg(target_arch = "x86_64")]
        for i in (0..rows).step_by(8) {
            for p in (0..depth).step_by(8) {
                // SAFETY: the level was detected; the square lies in `x`, whose rows are contiguous, and in `to` by the assert.
                unsafe {
                    let from = x.as_ptr().offset(i as isize * x.strides()[0]).add(p);
                    let to = to.as_mut_ptr().add(p * width + i);
                    square(from, x.strides()[0], &[factor; 8], to, width as isize);
                }
            }
        }
        (0..depth).for_each(|p| to[p * width + rows..(p + 1) * width].fill(0.0));
    }

    /// Writes the same bits as [`out_of_columns`](super::out_of_columns), in squares of 8 × 8 if they cover `x`.
    pub(crate) fn out_of_columns(from: &[f32], width: usize, factors: &[f32], x: &mut ArrayRef2<f32>) {
        let (rows, depth) = x.dim();
        if !fits(x) {
            return super::out_of_columns(from, width, factors, x);
        }
        assert!(from.len() >= (depth - 1) * width + rows && factors.len() >= rows, "columns for the rows");
        #[cfg(target_arch = "x86_64")]
        for i in (0..rows).step_by(8) {
            let factors: &[f32; 8] = factors[i..i + 8].try_into().expect("eight numbers");
            for p in (0..depth).step_by(8) {
                // SAFETY: as above, with the two sides exchanged.
                unsafe {
                    let row = x.strides()[0];
                    let to = x.as_mut_ptr().offset(i as isize * row).add(p);
                    square_of(from.as_ptr().add(p * width + i), width as isize, factors, to, row);
                }
            }
        }
    }

    /// Writes `to[j][i] = factors[i] · from[i][j]` for eight by eight numbers, with the given distances between rows.
    // Safety: both squares are there, and `to` is ours alone.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx")]
    unsafe fn square(from: *const f32, row: isize, factors: &[f32; 8], to: *mut f32, column: isize) {
        use std::arch::x86_64::*;
        // SAFETY: the caller's promises.
        unsafe {
            let factor = _mm256_loadu_ps(factors.as_ptr());
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, x) in rows.iter_mut().enumerate() {
                *x = _mm256_loadu_ps(from.offset(i as isize * row));
            }
            let rows = transposed(rows);
            for (j, &x) in rows.iter().enumerate() {
                _mm256_storeu_ps(to.offset(j as isize * column), _mm256_mul_ps(x, factor));
            }
        }
    }

    /// Writes `to[j][i] = factors[j] · from[i][j]`.
    // Safety: as of `square`.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx")]
    unsafe fn square_of(from: *const f32, row: isize, factors: &[f32; 8], to: *mut f32, column: isize) {
        use std::arch::x86_64::*;
        // SAFETY: the caller's promises.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, x) in rows.iter_mut().enumerate() {
                *x = _mm256_loadu_ps(from.offset(i as isize * row));
            }
            let rows = transposed(rows);
            for (j, &x) in rows.iter().enumerate() {
                _mm256_storeu_ps(
                    to.offset(j as isize * column),
                    _mm256_mul_ps(x, _mm256_set1_ps(factors[j])),
                );
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx")]
    #[inline]
    fn transposed(x: [std::arch::x86_64::__m256; 8]) -> [std::arch::x86_64::__m256; 8] {
        use std::arch::x86_64::*;
        let [a, b, c, d, e, f, g, h] = x;
        let (ab, cd) = (
            [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)],
            [_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)],
        );
        let (ef, gh) = (
            [_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f)],
            [_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h)],
        );
        let upper = [
            _mm256_shuffle_ps::<0x44>(ab[0], cd[0]),
            _mm256_shuffle_ps::<0xee>(ab[0], cd[0]),
            _mm256_shuffle_ps::<0x44>(ab[1], cd[1]),
            _mm256_shuffle_ps::<0xee>(ab[1], cd[1]),
        ];
        let lower = [
            _mm256_shuffle_ps::<0x44>(ef[0], gh[0]),
            _mm256_shuffle_ps::<0xee>(ef[0], gh[0]),
            _mm256_shuffle_ps::<0x44>(ef[1], gh[1]),
            _mm256_shuffle_ps::<0xee>(ef[1], gh[1]),
        ];
        [
            _mm256_permute2f128_ps::<0x20>(upper[0], lower[0]),
            _mm256_permute2f128_ps::<0x20>(upper[1], lower[1]),
            _mm256_permute2f128_ps::<0x20>(upper[2], lower[2]),
            _mm256_permute2f128_ps::<0x20>(upper[3], lower[3]),
            _mm256_permute2f128_ps::<0x31>(upper[0], lower[0]),
            _mm256_permute2f128_ps::<0x31>(upper[1], lower[1]),
            _mm256_permute2f128_ps::<0x31>(upper[2], lower[2]),
            _mm256_permute2f128_ps::<0x31>(upper[3], lower[3]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn squares_are_copied_like_single_numbers() {
        for (rows, columns) in [(8, 8), (64, 40), (24, 80), (7, 8), (8, 9), (0, 8), (8, 0)] {
            let big = Array2::from_shape_fn((rows, columns + 5), |(i, j)| (i * 100 + j) as f32);
            let x = big.slice(s![..;-1, 2..columns + 2]);
            let width = rows + 16;
            let (mut expected, mut given) = (vec![7.0; columns * width], vec![7.0; columns * width]);
            into_columns(&x, 0.3, width, &mut expected);
            f32::into_columns(&x, 0.3, width, &mut given);
            assert_eq!(given, expected, "{rows} {columns}");
            let factors: Vec<f32> = (0..width).map(|i| i as f32 - 3.5).collect();
            let (mut plain, mut fast) = (big.clone(), big.clone());
            let mut to = plain.slice_mut(s![..;-1, 2..columns + 2]);
            out_of_columns(&given, width, &factors, &mut to);
            let mut to = fast.slice_mut(s![..;-1, 2..columns + 2]);
            f32::out_of_columns(&given, width, &factors, &mut to);
            assert_eq!(fast, plain, "{rows} {columns}");
        }
    }
}
