use super::{after, before, steps};
use crate::AttentionError;
use crate::error::check_shape;
use collimate_tensor::Scalar;
use ndarray::{Array3, ArrayRef2, ArrayRef3, Axis, concatenate, s};

/// The treatment of the dimensions: one map for their sum, or a map for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One map for each head.
    Summed,
    /// d maps for each head, "dimension by dimension": each dimension is a head of width 1.
    PerDimension,
}

/// The treatment of the product of the two differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrossTerm {
    /// ⟨Δq, k⟩ + ⟨q, Δk⟩: the product rule of calculus, to first order in the step.
    Without,
    /// With ⟨Δq, Δk⟩: exactly ⟨q_{i+1}, k_{j+1}⟩ − ⟨q_i, k_j⟩.
    With,
}

/// Computes the scores of every step of the queries and every step of the keys of one head.
///
/// ```text
/// s_ij = ⟨Δq_i, k_j⟩ + ⟨q_i, Δk_j⟩ (+ ⟨Δq_i, Δk_j⟩)
/// ```
/// With the cross term the diagonal is the published sum, and a path (i, j), (i + 1, j + 1), … telescopes.
///
/// # Shapes
/// `q [t, d]` and `k [s, d]` give `[1, t − 1, s − 1]`, or `[d, t − 1, s − 1]` per dimension.
///
/// # Errors
/// [`AttentionError::Shape`] if the widths differ.
///
/// # Examples
/// ```
/// use collimate_attention::product_rule::{Channels, CrossTerm, all_pairs};
/// use ndarray::array;
/// let (q, k) = (array![[1.0], [3.0]], array![[2.0], [5.0], [4.0]]);
/// let s = all_pairs(Channels::Summed, CrossTerm::With, &q, &k)?;
/// assert_eq!(s, array![[[13.0, 7.0]]]); // 3·5 − 1·2 and 3·4 − 1·5
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn all_pairs<F: Scalar>(
    channels: Channels,
    cross: CrossTerm,
    q: &ArrayRef2<F>,
    k: &ArrayRef2<F>,
) -> Result<Array3<F>, AttentionError> {
    let head = |x: &ArrayRef2<F>| x.to_owned().insert_axis(Axis(0));
    let (q, k) = lift(channels, cross, &head(q), &head(k))?;
    Ok(collimate_tensor::batched_matmul(&q, &k.permuted_axes([0, 2, 1]))?)
}

/// Computes queries and keys over steps whose inner products are the scores of [`all_pairs`].
///
/// ```text
/// q′_i = [Δq_i, q_i],   k′_j = [k_j, Δk_j], or [k_{j+1}, Δk_j] with the cross term
/// ```
/// Query step `i` depends on position i + 1, and key step `j` on position j + 1, so a causal mask over steps hides the future.
/// The scores grow with the width like dot products: use `Scale::Fixed(1/√d)` with the width d of the given rows.
///
/// # Shapes
/// Summed: `q [h, t, d]` gives `[h, t − 1, 2d]`, `k [g, s, d]` gives `[g, s − 1, 2d]`. Per dimension: `[h·d, t − 1, 2]` and
/// `[g·d, s − 1, 2]`, with dimension `c` of head `h` at h·d + c. Repeat shared key heads before.
///
/// # Errors
/// [`AttentionError::Shape`] if the widths differ.
///
/// # Examples
/// ```
/// use collimate_attention::product_rule::{Channels, CrossTerm, lift, step_values};
/// use collimate_attention::{Attention, Mask, Offset, Scale};
/// use ndarray::Array3;
/// // A constant sequence has scores of zero: each step gives the mean of the values up to it.
/// let still = Array3::<f64>::ones((1, 4, 2));
/// let v = Array3::from_shape_fn((1, 4, 1), |(_, t, _)| t as f64);
/// let (q, k) = lift(Channels::Summed, CrossTerm::Without, &still, &still)?;
/// let attention =
///     Attention::scaled_dot_product().scale(Scale::Fixed(0.5_f64.sqrt())).mask(Mask::causal(Offset::zero()));
/// let (out, _) = attention.forward(&q, &k, &step_values(Channels::Summed, &v))?;
/// assert_eq!(out[[0, 2, 0]], 2.0); // the mean of 1, 2, 3
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn lift<F: Scalar>(
    channels: Channels,
    cross: CrossTerm,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
) -> Result<(Array3<F>, Array3<F>), AttentionError> {
    let (g, s, _) = k.dim();
    check_shape("k", "[g, s, d]", &[g, s, q.dim().2], k.shape())?;
    let reached = match cross {
        CrossTerm::Without => before(k),
        CrossTerm::With => after(k),
    };
    Ok((paired(channels, steps(q), before(q)), paired(channels, reached, steps(k))))
}

