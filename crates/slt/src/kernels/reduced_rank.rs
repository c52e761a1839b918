//! The inner loop of reduced-rank regression: eight samples side by side, all sums in registers or first-level cache.

use collimate_tensor::kernel_parts::lanes::add_product;
use collimate_tensor::leveled;

/// The number of samples that go through the network together.
pub(crate) const LANES: usize = 8;

/// One number for each of these samples.
pub(crate) type Lane = [f64; LANES];

const ZERO: Lane = [0.0; LANES];

/// The sizes of a network M → H → N.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// M.
    pub(crate) inputs: usize,
    /// H.
    pub(crate) hidden: usize,
    /// N.
    pub(crate) outputs: usize,
}

/// Working memory, kept between calls.
#[derive(Default)]
pub(crate) struct Lanes {
    x: Vec<Lane>,
    hidden: Vec<Lane>,
    back: Vec<Lane>,
    gradient: Vec<Lane>,
}

/// The source of the groups of eight samples.
#[derive(Clone, Copy)]
pub(crate) enum Samples<'a> {
    /// All groups, laid out column by column. The last group is filled with zeros.
    Groups(&'a [Lane]),
    /// Rows x, y of all samples, and the indices of the selected samples. A row of zeros at the end serves empty lanes.
    Picked(&'a [f64], &'a [usize]),
}

impl Samples<'_> {
    /// Returns the number of groups.
    fn groups(self, width: usize) -> usize {
        match self {
            Samples::Groups(lanes) => lanes.len() / width,
            Samples::Picked(_, indices) => indices.len().div_ceil(LANES),
        }
    }
}

leveled! {
    [FMA: bool = true, true, false]

    /// Returns Σ |B A x − y|² over the samples, and writes half its gradient, Σ (BᵀR xᵀ, R (A x)ᵀ), to `out`.
    pub(crate) fn squared_error(
        shape: Shape,
        w: &[f64],
        samples: Samples<'_>,
        lanes: &mut Lanes,
        out: &mut [f64],
    ) -> f64 {
        by_samples::<FMA>(shape, w, samples, lanes, out)
    }
}

/// Chooses the loop that reads from this source.
#[inline(always)]
fn by_samples<const FMA: bool>(
    shape: Shape,
    w: &[f64],
    samples: Samples<'_>,
    lanes: &mut Lanes,
    out: &mut [f64],
) -> f64 {
    let count = samples.groups(shape.inputs + shape.outputs);
    let width = shape.inputs + shape.outputs;
    match samples {
        Samples::Groups(columns) => {
            let source = |_: &(), group: usize, column: usize| columns[group * width + column];
            by_hidden::<FMA, ()>(shape, w, count, |_| (), source, lanes, out)
        }
        Samples::Picked(rows, indices) => {
            let empty = rows.len() / width - 1;
            let picked = |group: usize| -> [&[f64]; LANES] {
                std::array::from_fn(|l| {
                    let start = indices.get(group * LANES + l).unwrap_or(&empty) * width;
                    &rows[start..start + width]
                })
            };
            let source = |at: &[&[f64]; LANES], _: usize, column: usize| {
                debug_assert!(column < width);
                // SAFETY: the rows were cut to `width` numbers, and the loops ask for columns below inputs + outputs.
                at.map(|row| unsafe { *row.get_unchecked(column) })
            };
            by_hidden::<FMA, _>(shape, w, count, picked, source, lanes, out)
        }
    }
}

/// Chooses the loop for a number of hidden units. Up to four stay in registers, with one unrolled loop for each number.
#[inline(always)]
fn by_hidden<const FMA: bool, P>(
    shape: Shape,
    w: &[f64],
    groups: usize,
    place: impl Fn(usize) -> P,
    source: impl Fn(&P, usize, usize) -> Lane,
    lanes: &mut Lanes,
    out: &mut [f64],
) -> f64 {
    match shape.hidden {
        1 => few::<FMA, 1, P>(shape, w, groups, place, source, lanes, out),
        2 => few::<FMA, 2, P>(shape, w, groups, place, source, lanes, out),
        3 => few::<FMA, 3, P>(shape, w, groups, place, source, lanes, out),
        4 => few::<FMA, 4, P>(shape, w, groups, place, source, lanes, out),
        _ => many::<FMA, P>(shape, w, groups, place, source, lanes, out),
    }
}

