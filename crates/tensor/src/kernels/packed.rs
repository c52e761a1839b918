//! The product with a prepacked right operand.
//!
//! The right operand is cut into panels of `width` columns, each stored k-major, so that the kernel reads it in one stream. A
//! tile of `ROWS × width` results stays in registers over the whole of k. Each step of k loads one row of the panel and
//! broadcasts one number for each output row. The second-level cache keeps up with that, so blocking k brings no speed. It
//! brings precision: one chain of 1536 f32 additions is off by 7e-7 of the result, sums of sums over 192 by 2.5e-7, and a
//! model of thirty layers multiplies the difference. Shorter blocks are more precise (64: 1.7e-7), but joining them costs
//! time: 3 % at k = 384.
//!
//! On processors that are not x86-64, the `gemm` crate has faster kernels than our portable tile. There the matrix is stored as a
//! single panel of all columns, and the crate multiplies it.

#[cfg(target_arch = "x86_64")]
#[cfg(target_arch = "x86_64")]
use super::register_tile::{self, Join};
use super::{assert_shape, gemm};
use crate::CpuLevel;
use ndarray::{ArrayRef2, Axis, NdFloat};
use rayon::prelude::*;

/// The number of multiply-adds up to which a product stays on the calling thread.
const SERIAL: usize = 1 << 18;
/// The number of rows of the left operand that one task multiplies with one panel.
const TASK_ROWS: usize = 96;
/// The number of products that are added up before their sum is added to the total.
const SUM_BLOCK: usize = 192;
/// The largest number of products in one sum where the result must agree with the general product, which adds up the fewest
/// equal parts within this length.
const LONG_SUM: usize = 512;

/// True if the `gemm` crate multiplies prepacked matrices too.
const BY_CRATE: bool = cfg!(not(target_arch = "x86_64"));

/// A matrix `[k, n]` cut into panels.
#[derive(Debug)]
pub struct Panels<F> {
    pub(crate) k: usize,
    pub(crate) n: usize,
    width: usize,
    level: CpuLevel,
    /// True if there is a single panel, for the `gemm` crate.
    whole: bool,
    /// The panels, which begin at `start`, on a cache line. A vector that straddles two lines would cost two loads.
    data: Vec<F>,
    start: usize,
}

impl<F: NdFloat> Panels<F> {
    fn zeros(k: usize, n: usize, width: usize, level: CpuLevel, whole: bool) -> Self {
        let line = 64 / size_of::<F>();
        let data = vec![F::zero(); n.div_ceil(width) * width * k + line];
        let start = data.as_ptr().align_offset(64).min(line);
        Self { k, n, width, level, whole, data, start }
    }

    fn panel(&self, index: usize) -> &[F] {
        let size = self.width * self.k;
        &self.data[self.start + index * size..self.start + (index + 1) * size]
    }
}

impl<F: NdFloat> Clone for Panels<F> {
    fn clone(&self) -> Self {
        // The copy has another address, so its aligned start may differ.
        let mut copy = Self::zeros(self.k, self.n, self.width, self.level, self.whole);
        let size = self.n.div_ceil(self.width) * self.width * self.k;
        let (to, from) = (copy.start, self.start);
        copy.data[to..to + size].copy_from_slice(&self.data[from..from + size]);
        copy
    }
}

/// Panics unless the operands of a product fit together.
fn check<F>(a: &ArrayRef2<F>, b: &Panels<F>, c: &ArrayRef2<F>) {
    assert_shape("a", "[m, k]", &[a.nrows(), b.k], a.shape());
    assert_shape("c", "[m, n]", &[a.nrows(), b.n], c.shape());
}

/// A pointer through which tasks read, or write disjoint tiles.
#[derive(Clone, Copy)]
struct Tiles<F>(*mut F);
// SAFETY: each task writes only the rows and columns of its own tile.
unsafe impl<F: Send> Send for Tiles<F> {}
// SAFETY: as above.
unsafe impl<F: Send> Sync for Tiles<F> {}

