//! The inner loop of reduced-rank regression: eight samples side by side, all sums in registers or first-level cache.
#![allow(unsafe_code)]

use collimate_tensor::CpuLevel;

/// Samples that go through the network together.
const LANES: usize = 8;

/// One number for each of the samples in flight.
type Lane = [f64; LANES];

/// The sizes of a network M → H → N.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) hidden: usize,
    pub(crate) outputs: usize,
}

/// Working memory, kept between calls.
#[derive(Default)]
pub(crate) struct Lanes {
    x: Vec<Lane>,
    y: Vec<Lane>,
    hidden: Vec<Lane>,
    back: Vec<Lane>,
    gradient: Vec<Lane>,
}

/// Σ |B A x − y|² over `count` samples, with its half gradient Σ (BᵀR xᵀ, R (A x)ᵀ) in `out`.
pub(crate) fn reduced_rank(
    shape: Shape,
    w: &[f64],
    rows: &[f64],
    count: usize,
    index: impl Fn(usize) -> usize,
    lanes: &mut Lanes,
    out: &mut [f64],
) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if CpuLevel::current() >= CpuLevel::Avx2 {
        // SAFETY: the level says that the running processor has AVX2 and FMA.
        return unsafe { with_fma(shape, w, rows, count, index, lanes, out) };
    }
    body::<false>(shape, w, rows, count, index, lanes, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_fma(
    shape: Shape,
    w: &[f64],
    rows: &[f64],
    count: usize,
    index: impl Fn(usize) -> usize,
    lanes: &mut Lanes,
    out: &mut [f64],
) -> f64 {
    body::<true>(shape, w, rows, count, index, lanes, out)
}

/// `sum += a·b` in each lane.
#[inline(always)]
fn add<const FMA: bool>(a: &Lane, b: &Lane, sum: &mut Lane) {
    for l in 0..LANES {
        sum[l] = if FMA { a[l].mul_add(b[l], sum[l]) } else { a[l] * b[l] + sum[l] };
    }
}

#[inline(always)]
fn body<const FMA: bool>(
    shape: Shape,
    w: &[f64],
    rows: &[f64],
    count: usize,
    index: impl Fn(usize) -> usize,
    lanes: &mut Lanes,
    out: &mut [f64],
) -> f64 {
    let Shape { inputs: m, hidden: h, outputs: n } = shape;
    let (a, b) = w.split_at(h * m);
    let zero = [0.0; LANES];
    lanes.x.resize(m, zero);
    lanes.y.resize(n, zero);
    lanes.hidden.resize(h, zero);
    lanes.back.resize(h, zero);
    lanes.gradient.clear();
    lanes.gradient.resize(w.len(), zero);
    let (d_a, d_b) = lanes.gradient.split_at_mut(h * m);
    let mut squares = zero;
    let mut start = 0;
    while start < count {
        let filled = (count - start).min(LANES);
        for l in 0..filled {
            let at = index(start + l) * (m + n);
            let (x, y) = rows[at..at + m + n].split_at(m);
            lanes.x.iter_mut().zip(x).for_each(|(lane, &x)| lane[l] = x);
            lanes.y.iter_mut().zip(y).for_each(|(lane, &y)| lane[l] = y);
        }
        for l in filled..LANES {
            // Empty lanes of the last group: x = y = 0 adds nothing anywhere.
            lanes.x.iter_mut().chain(lanes.y.iter_mut()).for_each(|lane| lane[l] = 0.0);
        }
        for (row, hidden) in a.chunks_exact(m).zip(&mut lanes.hidden) {
            let mut sum = zero;
            for (&a, x) in row.iter().zip(&lanes.x) {
                add::<FMA>(&[a; LANES], x, &mut sum);
            }
            *hidden = sum;
        }
        lanes.back.fill(zero);
        for ((row, y), d_b) in b.chunks_exact(h).zip(&lanes.y).zip(d_b.chunks_exact_mut(h)) {
            let mut residual = y.map(|y| -y);
            for (&b, hidden) in row.iter().zip(&lanes.hidden) {
                add::<FMA>(&[b; LANES], hidden, &mut residual);
            }
            add::<FMA>(&residual, &residual, &mut squares);
            for (((&b, hidden), back), d_b) in row.iter().zip(&lanes.hidden).zip(&mut lanes.back).zip(d_b) {
                add::<FMA>(&residual, hidden, d_b);
                add::<FMA>(&[b; LANES], &residual, back);
            }
        }
        for (back, d_a) in lanes.back.iter().zip(d_a.chunks_exact_mut(m)) {
            for (x, d_a) in lanes.x.iter().zip(d_a) {
                add::<FMA>(back, x, d_a);
            }
        }
        start += LANES;
    }
    out.iter_mut().zip(&lanes.gradient).for_each(|(out, lane)| *out = lane.iter().sum());
    squares.iter().sum()
}