/// Runs all groups through a network of `H` hidden units, whose values stay in registers.
#[inline(always)]
fn few<const FMA: bool, const H: usize, P>(
    shape: Shape,
    w: &[f64],
    groups: usize,
    place: impl Fn(usize) -> P,
    source: impl Fn(&P, usize, usize) -> Lane,
    lanes: &mut Lanes,
    out: &mut [f64],
) -> f64 {
    let Shape { inputs: m, outputs: n, .. } = shape;
    let (a, b) = w.split_at(H * m);
    lanes.x.resize(m, ZERO);
    lanes.gradient.clear();
    lanes.gradient.resize(w.len(), ZERO);
    let (d_a, d_b) = lanes.gradient.split_at_mut(H * m);
    let x = &mut lanes.x[..m];
    let mut squares = ZERO;
    for group in 0..groups {
        let at = place(group);
        let mut hidden = [ZERO; H];
        for (j, x) in x.iter_mut().enumerate() {
            *x = source(&at, group, j);
            for k in 0..H {
                add_product::<FMA, f64, LANES>(&[a[k * m + j]; LANES], x, &mut hidden[k]);
            }
        }
        let mut back = [ZERO; H];
        for (o, (row, d_b)) in b.chunks_exact(H).zip(d_b.chunks_exact_mut(H)).enumerate().take(n) {
            let mut residual = source(&at, group, m + o).map(|y| -y);
            for k in 0..H {
                add_product::<FMA, f64, LANES>(&[row[k]; LANES], &hidden[k], &mut residual);
            }
            add_product::<FMA, f64, LANES>(&residual, &residual, &mut squares);
            for k in 0..H {
                add_product::<FMA, f64, LANES>(&residual, &hidden[k], &mut d_b[k]);
                add_product::<FMA, f64, LANES>(&[row[k]; LANES], &residual, &mut back[k]);
            }
        }
        for (k, d_a) in d_a.chunks_exact_mut(m).enumerate() {
            for (x, d_a) in x.iter().zip(d_a) {
                add_product::<FMA, f64, LANES>(&back[k], x, d_a);
            }
        }
    }
    out.iter_mut().zip(&lanes.gradient).for_each(|(out, lane)| *out = lane.iter().sum());
    squares.iter().sum()
}

/// Runs all groups through a network of any number of hidden units.
#[inline(always)]
fn many<const FMA: bool, P>(
    shape: Shape,
    w: &[f64],
    groups: usize,
    place: impl Fn(usize) -> P,
    source: impl Fn(&P, usize, usize) -> Lane,
    lanes: &mut Lanes,
    out: &mut [f64],
) -> f64 {
    let Shape { inputs: m, hidden: h, .. } = shape;
    let (a, b) = w.split_at(h * m);
    lanes.x.resize(m, ZERO);
    lanes.hidden.resize(h, ZERO);
    lanes.back.resize(h, ZERO);
    lanes.gradient.clear();
    lanes.gradient.resize(w.len(), ZERO);
    let (d_a, d_b) = lanes.gradient.split_at_mut(h * m);
    let (x, hidden, back) = (&mut lanes.x[..m], &mut lanes.hidden[..h], &mut lanes.back[..h]);
    let mut squares = ZERO;
    for group in 0..groups {
        let at = place(group);
        for (j, x) in x.iter_mut().enumerate() {
            *x = source(&at, group, j);
        }
        for (row, hidden) in a.chunks_exact(m).zip(hidden.iter_mut()) {
            let mut sum = ZERO;
            for (&a, x) in row.iter().zip(x.iter()) {
                add_product::<FMA, f64, LANES>(&[a; LANES], x, &mut sum);
            }
            *hidden = sum;
        }
        back.fill(ZERO);
        for (o, (row, d_b)) in b.chunks_exact(h).zip(d_b.chunks_exact_mut(h)).enumerate() {
            let mut residual = source(&at, group, m + o).map(|y| -y);
            for (&b, hidden) in row.iter().zip(hidden.iter()) {
                add_product::<FMA, f64, LANES>(&[b; LANES], hidden, &mut residual);
            }
            add_product::<FMA, f64, LANES>(&residual, &residual, &mut squares);
            for (((&b, hidden), back), d_b) in row.iter().zip(hidden.iter()).zip(back.iter_mut()).zip(d_b) {
                add_product::<FMA, f64, LANES>(&residual, hidden, d_b);
                add_product::<FMA, f64, LANES>(&[b; LANES], &residual, back);
            }
        }
        for (back, d_a) in back.iter().zip(d_a.chunks_exact_mut(m)) {
            for (x, d_a) in x.iter().zip(d_a) {
                add_product::<FMA, f64, LANES>(back, x, d_a);
            }
        }
    }
    out.iter_mut().zip(&lanes.gradient).for_each(|(out, lane)| *out = lane.iter().sum());
    squares.iter().sum()
}
