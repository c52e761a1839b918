//! Multi-head latent attention: keys and values come from one short vector for each token.

use crate::error::check_shape;
use crate::{Attention, AttentionError, HeadMap, Mask, Precision, Rotary, Saved, Scale};
use collimate_measure::ensure;
use ndarray::{Array2, Array3, ArrayRef2, ArrayRef3, Axis, concatenate, s};

/// The way in which the output is computed. Both ways give the same output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LatentForm {
    /// Keys and values are computed for every head: cheaper for many queries.
    Expanded,
    /// W_UK is absorbed into the queries and W_UV into the output, so that all heads read the latents directly:
    /// multi-query attention, whose cache has l + r numbers for each token.
    Absorbed,
}

/// Multi-head latent attention.
///
/// ```text
/// k_hj = [R(j) κ_j ; W_UK,h c_j],   v_hj = W_UV,h c_j,   q_hi = [R(i) ρ_hi ; χ_hi],   out = softmax(scale · q kᵀ) v
/// absorbed:   ⟨χ_hi, W_UK,h c_j⟩ = ⟨W_UK,hᵀ χ_hi, c_j⟩,   out_hi = W_UV,h Σ_j p_ij c_j
/// ```
///
/// The scale belongs to the expanded width n + r in both forms. Absorbed rows are longer, and 1/√(l + r) would be wrong.
///
/// # Examples
/// ```
/// use collimate_attention::algebra::{Latent, LatentArguments, LatentForm};
/// use collimate_attention::Mask;
/// use ndarray::{Array2, Array3};
/// let arguments = LatentArguments {
///     q_content: Array3::from_shape_fn((2, 3, 2), |(h, t, n)| (h + 2 * t + n) as f64 * 0.1),
///     q_rotary: Array3::ones((2, 3, 2)),
///     latent: Array2::from_shape_fn((3, 5), |(s, l)| (s as f64 - l as f64) * 0.3),
///     k_rotary: Array2::ones((3, 2)),
///     up_key: Array3::from_shape_fn((2, 2, 5), |(h, n, l)| (h + n + l) as f64 * 0.2),
///     up_value: Array3::ones((2, 4, 5)),
/// };
/// let attention = Latent { rotary: None, mask: Mask::none() };
/// let (expanded, _) = attention.forward(LatentForm::Expanded, &arguments)?;
/// let (absorbed, _) = attention.forward(LatentForm::Absorbed, &arguments)?;
/// assert!((&expanded - &absorbed).iter().all(|x| x.abs() < 1e-12));
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// DeepSeek-AI (2024), "DeepSeek-V2", section 2.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latent {
    /// The rotary positions of the rotary parts, or none. Their width is r.
    pub rotary: Option<Rotary>,
    /// The keys that a query attends to.
    pub mask: Mask,
}

/// The arguments of latent attention. Gradients have this type too.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentArguments<F> {
    /// The part of the queries that is compared with the latents, χ `[h, t, n]`.
    pub q_content: Array3<F>,
    /// The part of the queries that carries positions, ρ `[h, t, r]`, before its rotation.
    pub q_rotary: Array3<F>,
    /// The latents c `[s, l]`: the cache, together with `k_rotary`.
    pub latent: Array2<F>,
    /// The positional part of the keys, κ `[s, r]`, shared by all heads, before its rotation.
    pub k_rotary: Array2<F>,
    /// The weights W_UK `[h, n, l]`.
    pub up_key: Array3<F>,
    /// The weights W_UV `[h, e, l]`.
    pub up_value: Array3<F>,
}

/// The results that a forward pass of [`Latent`] keeps.
#[derive(Clone, Debug)]
pub struct LatentSaved<F> {
    form: LatentForm,
    arguments: LatentArguments<F>,
    saved: Saved<F>,
    /// Σ_j p_ij c_j `[h, t, l]`, in the absorbed form.
    context: Array3<F>,
}

impl Latent {
    /// Computes the output `[h, t, e]`, and keeps what the backward pass needs.
    ///
    /// # Errors
    /// [`AttentionError`] if shapes or rotary parameters do not fit.
    pub fn forward<F: Precision>(
        &self,
        form: LatentForm,
        arguments: &LatentArguments<F>,
    ) -> Result<(Array3<F>, LatentSaved<F>), AttentionError> {
        let LatentArguments { q_content, q_rotary, latent, k_rotary, up_key, up_value } = arguments;
        let ((heads, queries, n), r) = (q_content.dim(), q_rotary.dim().2);
        let (keys, l) = latent.dim();
        let e = up_value.dim().1;
        check_shape("q_rotary", "[h, t, r]", &[heads, queries, r], q_rotary.shape())?;
        check_shape("k_rotary", "[s, r]", &[keys, r], k_rotary.shape())?;
        check_shape("up_key", "[h, n, l]", &[heads, n, l], up_key.shape())?;
        check_shape("up_value", "[h, e, l]", &[heads, e, l], up_value.shape())?;
        if let Some(Rotary { width, .. }) = self.rotary {
            ensure(width == r, "the rotary width", "the width r of the rotary parts", width as f64)?;
        }
        let mut attention = Attention::scaled_dot_product()
            .scale(Scale::Fixed(Scale::InverseSqrtDim.value(n + r)))
            .mask(self.mask);
        attention.rotary = self.rotary;
        let latents = latent.view().insert_axis(Axis(0));
        let positions = k_rotary.view().insert_axis(Axis(0));
        let (out, saved, context) = match form {
            LatentForm::Expanded => {
                let k = each_head(
                    heads,
                    |h| latent_product(latent, &up_key.index_axis(Axis(0), h).t()),
                    (keys, n),
                );
                let v = each_head(
                    heads,
                    |h| latent_product(latent, &up_value.index_axis(Axis(0), h).t()),
                    (keys, e),
                );
                let shared = positions.broadcast((heads, keys, r)).expect("one axis is repeated");
                let (out, saved) = attention.forward(
                    &join(&q_rotary.view(), &q_content.view()),
                    &join(&shared, &k.view()),
                    &v,
                )?;
                (out, saved, Array3::zeros((0, 0, 0)))
            }
            LatentForm::Absorbed => {
                let product =
                    |h| latent_product(&q_content.index_axis(Axis(0), h), &up_key.index_axis(Axis(0), h));
                let q = each_head(heads, product, (queries, l));
                let (context, saved) = attention.heads(HeadMap::multi_query()).forward(
                    &join(&q_rotary.view(), &q.view()),
                    &join(&positions, &latents),
                    &latents,
                )?;
                let product =
                    |h| latent_product(&context.index_axis(Axis(0), h), &up_value.index_axis(Axis(0), h).t());
                (each_head(heads, product, (queries, e)), saved, context)
            }
        };
        Ok((out, LatentSaved { form, arguments: arguments.clone(), saved, context }))
    }