impl<F> Tiles<F> {
    fn get(&self) -> *mut F {
        self.0
    }
}

macro_rules! packed {
    ($f:ident, $line:literal, $avx512:ident, $avx2:ident) => {
        pub(crate) mod $f {
            use super::*;

            /// A buffer for the largest tile, on cache lines of its own.
            #[repr(align(64))]
            struct Buffer([$f; 8 * 3 * $line]);

            /// Returns the width of a panel and the rows of a tile at a level.
            fn tile(level: CpuLevel) -> (usize, usize) {
                match level {
                    CpuLevel::Avx512 => (3 * $line, 8),
                    CpuLevel::Avx2 => ($line, 6),
                    CpuLevel::Portable => ($line, 4),
                }
            }

            pub(crate) fn pack(b: &ArrayRef2<$f>) -> Panels<$f> {
                pack_as(b, BY_CRATE)
            }

            /// Packs a matrix for our own kernel, or whole for the `gemm` crate.
            pub(super) fn pack_as(b: &ArrayRef2<$f>, whole: bool) -> Panels<$f> {
                let (k, n) = b.dim();
                let level = CpuLevel::current();
                let width = if whole { n.max(1) } else { tile(level).0 };
                let mut panels = Panels::zeros(k, n, width, level, whole);
                repack(b, &mut panels);
                panels
            }

            /// Computes c ← a·b, or c ← c + a·b, by the `gemm` crate.
            fn by_crate(a: &ArrayRef2<$f>, b: &Panels<$f>, accumulate: bool, c: &mut ArrayRef2<$f>, threads: bool) {
                let view = ndarray::ArrayView2::from_shape((b.k, b.n), &b.panel(0)[..b.k * b.n]);
                let beta = if accumulate { 1.0 } else { 0.0 };
                gemm::dense(1.0, a, &view.expect("a panel of all columns"), beta, c, threads);
            }

            /// Replaces the packed matrix by another one of its shape.
            pub(crate) fn repack(b: &ArrayRef2<$f>, panels: &mut Panels<$f>) {
                let (k, n) = b.dim();
                assert_shape("b", "[k, n]", &[panels.k, panels.n], b.shape());
                if k == 0 || n == 0 {
                    return;
                }
                let (start, width) = (panels.start, panels.width);
                let size = n.div_ceil(width) * width * k;
                let (down, across) = (b.strides()[0], b.strides()[1]);
                let from = Tiles(b.as_ptr().cast_mut());
                let fill = |(index, panel): (usize, &mut [$f])| {
                    let first = index * width;
                    // A few rows of the panel at a time, which stay in the first-level cache for all columns.
                    for rows in (0..k).step_by($line) {
                        let part = &mut panel[rows * width..k.min(rows + $line) * width];
                        for column in 0..width.min(n - first) {
                            let places = part.iter_mut().skip(column).step_by(width);
                            for (row, place) in places.enumerate() {
                                // SAFETY: an element of `b`, which is borrowed: row below k, column below n.
                                *place = unsafe {
                                    let at =
                                        (rows + row) as isize * down + (first + column) as isize * across;
                                    *from.get().offset(at)
                                };
                            }
                        }
                    }
                };
                panels.data[start..start + size].par_chunks_mut(width * k).enumerate().for_each(fill);
            }

            /// Computes c ← a·b on the calling thread.
            pub(crate) fn serial(a: &ArrayRef2<$f>, b: &Panels<$f>, c: &mut ArrayRef2<$f>) {
                let m = a.nrows();
                check(a, b, c);
                if m == 0 || b.n == 0 {
                    return;
                }
                if b.k == 0 {
                    return c.fill(0.0);
                }
                if b.whole {
                    return by_crate(a, b, false, c, false);
                }
                if c.strides()[1] != 1 && b.n > 1 {
                    let mut dense = ndarray::Array2::zeros(c.raw_dim());
                    serial(a, b, &mut dense);
                    return c.assign(&dense);
                }
                if (a.strides()[1] != 1 && b.k > 1) || a.strides()[0] < 0 {
                    return serial(&a.as_standard_layout(), b, c);
                }
                let part = b.k.div_ceil(b.k.div_ceil(LONG_SUM));
                let (a_stride, c_stride) = (a.strides()[0] as usize, c.strides()[0]);
                let step = tile(b.level).1;
                let to = c.as_mut_ptr();
                for index in 0..b.n.div_ceil(b.width) {
                    let first_column = index * b.width;
                    let columns = b.width.min(b.n - first_column);
                    for row in (0..m).step_by(step) {
                        let height = step.min(m - row);
                        // SAFETY: rows `row..row + height` of `a` hold k values at unit stride, the panel k·width
                        // values; `c` is borrowed mutably and its columns have unit stride.
                        unsafe {
                            let a = a.as_ptr().add(row * a_stride);
                            let to = to.offset(row as isize * c_stride).add(first_column);
                            let panel = b.panel(index).as_ptr();
                            run(b.level, height, b.k, part, a, a_stride, panel, false, to, c_stride, columns);
                        }
                    }
                }
            }

            pub(crate) fn product(
                a: &ArrayRef2<$f>,
                b: &Panels<$f>,
                accumulate: bool,
                c: &mut ArrayRef2<$f>,
            ) {
                let m = a.nrows();
                check(a, b, c);
                if m == 0 || b.n == 0 {
                    return;
                }
                if b.k == 0 {
                    if !accumulate {
                        c.fill(0.0);
                    }
                    return;
                }
                if b.whole {
                    return by_crate(a, b, accumulate, c, m * b.n * b.k > SERIAL);
                }
                if c.strides()[1] != 1 && b.n > 1 {
                    let mut dense = ndarray::Array2::zeros(c.raw_dim());
                    dense.assign(c);
                    product(a, b, accumulate, &mut dense);
                    c.assign(&dense);
                    return;
                }
                // Rows a multiple of 1 KiB apart share few sets of the first-level cache, so they are copied further apart.
                let crowded = m > 1 && (a.strides()[0] as usize * size_of::<$f>()).is_multiple_of(1024);
                if (a.strides()[1] != 1 && b.k > 1) || a.strides()[0] < 0 || crowded {
                    let mut roomy = ndarray::Array2::zeros((m, b.k + 64 / size_of::<$f>()));
                    let mut view = roomy.slice_axis_mut(Axis(1), (..b.k).into());
                    view.assign(a);
                    if !(roomy.strides()[0] as usize * size_of::<$f>()).is_multiple_of(1024) {
                        return tasks(&roomy.slice_axis(Axis(1), (..b.k).into()), b, accumulate, c);
                    }
                }
                tasks(a, b, accumulate, c);
            }

            fn tasks(a: &ArrayRef2<$f>, b: &Panels<$f>, accumulate: bool, c: &mut ArrayRef2<$f>) {
                let m = a.nrows();
                let groups = m.div_ceil(TASK_ROWS);
                let count = groups * b.n.div_ceil(b.width);
                let a_stride = a.strides()[0] as usize;
                let c_stride = c.strides()[0];
                let out = Tiles(c.as_mut_ptr());
                let task = |index: usize| {
                    let (panel, group) = (index / groups, index % groups);
                    let first_column = panel * b.width;
                    let columns = b.width.min(b.n - first_column);
                    let rows = group * TASK_ROWS..m.min((group + 1) * TASK_ROWS);
                    let step = tile(b.level).1;
                    for row in rows.clone().step_by(step) {
                        let height = step.min(rows.end - row);
                        // SAFETY: rows `row..row + height` of `a` hold k values at unit stride, the panel k·width
                        // values; the tile of `c` is ours alone, and its columns have unit stride.
                        unsafe {
                            let a = a.as_ptr().add(row * a_stride);
                            let to = out.get().offset(row as isize * c_stride).add(first_column);
                            let panel = b.panel(panel).as_ptr();
                            let part = SUM_BLOCK;
                            run(
                                b.level, height, b.k, part, a, a_stride, panel, accumulate, to, c_stride,
                                columns,
                            );
                        }
                    }
                };
                if m * b.n * b.k > SERIAL && count > 1 {
                    (0..count).into_par_iter().for_each(task);
                } else {
                    (0..count).for_each(task);
                }
            }

            /// Computes one tile. It is written through a buffer if the panel is only partly filled, or if there are several
            /// blocks: their sums are added up before they are added to the old content.
            // Safety: `a`, the panel and `c` are valid for the heights, depths and strides given;
            // `c` is ours alone.
            unsafe fn run(
                level: CpuLevel,
                height: usize,
                k: usize,
                part: usize,
                a: *const $f,
                a_stride: usize,
                panel: *const $f,
                accumulate: bool,
                c: *mut $f,
                c_stride: isize,
                columns: usize,
            ) {
                let (width, _) = tile(level);
                let block = |start: usize, add: bool, to: *mut $f, stride: isize| {
                    let length = part.min(k - start);
                    // SAFETY: the caller's promises for all of k, handed on for a part of it.
                    unsafe {
                        let (a, panel) = (a.add(start), panel.add(start * width));
                        dispatch(level, height, length, a, a_stride, panel, add, to, stride)
                    }
                };
                if columns == width && k <= part {
                    return block(0, accumulate, c, c_stride);
                }
                // The rows of `c` may lie a power of two apart, all in the same few sets of the first-level cache. So the
                // sums of the blocks are added up in the buffer, where they do not evict each other.
                // The lines of a large result are fetched from memory while the sums are computed. For one row that costs
                // more than it saves.
                #[cfg(target_arch = "x86_64")]
                if height > 1 {
                    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
                    for (i, line) in
                        (0..height).flat_map(|i| (0..columns).step_by($line).map(move |j| (i, j)))
                    {
                        // SAFETY: an address inside the tile.
                        unsafe {
                            _mm_prefetch::<_MM_HINT_ET0>(c.offset(i as isize * c_stride).add(line).cast());
                        }
                    }
                }
                let mut buffer = Buffer([0.0; 8 * 3 * $line]);
                for start in (0..k).step_by(part) {
                    block(start, start > 0, buffer.0.as_mut_ptr(), width as isize);
                }
                for (i, row) in buffer.0.chunks_exact(width).take(height).enumerate() {
                    // SAFETY: row i of the tile of `c`, which holds `columns` numbers and is ours alone.
                    let to =
                        unsafe { std::slice::from_raw_parts_mut(c.offset(i as isize * c_stride), columns) };
                    for (to, sum) in to.iter_mut().zip(row) {
                        *to = if accumulate { *to + sum } else { *sum };
                    }
                }
            }

            unsafe fn dispatch(
                level: CpuLevel,
                height: usize,
                k: usize,
                a: *const $f,
                a_stride: usize,
                panel: *const $f,
                accumulate: bool,
                c: *mut $f,
                c_stride: isize,
            ) {
                #[cfg(target_arch = "x86_64")]
                let join = if accumulate { Join::Add } else { Join::Replace };
                // SAFETY: the level was detected, and the caller's promises are handed on.
                unsafe {
                    match level {
                        #[cfg(target_arch = "x86_64")]
                        CpuLevel::Avx512 => {
                            tile_of!($avx512, 3, 3 * $line, join, height, k, a, a_stride, panel, c, c_stride; 1 2 3 4 5 6 7 8)
                        }
                        #[cfg(target_arch = "x86_64")]
                        CpuLevel::Avx2 => {
                            tile_of!($avx2, 2, $line, join, height, k, a, a_stride, panel, c, c_stride; 1 2 3 4 5 6)
                        }
                        _ => portable(height, k, a, a_stride, panel, accumulate, c, c_stride),
                    }
                }
            }

            // Safety: `a`, the panel and `c` are valid for the heights, depths and strides given;
            // `c` is ours alone.
            unsafe fn portable(
                height: usize,
                k: usize,
                a: *const $f,
                a_stride: usize,
                panel: *const $f,
                accumulate: bool,
                c: *mut $f,
                c_stride: isize,
            ) {
                for i in 0..height {
                    let mut sums = [0.0; $line];
                    // SAFETY: row i of the tile, inside what the caller promised.
                    unsafe {
                        for p in 0..k {
                            let x = *a.add(i * a_stride + p);
                            for (j, sum) in sums.iter_mut().enumerate() {
                                *sum += x * *panel.add(p * $line + j);
                            }
                        }
                        for (j, sum) in sums.iter().enumerate() {
                            let to = c.offset(i as isize * c_stride).add(j);
                            *to = if accumulate { *to + sum } else { *sum };
                        }
                    }
                }
            }
        }
    };
}

