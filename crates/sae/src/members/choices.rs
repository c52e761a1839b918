//! The choices that several members share.

/// The input of the encoder: x or x − b_dec. Libraries disagree, so it is always stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputBias {
    /// The encoder multiplies x − b_dec.
    Subtracted,
    /// The encoder multiplies x.
    NotSubtracted,
}

/// The factor on each code in a penalty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PenaltyWeight {
    /// One; the decoder rows are held at length one.
    UnitNorm,
    /// The norm of the latent's decoder row, which is free.
    DecoderNorm,
}

/// The treatment of the decoder rows in training: held at length one, or free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecoderRows {
    /// Length one: gradients are projected, and rows are normalised after each update.
    UnitNorm,
    /// Any length.
    Free,
}

/// The score that ranks latents when only the largest are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ranking {
    /// The pre-activation; the decoder rows are held at length one.
    PreActivation,
    /// The pre-activation times the norm of the decoder row, which is free. The pre-activation itself is decoded.
    /// (SAELens stores the product as the code and divides again when it decodes.)
    TimesDecoderNorm,
}

/// The term coefficient · Σ ReLU(θ_i − z_i) ‖d_i‖, which brings inactive latents back towards their thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreActivationLoss {
    /// The coefficient; 3e-6 in Anthropic's recipe.
    pub coefficient: f64,
    /// The latents that it pulls.
    pub over: PullOver,
}

/// The latents that a pre-activation loss pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullOver {
    /// All latents: Anthropic. No latent is then without a gradient, and a step is dense.
    All,
    /// The latents that count as dead: SAELens.
    Dead,
}
