//! The description of a member: everything that the library asks about it besides its formulas.

use crate::float::Float;
use crate::members::aux_k::AuxK;
use crate::members::choices::{DecoderRows, InputBias, PreActivationLoss, Ranking};
use crate::members::levels::Levels;
use crate::members::line::{Line, Pairs};
use crate::members::rule::Rule;
use collimate_measure::OutOfRange;

/// The properties of a member.
///
/// A member's file writes down those in which it differs from [`Member::new`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// The name of the architecture, as files write it.
    pub(crate) name: &'static str,
    /// The names of the vectors with one entry a latent.
    pub(crate) per_latent: &'static [&'static str],
    /// The input of the encoder: x or x − b_dec.
    pub(crate) input_bias: InputBias,
    /// The treatment of the decoder rows in training: held at length one, or free.
    pub(crate) decoder: DecoderRows,
    /// True if λ times a penalty is part of the loss.
    pub(crate) penalised: bool,
    /// True if the penalty is weighted by the decoder norms.
    pub(crate) norm_weighted: bool,
    /// True if the norms of the decoder rows have a gradient through a penalty.
    pub(crate) trains_norms: bool,
    /// True if latents are compared with each other, so that a change of the scale of one changes the codes.
    pub(crate) compares: bool,
    /// The score that ranks latents, for members that keep the largest.
    pub(crate) ranking: Option<Ranking>,
    /// The auxiliary loss of members that keep the largest.
    pub(crate) aux: Option<AuxK>,
    /// True if training selects over the batch.
    pub(crate) selects_over_batch: bool,
    /// The threshold that replaces the selection over the batch.
    pub(crate) threshold: Option<f64>,
    /// The nested prefixes that reconstruct by themselves.
    pub(crate) levels: Option<Levels>,
    /// The number of parts of a decoder row whose norms are added up.
    pub(crate) layers: usize,
    /// True if an encoder row holds a second path after the first.
    pub(crate) untied: bool,
    /// The second decode.
    pub(crate) second: Option<SecondDecode>,
    /// The pull on inactive latents.
    pub(crate) pre_activation: Option<PreActivationLoss>,
    /// True if the decoder bias is trained.
    pub(crate) trains_bias: bool,
    /// The index of the vector that must not fall below zero.
    pub(crate) not_negative: Option<usize>,
    /// The first value of the second vector, if it is not zero.
    pub(crate) start: Option<f64>,
    /// True if it can be a dictionary between two spaces, with an encoder that multiplies the input.
    pub(crate) between_spaces: bool,
}

/// The second decode of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecondDecode {
    /// The weight of its squared error in the loss.
    pub(crate) weight: f64,
    /// True if it sends a gradient to the decoder and its bias.
    pub(crate) trains_decoder: bool,
    /// True if the losses report it as a further reconstruction; otherwise as the auxiliary term.
    pub(crate) further: bool,
}

impl Member {
    /// Returns a member with one bias, no penalty and decoder rows of length one.
    pub(crate) const fn new(name: &'static str, input_bias: InputBias) -> Self {
        Self {
            name,
            per_latent: &["b_enc"],
            input_bias,
            decoder: DecoderRows::UnitNorm,
            penalised: false,
            norm_weighted: false,
            trains_norms: false,
            compares: false,
            ranking: None,
            aux: None,
            selects_over_batch: false,
            threshold: None,
            levels: None,
            layers: 1,
            untied: false,
            second: None,
            pre_activation: None,
            trains_bias: true,
            not_negative: None,
            start: None,
            between_spaces: true,
        }
    }

    /// Returns true if a step uses the decoder norms.
    pub(crate) fn uses_norms(&self) -> bool {
        self.norm_weighted || self.pre_activation.is_some() || self.ranking == Some(Ranking::TimesDecoderNorm)
    }

    /// Returns true if training holds the decoder rows at length one.
    pub(crate) fn unit_norm_decoder(&self) -> bool {
        self.decoder == DecoderRows::UnitNorm
    }

    /// Returns true if the second decode sends a gradient to the decoder and its bias.
    pub(crate) fn second_trains_decoder(&self) -> bool {
        self.second.is_some_and(|second| second.trains_decoder)
    }

    /// Returns the name of a tensor by its number: 0 the encoder, 1 the decoder, 2 + j the vector j.
    pub(crate) fn tensor_name(&self, number: usize) -> &'static str {
        match number {
            0 => "w_enc",
            1 => "w_dec",
            j => self.per_latent.get(j - 2).copied().unwrap_or("a vector"),
        }
    }
}

/// A member of the family. Each file of this folder implements it once.
pub(crate) trait Describe: Sized {
    /// The names under which [`Describe::read`] recognises a line.
    const NAME: &'static str;

    /// Returns the properties.
    fn member(&self) -> Member;

    /// Returns the formulas; `None` for a member with a step of its own.
    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>>;

    /// Checks the numbers that only this member has.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first number outside its range.
    fn check(&self, _d_model: usize, _n_latents: usize) -> Result<(), OutOfRange> {
        Ok(())
    }

    /// Sets the threshold that replaces the selection over the batch, if there is such a selection.
    fn set_threshold(&mut self, _threshold: Option<f64>) {}

    /// Sets the input bias, if there is a choice.
    fn set_input_bias(&mut self, _input_bias: InputBias) {}

    /// Writes the fields of the line, without the input bias.
    fn write(&self, line: &mut Line);

    /// Reads the fields of a line.
    ///
    /// # Errors
    /// A sentence that names the field.
    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String>;
}
