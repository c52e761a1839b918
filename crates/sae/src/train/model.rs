//! What can be trained.

use crate::float::Float;
use crate::step::{Losses, Settings};
use crate::train::adam::{Adam, Moments};
use crate::{Sae, SaeError, SkipMoments, TrainingConfig, Transcoder, Variant, Weights, Workspace};
use collimate_measure::Fingerprint;
use ndarray::{Array2, ArrayRef2};
use std::fmt::Debug;

/// What a [`Training`](crate::Training) trains: an [`Sae`] on rows `x`, or a [`Transcoder`] on rows `[x | y]`, each input with
/// its output beside it.
///
/// Nothing else can be: the trait is sealed.
pub trait Model: Parts {}

impl<F: Float> Model for Sae<F> {}
impl<F: Float> Model for Transcoder<F> {}

/// The moments of the weights, and those of the skip where there is one.
pub(crate) type AllMoments<F> = (Moments<F>, Option<SkipMoments<F>>);

/// What a run needs of its model; public, since a public trait stands on it, and out of reach.
pub trait Parts: Clone + Debug {
    /// The precision.
    type Float: Float;

    /// The kind of the model in the description of a run.
    const KIND: &'static str;
    /// What a file of it calls its format.
    const FORMAT: &'static str;
    /// Whether a row of the data is an input with its output beside it.
    const PAIRED: bool;

    fn from_parts(
        variant: Variant,
        weights: Weights<Self::Float>,
        skip: Option<Array2<Self::Float>>,
    ) -> Result<Self, SaeError>;
    fn dictionary(&self) -> &Sae<Self::Float>;
    fn dictionary_mut(&mut self) -> &mut Sae<Self::Float>;
    fn linear_path(&self) -> Option<&Array2<Self::Float>>;
    fn identity(&self) -> Fingerprint;
    fn no_moments(&self) -> AllMoments<Self::Float>;

    /// Complains of what this model cannot do.
    fn allow(config: &TrainingConfig) -> Result<(), SaeError>;

    /// One step on a batch of inputs and what they should become.
    fn update(
        &mut self,
        moments: &mut AllMoments<Self::Float>,
        batch: (&ArrayRef2<Self::Float>, &ArrayRef2<Self::Float>),
        settings: &Settings<'_>,
        rate: (&Adam, f64),
        workspace: &mut Workspace<Self::Float>,
    ) -> Result<Losses, SaeError>;

    /// The model for rows as they come, which were trained on multiplied by `scale`.
    fn unscaled(&self, scale: f64) -> Result<Self, SaeError>;
}

impl<F: Float> Parts for Sae<F> {
    type Float = F;

    const KIND: &'static str = "";
    const FORMAT: &'static str = "collimate dictionary 1";
    const PAIRED: bool = false;

    fn from_parts(variant: Variant, weights: Weights<F>, _: Option<Array2<F>>) -> Result<Self, SaeError> {
        Self::from_weights(variant, weights)
    }

    fn dictionary(&self) -> &Sae<F> {
        self
    }

    fn dictionary_mut(&mut self) -> &mut Sae<F> {
        self
    }

    fn linear_path(&self) -> Option<&Array2<F>> {
        None
    }

    fn identity(&self) -> Fingerprint {
        self.fingerprint()
    }

    fn no_moments(&self) -> AllMoments<F> {
        (Moments::zeros(self.weights()), None)
    }

    fn allow(_: &TrainingConfig) -> Result<(), SaeError> {
        Ok(())
    }

    fn update(
        &mut self,
        (moments, _): &mut AllMoments<F>,
        (x, _): (&ArrayRef2<F>, &ArrayRef2<F>),
        settings: &Settings<'_>,
        (adam, rate): (&Adam, f64),
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.step(moments, x, settings, adam, rate, workspace)
    }

    fn unscaled(&self, scale: f64) -> Result<Self, SaeError> {
        self.with_input_scale(scale)
    }
}

impl<F: Float> Parts for Transcoder<F> {
    type Float = F;

    const KIND: &'static str = " transcoder";
    const FORMAT: &'static str = "collimate transcoder 1";
    const PAIRED: bool = true;

    fn from_parts(variant: Variant, weights: Weights<F>, skip: Option<Array2<F>>) -> Result<Self, SaeError> {
        Self::from_weights(variant, weights, skip)
    }

    fn dictionary(&self) -> &Sae<F> {
        self.sae()
    }

    fn dictionary_mut(&mut self) -> &mut Sae<F> {
        self.sae_mut()
    }

    fn linear_path(&self) -> Option<&Array2<F>> {
        self.skip()
    }

    fn identity(&self) -> Fingerprint {
        self.fingerprint()
    }

    fn no_moments(&self) -> AllMoments<F> {
        self.moments()
    }

    fn allow(config: &TrainingConfig) -> Result<(), SaeError> {
        let (operation, architecture) = ("resampling", "transcoder");
        match config.resampling {
            None => Ok(()),
            Some(_) => Err(SaeError::Unsupported { operation, architecture }),
        }
    }

    fn update(
        &mut self,
        moments: &mut AllMoments<F>,
        (x, y): (&ArrayRef2<F>, &ArrayRef2<F>),
        settings: &Settings<'_>,
        (adam, rate): (&Adam, f64),
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.step(moments, x, y, settings, adam, rate, workspace)
    }

    fn unscaled(&self, scale: f64) -> Result<Self, SaeError> {
        self.with_scale(scale)
    }
}