/// Calls the register tile of the given height, with panel rows of `$row` numbers.
#[cfg(target_arch = "x86_64")]
macro_rules! tile_of {
    ($kernel:ident, $vectors:literal, $row:expr, $join:ident, $height:ident, $k:ident, $a:ident, $a_stride:ident, $panel:ident,
     $c:ident, $c_stride:ident; $($m:literal)+) => {{
        let a_stride = $a_stride as isize;
        match $height {
            $($m => {
                register_tile::$kernel::<$m, $vectors, true>(
                    $k, $a, a_stride, 1, $panel, $row, $join, $c, $c_stride,
                )
            })+
            height => unreachable!("a tile of {height} rows"),
        }
    }};
}

packed!(f32, 16, avx512_f32, avx2_f32);
packed!(f64, 8, avx512_f64, avx2_f64);

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn a_whole_panel_gives_the_product_of_our_own_tiles() {
        let mut stream = collimate_stream::RngStream::new(3, 0);
        for (m, k, n) in [(1, 1, 1), (5, 0, 3), (7, 33, 40), (130, 64, 96), (2, 400, 17)] {
            let mut draw = |shape| Array2::<f64>::from_shape_simple_fn(shape, || stream.normal());
            let (a, b, start) = (draw((m, k)), draw((k, n)), draw((m, n)));
            let whole = f64::pack_as(&b, true);
            let own = f64::pack_as(&b, false);
            // A product of k terms near 1 is off by at most about k units in the last place.
            let close =
                |x: &Array2<f64>, y: &Array2<f64>| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-12);
            let (mut first, mut second) = (start.clone(), start.clone());
            f64::product(&a, &whole, true, &mut first);
            f64::product(&a, &own, true, &mut second);
            assert!(close(&first, &second), "{m} × {k} × {n}, added");
            f64::serial(&a, &whole, &mut first);
            f64::serial(&a, &own, &mut second);
            assert!(close(&first, &second), "{m} × {k} × {n}");
            let other = draw((k, n));
            let mut repacked = whole.clone();
            f64::repack(&other, &mut repacked);
            f64::product(&a, &repacked, false, &mut first);
            assert!(close(&first, &a.dot(&other)), "{m} × {k} × {n}, repacked");
        }
    }

    fn panels() -> Panels<f64> {
        f64::pack(&Array2::ones((3, 4)))
    }

    #[test]
    #[should_panic(expected = "a [m, k] must have the shape [2, 3], but has [2, 5]")]
    fn a_left_operand_of_another_width_is_caught() {
        f64::product(&Array2::ones((2, 5)), &panels(), false, &mut Array2::zeros((2, 4)));
    }

    #[test]
    #[should_panic(expected = "c [m, n] must have the shape [2, 4], but has [2, 3]")]
    fn an_output_of_another_width_is_caught() {
        f64::serial(&Array2::ones((2, 3)), &panels(), &mut Array2::zeros((2, 3)));
    }

    #[test]
    #[should_panic(expected = "b [k, n] must have the shape [3, 4], but has [4, 3]")]
    fn a_matrix_of_another_shape_is_not_packed_again() {
        f64::repack(&Array2::ones((4, 3)), &mut panels());
    }
}