    /// Computes the gradients by all arguments from the gradient by the output `[h, t, e]`.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if `d_out` has another shape than the output.
    pub fn backward<F: Precision>(
        &self,
        saved: &LatentSaved<F>,
        d_out: &ArrayRef3<F>,
    ) -> Result<LatentArguments<F>, AttentionError> {
        let LatentArguments { q_content, q_rotary, latent, k_rotary, up_key, up_value } = &saved.arguments;
        let ((heads, queries, n), r) = (q_content.dim(), q_rotary.dim().2);
        let e = up_value.dim().1;
        check_shape("d_out", "[h, t, e]", &[heads, queries, e], d_out.shape())?;
        let mut by = LatentArguments {
            q_content: Array3::zeros(q_content.dim()),
            q_rotary: Array3::zeros(q_rotary.dim()),
            latent: Array2::zeros(latent.dim()),
            k_rotary: Array2::zeros(k_rotary.dim()),
            up_key: Array3::zeros(up_key.dim()),
            up_value: Array3::zeros(up_value.dim()),
        };
        match saved.form {
            LatentForm::Expanded => {
                let g = Attention::scaled_dot_product().backward(&saved.saved, d_out)?;
                by.q_rotary.assign(&g.q.slice(s![.., .., ..r]));
                by.q_content.assign(&g.q.slice(s![.., .., r..]));
                for h in 0..heads {
                    let d_k = g.k.slice(s![h, .., r..r + n]);
                    let d_v = g.v.index_axis(Axis(0), h);
                    by.k_rotary += &g.k.slice(s![h, .., ..r]);
                    by.latent += &latent_product(&d_k, &up_key.index_axis(Axis(0), h));
                    by.latent += &latent_product(&d_v, &up_value.index_axis(Axis(0), h));
                    by.up_key.index_axis_mut(Axis(0), h).assign(&latent_product(&d_k.t(), latent));
                    by.up_value.index_axis_mut(Axis(0), h).assign(&latent_product(&d_v.t(), latent));
                }
            }
            LatentForm::Absorbed => {
                let product =
                    |h| latent_product(&d_out.index_axis(Axis(0), h), &up_value.index_axis(Axis(0), h));
                let d_context = each_head(heads, product, (queries, latent.ncols()));
                let g = Attention::scaled_dot_product().backward(&saved.saved, &d_context)?;
                by.q_rotary.assign(&g.q.slice(s![.., .., ..r]));
                by.k_rotary.assign(&g.k.slice(s![0, .., ..r]));
                by.latent.assign(&g.k.slice(s![0, .., r..]));
                by.latent += &g.v.index_axis(Axis(0), 0);
                for h in 0..heads {
                    let (d_q, own) = (g.q.slice(s![h, .., r..]), q_content.index_axis(Axis(0), h));
                    let up = up_key.index_axis(Axis(0), h);
                    by.q_content.index_axis_mut(Axis(0), h).assign(&latent_product(&d_q, &up.t()));
                    by.up_key.index_axis_mut(Axis(0), h).assign(&latent_product(&own.t(), &d_q));
                    let (d_o, context) = (d_out.index_axis(Axis(0), h), saved.context.index_axis(Axis(0), h));
                    by.up_value.index_axis_mut(Axis(0), h).assign(&latent_product(&d_o.t(), &context));
                }
            }
        }
        Ok(by)
    }
}

impl<F: Precision> LatentSaved<F> {
    /// Computes the pattern of one head `[t, s]`. It does not depend on the form.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head.
    pub fn pattern(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        self.saved.pattern(head)
    }
}

fn latent_product<F: Precision>(a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> Array2<F> {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    F::matmul_kernel(F::one(), a, b, F::zero(), &mut c, true);
    c
}

fn each_head<F: Precision>(
    heads: usize,
    product: impl Fn(usize) -> Array2<F>,
    (rows, columns): (usize, usize),
) -> Array3<F> {
    let mut all = Array3::zeros((heads, rows, columns));
    (0..heads).for_each(|h| all.index_axis_mut(Axis(0), h).assign(&product(h)));
    all
}

/// Joins both parts of the rows. The positional part comes first, because the rotation turns the first numbers.
fn join<F: Precision>(
    positions: &ndarray::ArrayView3<'_, F>,
    content: &ndarray::ArrayView3<'_, F>,
) -> Array3<F> {
    concatenate(Axis(2), &[positions.view(), content.view()]).expect("the first two axes agree")
}
