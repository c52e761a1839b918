//! Changes of offset and scale of the residual stream, and the norms that hide them.

use super::models::{Models, logits, over_texts, unmoved};
use crate::hooks::Hooks;
use crate::pass::Input;
use crate::site::{HookPoint, Site};
use collimate_claims::{Claim, Meta, Subject};
use ndarray::ArrayViewMutD;

/// Claims that a constant on all coordinates of the residual stream is invisible. Everything must read the stream through layer norms.
pub fn constants_are_invisible(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/constants-are-invisible",
        Subject::Transformer,
        "where everything reads the residual stream through a layer norm, one number added to all its coordinates changes no logit",
    )
    .source("Elhage et al. (2021), on the fixed direction that layer norms remove");
    offset(meta, models)
}

/// Claims the same of norms by the root mean square, where it is false.
pub fn constants_are_invisible_to_the_root_mean_square(models: impl Models) -> impl Claim {
    let meta = Meta::counterexample(
        "transformer/constants-are-invisible-to-the-root-mean-square",
        Subject::Transformer,
        "one number added to all coordinates of the residual stream changes no logit, also with norms by the root mean square",
    )
    .source("Zhang and Sennrich (2019): this norm takes no mean away");
    offset(meta, models)
}

fn offset(meta: Meta, models: impl Models) -> impl Claim {
    over_texts(meta, models, |model, text, stream| {
        let by = stream.normal();
        let mut hooks = OnWrites(move |point: HookPoint, x: &mut f64| {
            if point.site == Site::Embedding {
                *x += by;
            }
        });
        let input = Input::new(text.clone());
        unmoved(&logits(model, &input, &mut ()), &logits(model, &input, &mut hooks))
    })
}

/// Claims that the scale of the residual stream is invisible. Everything must read the stream through norms with ε = 0.
pub fn stream_has_no_scale(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/stream-has-no-scale",
        Subject::Transformer,
        "where everything reads the residual stream through norms with ε = 0, one factor on all that is written changes no logit",
    )
    .source("Ba et al. (2016), table 1");
    scaled(meta, models)
}

/// Claims the same of models in which a layer reads the stream as it is, where it is false.
pub fn stream_without_norms_before_has_no_scale(models: impl Models) -> impl Claim {
    let meta = Meta::counterexample(
        "transformer/stream-without-norms-before-has-no-scale",
        Subject::Transformer,
        "one factor on all that is written into the residual stream changes no logit, wherever the norms stand",
    )
    .source("OLMo 2 norms what a layer writes, and not what it reads");
    scaled(meta, models)
}

fn scaled(meta: Meta, models: impl Models) -> impl Claim {
    over_texts(meta, models, |model, text, stream| {
        let by = stream.normal().exp();
        let mut hooks = OnWrites(move |_: HookPoint, x: &mut f64| *x *= by);
        let input = Input::new(text.clone());
        unmoved(&logits(model, &input, &mut ()), &logits(model, &input, &mut hooks))
    })
}

/// Hooks that change every number that is written into the residual stream.
struct OnWrites<E>(E);

impl<E: FnMut(HookPoint, &mut f64) + Send> Hooks<f64> for OnWrites<E> {
    fn wants(&self, point: HookPoint) -> bool {
        matches!(point.site, Site::Embedding | Site::AttentionAdded | Site::MlpAdded)
    }

    fn at(&mut self, point: HookPoint, mut activation: ArrayViewMutD<'_, f64>) {
        activation.iter_mut().for_each(|x| (self.0)(point, x));
    }
}
