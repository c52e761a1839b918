use crate::error::SaeError;
use crate::float::Float;
use crate::members::variant::Variant;
use crate::step::adam::{AdamMoments, AdamParameters};
use crate::step::encode;
use crate::step::optimise::Optimiser;
use crate::step::pursuit;
use crate::step::settings::{Losses, Settings};
use crate::step::update::{Batch, gradient, pursuit_of, update};
use crate::step::workspace::Workspace;
use crate::weights::Weights;
use collimate_tensor::SparseRows;
use ndarray::ArrayRef2;

/// The precision in which a dictionary runs: `f32` to train, `f64` to check.
///
/// Sealed. Its methods are compiled in this crate at this crate's optimisation level, so a debug build of the caller keeps
/// their speed.
pub trait Precision: Float {
    /// Computes the codes of rows.
    #[doc(hidden)]
    fn encode(
        variant: &Variant,
        weights: &Weights<Self>,
        x: &ArrayRef2<Self>,
    ) -> Result<SparseRows<Self>, SaeError>;

    /// Computes the loss of inputs `x` with targets `y`, and its gradient.
    #[doc(hidden)]
    fn gradient(
        variant: &Variant,
        weights: &Weights<Self>,
        rows: [&ArrayRef2<Self>; 2],
        settings: &Settings<'_>,
        workspace: &mut Workspace<Self>,
    ) -> Result<(Losses, Weights<Self>), SaeError>;

    /// Makes one update on inputs `x` with targets `y`, by Adam at a learning rate.
    #[doc(hidden)]
    fn update(
        variant: &Variant,
        weights: &mut Weights<Self>,
        moments: &mut AdamMoments<Self>,
        rows: [&ArrayRef2<Self>; 2],
        settings: &Settings<'_>,
        optimiser: (&AdamParameters, f64),
        workspace: &mut Workspace<Self>,
    ) -> Result<Losses, SaeError>;
}

macro_rules! precision {
    ($($scalar:ident),*) => {$(
        impl Precision for $scalar {
            fn encode(
                variant: &Variant,
                weights: &Weights<Self>,
                x: &ArrayRef2<Self>,
            ) -> Result<SparseRows<Self>, SaeError> {
                match variant.rule() {
                    Some(rule) => encode::encode(rule, &variant.member(), weights, x),
                    None => pursuit::encode(pursuit_of(variant), weights, x),
                }
            }

            fn gradient(
                variant: &Variant,
                weights: &Weights<Self>,
                [x, y]: [&ArrayRef2<Self>; 2],
                settings: &Settings<'_>,
                workspace: &mut Workspace<Self>,
            ) -> Result<(Losses, Weights<Self>), SaeError> {
                gradient(variant, weights, Batch { x, y }, settings, workspace)
            }

            fn update(
                variant: &Variant,
                weights: &mut Weights<Self>,
                moments: &mut AdamMoments<Self>,
                [x, y]: [&ArrayRef2<Self>; 2],
                settings: &Settings<'_>,
                (adam, learning_rate): (&AdamParameters, f64),
                workspace: &mut Workspace<Self>,
            ) -> Result<Losses, SaeError> {
                let optimiser = Optimiser { adam, learning_rate };
                update(variant, weights, moments, Batch { x, y }, settings, optimiser, workspace)
            }
        }
    )*};
}
precision!(f32, f64);
