//! The models that a claim examines.

use crate::hooks::Hooks;
use crate::network::Model;
use crate::pass::Input;
use collimate_claims::{Claim, Exact, Meta};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, ArrayRef2};
use std::sync::Arc;

/// The models that a claim examines: random ones of several architectures, or your own.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, examine};
/// use collimate_transformer::claims::{Models, heads_add_up};
/// use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// use std::sync::Arc;
///
/// struct Own(Arc<Model<f64>>); // for example Model::open("some-folder")
///
/// impl Models for Own {
///     fn model(&self, _: usize, _: &mut RngStream) -> Arc<Model<f64>> {
///         Arc::clone(&self.0)
///     }
/// }
///
/// let mlp = MlpDescription::new(16, true, Activation::Silu);
/// let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// let mut description = Description::new("toy", 11, 8, 32);
/// description.layers = vec![layer; 2];
/// let own = Own(Arc::new(Model::random(description, &RngStream::new(1, 0))));
/// assert!(examine(&heads_add_up(own), &Budget::quick()).upheld());
/// ```
pub trait Models: Send + Sync + 'static {
    /// Returns the number of architectures; 1 by default.
    fn count(&self) -> usize {
        1
    }

    /// Returns a model of an architecture, counted from 0, with weights drawn from the stream if they are random.
    fn model(&self, architecture: usize, stream: &mut RngStream) -> Arc<Model<f64>>;
}

/// Returns a claim about models and texts. The margin gets a model, a text `[1, t]` and a stream for everything else that it draws.
pub(super) fn over_texts(
    meta: Meta,
    models: impl Models,
    margin: impl Fn(&Model<f64>, &Array2<u32>, &mut RngStream) -> f64 + Send + Sync + 'static,
) -> impl Claim {
    Exact::new(meta)
        .dims(&[("architecture", 0..=models.count().saturating_sub(1)), ("tokens", 2..=7)])
        .names(&["architecture", "tokens", "seed"])
        .inputs([150, 1_000, 10_000])
        .input(|dims, stream| {
            let tokens: Vec<usize> = (0..dims[1]).map(|_| stream.below(1_000_000)).collect();
            Some((dims[0], tokens, stream.below(1_000_000)))
        })
        .margin(move |(architecture, tokens, seed)| {
            let mut stream = RngStream::named(*seed as u64, "claims about models");
            let model = models.model(*architecture, &mut stream);
            let vocabulary = model.description().vocabulary;
            let text = Array2::from_shape_fn((1, tokens.len()), |(_, t)| (tokens[t] % vocabulary) as u32);
            margin(&model, &text, &mut stream)
        })
}

/// Draws a direction in the parameters of a model, as long as a tenth of a unit in each of them.
pub(super) fn direction(model: &Model<f64>, stream: &mut RngStream) -> Vec<Array2<f64>> {
    model.parameters().map(|(_, x)| Array2::from_shape_simple_fn(x.dim(), || 0.1 * stream.normal())).collect()
}

/// Returns the model at a distance along a direction.
pub(super) fn moved(model: &Model<f64>, direction: &[Array2<f64>], by: f64) -> Model<f64> {
    let at = |((_, x), d): ((_, &ArrayRef2<f64>), &Array2<f64>)| x.to_owned() + d * by;
    let parameters = model.parameters().zip(direction).map(at).collect();
    model.with_parameters(parameters).expect("a direction has the shapes of the parameters")
}

/// Returns the largest absolute number.
pub(super) fn largest<'a>(x: impl IntoIterator<Item = &'a f64>) -> f64 {
    x.into_iter().fold(0.0, |most, x| collimate_claims::larger(most, x.abs()))
}

/// Computes the logits `[b, t, v]`.
pub(super) fn logits(model: &Model<f64>, input: &Input, hooks: &mut dyn Hooks<f64>) -> Array3<f64> {
    let outputs = model.run(input, hooks).expect("the claim draws texts that fit");
    outputs.logits.expect("the models of the claim have a head")
}

/// Returns the margin of a change that should move no logit. A few hundred operations are rounded.
pub(super) fn unmoved(before: &Array3<f64>, after: &Array3<f64>) -> f64 {
    1e-10 * (1.0 + largest(before)) - largest(&(after - before))
}
