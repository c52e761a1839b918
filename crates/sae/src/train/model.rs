//! The models that can be trained.

use crate::dictionary::Dictionary;
use crate::precision::Precision;
use crate::step::adam::{AdamMoments, AdamParameters};
use crate::step::settings::{Losses, Settings};
use crate::{Sae, SaeError, SkipMoments, TrainingConfig, Transcoder, Variant, Weights, Workspace};
use collimate_measure::Fingerprint;
use ndarray::{Array2, ArrayRef2};
use std::fmt::Debug;

/// A model that a [`Training`](crate::Training) trains: an [`Sae`] on rows `x`, or a [`Transcoder`] on rows `[x | y]`, each
/// input followed by its output.
///
/// The trait is sealed.
pub trait Model: Parts {
    /// Returns the dictionary, for encoding and reconstructing.
    fn dictionary(&self) -> &Dictionary<Self::Precision> {
        self.sae().dictionary()
    }
}

impl<F: Precision> Model for Sae<F> {}
impl<F: Precision> Model for Transcoder<F> {}

/// The moments of the weights, and those of the skip where there is one.
pub(crate) type AllMoments<F> = (AdamMoments<F>, Option<SkipMoments<F>>);

/// The needs of a training run from its model. Public only because [`Model`] requires it; it cannot be named outside this crate.
pub trait Parts: Clone + Debug {
    /// The precision.
    type Precision: Precision;

    /// The kind of the model in the description of a run.
    const KIND: &'static str;
    /// The name of its file format.
    const FORMAT: &'static str;
    /// True if a row of the data is an input followed by its output.
    const PAIRED: bool;

    fn from_parts(
        variant: Variant,
        weights: Weights<Self::Precision>,
        skip: Option<Array2<Self::Precision>>,
    ) -> Result<Self, SaeError>;
    fn sae(&self) -> &Sae<Self::Precision>;
    fn sae_mut(&mut self) -> &mut Sae<Self::Precision>;
    fn linear_path(&self) -> Option<&Array2<Self::Precision>>;
    fn identity(&self) -> Fingerprint;
    fn no_moments(&self) -> AllMoments<Self::Precision>;

    /// Returns an error if the configuration asks for something that this model does not have.
    fn allow(config: &TrainingConfig) -> Result<(), SaeError>;

    /// Makes one step on a batch of inputs and targets.
    fn update(
        &mut self,
        moments: &mut AllMoments<Self::Precision>,
        batch: (&ArrayRef2<Self::Precision>, &ArrayRef2<Self::Precision>),
        settings: &Settings<'_>,
        rate: (&AdamParameters, f64),
        workspace: &mut Workspace<Self::Precision>,
    ) -> Result<Losses, SaeError>;

    /// Undoes the training scale: returns the model that takes unscaled rows.
    fn unscaled(&self, scale: f64) -> Result<Self, SaeError>;
}

impl<F: Precision> Parts for Sae<F> {
    type Precision = F;

    const KIND: &'static str = "";
    const FORMAT: &'static str = "collimate dictionary 1";
    const PAIRED: bool = false;

    fn from_parts(variant: Variant, weights: Weights<F>, _: Option<Array2<F>>) -> Result<Self, SaeError> {
        Self::from_weights(variant, weights)
    }

    fn sae(&self) -> &Sae<F> {
        self
    }

    fn sae_mut(&mut self) -> &mut Sae<F> {
        self
    }

    fn linear_path(&self) -> Option<&Array2<F>> {
        None
    }

    fn identity(&self) -> Fingerprint {
        self.fingerprint()
    }

    fn no_moments(&self) -> AllMoments<F> {
        (AdamMoments::zeros(self.weights()), None)
    }

    fn allow(_: &TrainingConfig) -> Result<(), SaeError> {
        Ok(())
    }

    fn update(
        &mut self,
        (moments, _): &mut AllMoments<F>,
        (x, _): (&ArrayRef2<F>, &ArrayRef2<F>),
        settings: &Settings<'_>,
        (adam, rate): (&AdamParameters, f64),
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.step(moments, x, settings, adam, rate, workspace)
    }

    fn unscaled(&self, scale: f64) -> Result<Self, SaeError> {
        self.with_input_scale(scale)
    }
}

impl<F: Precision> Parts for Transcoder<F> {
    type Precision = F;

    const KIND: &'static str = " transcoder";
    const FORMAT: &'static str = "collimate transcoder 1";
    const PAIRED: bool = true;

    fn from_parts(variant: Variant, weights: Weights<F>, skip: Option<Array2<F>>) -> Result<Self, SaeError> {
        Self::from_weights(variant, weights, skip)
    }

    fn sae(&self) -> &Sae<F> {
        Transcoder::sae(self)
    }

    fn sae_mut(&mut self) -> &mut Sae<F> {
        Transcoder::sae_mut(self)
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
        (adam, rate): (&AdamParameters, f64),
        workspace: &mut Workspace<F>,
    ) -> Result<Losses, SaeError> {
        self.step(moments, x, y, settings, adam, rate, workspace)
    }

    fn unscaled(&self, scale: f64) -> Result<Self, SaeError> {
        self.with_scale(scale)
    }
}