/// Turns the gradients by the lifted queries and keys into the gradients by the queries and keys.
///
/// # Shapes
/// `d_q` and `d_k` have the shapes of the results of [`lift`]. The results here have one position more.
///
/// # Errors
/// [`AttentionError::Shape`] unless the last axis is even, or 2 per dimension with a multiple of `width` heads.
pub fn lift_backward<F: Scalar>(
    channels: Channels,
    cross: CrossTerm,
    width: usize,
    d_q: &ArrayRef3<F>,
    d_k: &ArrayRef3<F>,
) -> Result<(Array3<F>, Array3<F>), AttentionError> {
    let (d_step, d_before) = parts(channels, width, "d_q", d_q)?;
    let mut q = Array3::zeros(longer(&d_step));
    add_steps(&mut q, &d_step);
    let mut rows = q.slice_mut(s![.., ..-1, ..]);
    rows += &d_before;
    let (d_reached, d_step) = parts(channels, width, "d_k", d_k)?;
    let mut k = Array3::zeros(longer(&d_step));
    add_steps(&mut k, &d_step);
    let mut rows = match cross {
        CrossTerm::Without => k.slice_mut(s![.., ..-1, ..]),
        CrossTerm::With => k.slice_mut(s![.., 1.., ..]),
    };
    rows += &d_reached;
    Ok((q, k))
}

/// Returns the values of the steps: the values at the position after each step.
///
/// # Shapes
/// `v [g, s, e]` gives `[g, s − 1, e]`, or per dimension `[g·e, s − 1, 1]`, which fits lifted heads if e is d.
pub fn step_values<F: Scalar>(channels: Channels, v: &ArrayRef3<F>) -> Array3<F> {
    match channels {
        Channels::Summed => after(v),
        Channels::PerDimension => by_dimension(after(v)),
    }
}

/// Turns the gradient by [`step_values`] into the gradient by the values of width `width`. It is zero at the first position.
///
/// # Errors
/// [`AttentionError::Shape`] if per dimension the number of heads is no multiple of `width`.
pub fn step_values_backward<F: Scalar>(
    channels: Channels,
    width: usize,
    d_values: &ArrayRef3<F>,
) -> Result<Array3<F>, AttentionError> {
    let d = match channels {
        Channels::Summed => d_values.to_owned(),
        Channels::PerDimension => by_head("d_values", width, d_values)?,
    };
    let mut out = Array3::zeros(longer(&d));
    out.slice_mut(s![.., 1.., ..]).assign(&d);
    Ok(out)
}

/// Joins a and b along the last axis, or for each dimension.
fn paired<F: Scalar>(channels: Channels, a: Array3<F>, b: Array3<F>) -> Array3<F> {
    let (a, b) = match channels {
        Channels::Summed => (a, b),
        Channels::PerDimension => (by_dimension(a), by_dimension(b)),
    };
    concatenate(Axis(2), &[a.view(), b.view()]).expect("both halves have one shape")
}

/// Splits a gradient by the result of [`paired`] into its halves, head by head.
fn parts<F: Scalar>(
    channels: Channels,
    width: usize,
    name: &'static str,
    d: &ArrayRef3<F>,
) -> Result<(Array3<F>, Array3<F>), AttentionError> {
    let (heads, t, last) = d.dim();
    let half = match channels {
        Channels::Summed => width,
        Channels::PerDimension => 1,
    };
    check_shape(
        name,
        "[h, t − 1, 2d], or [h·d, t − 1, 2] per dimension",
        &[heads, t, 2 * half],
        &[heads, t, last],
    )?;
    let (a, b) = d.view().split_at(Axis(2), half);
    match channels {
        Channels::Summed => Ok((a.to_owned(), b.to_owned())),
        Channels::PerDimension => Ok((by_head(name, width, &a)?, by_head(name, width, &b)?)),
    }
}

/// Turns `[h, t, d]` into `[h·d, t, 1]`.
fn by_dimension<F: Scalar>(x: Array3<F>) -> Array3<F> {
    let (h, t, d) = x.dim();
    Array3::from_shape_fn((h * d, t, 1), |(i, t, _)| x[[i / d, t, i % d]])
}

/// Turns `[h·d, t, 1]` into `[h, t, d]`.
fn by_head<F: Scalar>(
    name: &'static str,
    width: usize,
    x: &ArrayRef3<F>,
) -> Result<Array3<F>, AttentionError> {
    let (heads, t, _) = x.dim();
    let whole = heads.checked_div(width).unwrap_or(0);
    check_shape(name, "[h·d, t − 1, 1 or 2]", &[whole * width, t], &[heads, t])?;
    Ok(Array3::from_shape_fn((whole, t, width), |(h, t, c)| x[[h * width + c, t, 0]]))
}

/// Returns the shape with one position more.
fn longer<F>(x: &Array3<F>) -> (usize, usize, usize) {
    let (h, t, d) = x.dim();
    (h, t + 1, d)
}

/// Adds the gradient by differences to the later positions, and subtracts it from the earlier positions.
fn add_steps<F: Scalar>(x: &mut Array3<F>, d_steps: &Array3<F>) {
    let mut later = x.slice_mut(s![.., 1.., ..]);
    later += d_steps;
    let mut earlier = x.slice_mut(s![.., ..-1, ..]);
    earlier -= d_steps;
}
