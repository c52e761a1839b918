//! A claim about the expanded and the absorbed form of latent attention.

use super::order::normal;
use super::subjects::largest;
use crate::algebra::{Latent, LatentArguments, LatentForm};
use crate::{Mask, Offset, Rotary};
use collimate_claims::{Claim, Exact, Meta, Subject, larger};
use ndarray::{Array2, Array3};

/// Multi-head latent attention, with its positions, its mask and its scale.
pub trait LatentAttends: Send + Sync + 'static {
    /// Returns the output `[h, t, e]`.
    fn attend_latent(&self, arguments: &LatentArguments<f64>) -> Array3<f64>;

    /// Returns the gradients of ⟨d_out, output⟩ by all arguments, if it has a backward pass.
    fn latent_gradients(
        &self,
        _arguments: &LatentArguments<f64>,
        _d_out: &Array3<f64>,
    ) -> Option<LatentArguments<f64>> {
        None
    }
}

/// Causal latent attention of this crate with interleaved rotary positions, in a form.
pub(super) struct InForm(pub(super) LatentForm);

impl InForm {
    fn attention() -> Latent {
        Latent { rotary: Some(Rotary::interleaved(2, 10.0)), mask: Mask::causal(Offset::zero()) }
    }
}

impl LatentAttends for InForm {
    fn attend_latent(&self, arguments: &LatentArguments<f64>) -> Array3<f64> {
        Self::attention().forward(self.0, arguments).expect("the claim draws shapes that fit").0
    }

    fn latent_gradients(
        &self,
        arguments: &LatentArguments<f64>,
        d_out: &Array3<f64>,
    ) -> Option<LatentArguments<f64>> {
        let (_, saved) =
            Self::attention().forward(self.0, arguments).expect("the claim draws shapes that fit");
        Some(Self::attention().backward(&saved, d_out).expect("shapes fit"))
    }
}

/// Claims that the absorbed form of latent attention is the expanded form, backwards too if both have gradients.
pub fn latent_absorbed_is_expanded(expanded: impl LatentAttends, absorbed: impl LatentAttends) -> impl Claim {
    let meta = Meta::theorem(
        "attention/latent-absorbed-is-expanded",
        Subject::Attention,
        "latent attention with W_UK and W_UV absorbed has the output and the gradients of the expanded form",
    )
    .source("DeepSeek-AI (2024), DeepSeek-V2, section 2.1");
    Exact::new(meta)
        .dims(&[("heads", 1..=3), ("tokens", 1..=4), ("width", 1..=3), ("latent", 1..=4)])
        .names(&["content", "rotary", "latent", "keys", "up"])
        .input(|dims, stream| {
            let [h, t, n, l] = [dims[0], dims[1], dims[2], dims[3]];
            let content = normal(stream, h * t, n);
            let (rotary, latent) = (normal(stream, h * t, 2), normal(stream, t, l));
            let keys = normal(stream, t, 2);
            Some((content, rotary, latent, keys, normal(stream, h * 2 * n, l)))
        })
        .admits(|(content, rotary, latent, keys, up)| {
            let all = content.iter().chain(rotary).chain(latent).chain(keys).chain(up);
            let tokens = latent.nrows();
            all.into_iter().all(|x: &f64| x.abs() <= 10.0)
                && content.nrows() % tokens.max(1) == 0
                && rotary.nrows() == content.nrows()
                && keys.nrows() == tokens
        })
        .margin(move |(content, rotary, latent, keys, up)| {
            let (t, n) = (latent.nrows(), content.ncols());
            let h = content.nrows() / t;
            let cube = |x: &Array2<f64>, first: usize, rows: usize| {
                Array3::from_shape_fn((h, rows, x.ncols()), |(a, b, c)| x[[first + a * rows + b, c]])
            };
            let arguments = LatentArguments {
                q_content: cube(content, 0, t),
                q_rotary: cube(rotary, 0, t),
                latent: latent.clone(),
                k_rotary: keys.clone(),
                up_key: cube(up, 0, n),
                up_value: cube(up, h * n, n),
            };
            let one = expanded.attend_latent(&arguments);
            let mut off = largest(&(absorbed.attend_latent(&arguments) - &one));
            let mut size = largest(&one);
            let d_out = Array3::from_shape_fn(one.dim(), |(a, b, c)| (a + 2 * b + 3 * c) as f64 - 2.0);
            let gradients = |of: &dyn LatentAttends| of.latent_gradients(&arguments, &d_out).map(flat);
            if let (Some(one), Some(other)) = (gradients(&expanded), gradients(&absorbed)) {
                let differences: Vec<f64> = one.iter().zip(&other).map(|(a, b)| a - b).collect();
                off = largest(&[off, largest(&differences)]);
                size = larger(size, largest(&one));
            }
            1e-8 * (1.0 + size) - off
        })
}

/// Returns all numbers of the gradients.
fn flat(g: LatentArguments<f64>) -> Vec<f64> {
    let cubes = g.q_content.into_iter().chain(g.q_rotary).chain(g.up_key).chain(g.up_value);
    cubes.chain(g.latent).chain(g.k_rotary).collect()
}
