use crate::error::SaeError;
use crate::float::Float;
use crate::members::abs_topk::AbsTopK;
use crate::members::batch_topk::BatchTopK;
use crate::members::choices::InputBias;
use crate::members::crosscoder::Crosscoder;
use crate::members::gated::Gated;
use crate::members::group_max::GroupMax;
use crate::members::jump_relu::JumpRelu;
use crate::members::levels::Levels;
use crate::members::line::{Line, Pairs, Word};
use crate::members::matching_pursuit::MatchingPursuit;
use crate::members::matryoshka::Matryoshka;
use crate::members::member::{Describe, Member};
use crate::members::p_norm::PNorm;
use crate::members::relu::Relu;
use crate::members::rescale_and_shift::RescaleAndShift;
use crate::members::rule::Rule;
use crate::members::topk::TopK;
use crate::weights::Size;
use collimate_measure::ensure;
use std::fmt;
use std::str::FromStr;

/// The list of the members. A new member is one file that implements `Describe` and `Rule`, and one line here.
macro_rules! members {
    ($($(#[$doc:meta])* $member:ident,)*) => {
        /// A member of the family.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Variant {
            $($(#[$doc])* $member($member),)*
        }

        $(
            impl From<$member> for Variant {
                fn from(member: $member) -> Self {
                    Variant::$member(member)
                }
            }
        )*

        /// Runs an expression with the member of a variant.
        macro_rules! with_member {
            ($variant:expr, $name:ident => $body:expr) => {
                match $variant { $(Variant::$member($name) => $body,)* }
            };
        }

        /// Reads the member with the name of a line.
        fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Variant, String> {
            match pairs.name {
                $($member::NAME => $member::read(pairs, input_bias).map(Variant::from),)*
                other => Err(format!("the architecture '{other}' is unknown")),
            }
        }
    };
}

members! {
    /// ReLU codes under an L1 penalty.
    Relu,
    /// ReLU codes under a power of the codes.
    PNorm,
    /// Separate paths for which latents are active and how active they are.
    Gated,
    /// A finished ReLU dictionary whose magnitudes alone are trained.
    RescaleAndShift,
    /// A threshold for each latent.
    JumpRelu,
    /// The k largest pre-activations of a row.
    TopK,
    /// The k·B largest pre-activations of a batch.
    BatchTopK,
    /// The k·B largest pre-activations of a batch, with nested prefixes that reconstruct by themselves.
    Matryoshka,
    /// The k pre-activations of a row that are largest in magnitude.
    AbsTopK,
    /// The largest pre-activation of each of k groups of latents.
    GroupMax,
    /// Latents taken one after another from the remainder of a row.
    MatchingPursuit,
    /// One code for several layers.
    Crosscoder,
}

impl Variant {
    /// Returns the properties of the member.
    pub(crate) fn member(&self) -> Member {
        with_member!(self, member => member.member())
    }

    /// Returns the formulas of the member; `None` for matching pursuit, which has a step of its own.
    pub(crate) fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        with_member!(self, member => member.rule())
    }

    /// Returns the name of the architecture, as files write it.
    pub fn name(&self) -> &'static str {
        self.member().name
    }

    /// Returns the names of the vectors with one entry a latent, in the order of
    /// [`Weights::per_latent`](crate::Weights::per_latent).
    pub fn per_latent_names(&self) -> &'static [&'static str] {
        self.member().per_latent
    }

    /// Returns the input of the encoder: x or x − b_dec.
    pub fn input_bias(&self) -> InputBias {
        self.member().input_bias
    }

    /// Returns true if training holds the decoder rows at length one.
    pub fn unit_norm_decoder(&self) -> bool {
        self.member().unit_norm_decoder()
    }

    /// Returns the threshold that replaces the selection over the batch, for members that can have one.
    pub fn threshold(&self) -> Option<f64> {
        self.member().threshold
    }

    /// Returns this member with another threshold; unchanged if there is no selection over the batch.
    #[must_use]
    pub fn with_threshold(mut self, threshold: Option<f64>) -> Self {
        with_member!(&mut self, member => member.set_threshold(threshold));
        self
    }

    /// Returns this member with an encoder that sees x − b_dec or x; unchanged if there is no choice (matching pursuit,
    /// crosscoder).
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{InputBias, TopK, Variant};
    /// let variant = Variant::from(TopK::new(8)).with_input_bias(InputBias::NotSubtracted);
    /// assert_eq!(variant.input_bias(), InputBias::NotSubtracted); // as a transcoder needs it
    /// ```
    #[must_use]
    pub fn with_input_bias(mut self, input_bias: InputBias) -> Self {
        with_member!(&mut self, member => member.set_input_bias(input_bias));
        self
    }

    /// Returns true if training selects over the batch.
    pub fn selects_over_the_batch(&self) -> bool {
        self.member().selects_over_batch
    }

    /// Returns the nested prefixes of a Matryoshka dictionary.
    pub fn levels(&self) -> Option<Levels> {
        self.member().levels
    }

    pub(crate) fn check(&self, size: Size) -> Result<(), SaeError> {
        let Size { d_model, n_latents } = size;
        let member = self.member();
        ensure(d_model > 0, "d_model", "at least 1", 0.0)?;
        let some = n_latents > 0 && u32::try_from(n_latents).is_ok();
        ensure(some, "n_latents", "between 1 and 2³² − 1", n_latents as f64)?;
        if let Some(threshold) = member.threshold {
            let holds = threshold >= 0.0 && threshold.is_finite();
            ensure(holds, "threshold", "finite, at least 0", threshold)?;
        }
        member.aux.map_or(Ok(()), |aux| aux.check())?;
        Ok(with_member!(self, member => member.check(d_model, n_latents))?)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line::default();
        with_member!(self, member => member.write(&mut line));
        write!(f, "{}{} input_bias={}", self.name(), line.0, self.input_bias().word())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let pairs = Pairs::of(line)?;
        read(&pairs, pairs.word("input_bias")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AuxCodes, AuxK, AuxScale, GatedDecoder, JumpOn, JumpReluSparsity, Magnitude, MultiTopK, PNormForm,
        Ranking,
    };

    #[test]
    fn every_member_is_read_from_its_line() {
        let input_bias = InputBias::NotSubtracted;
        let gated = |decoder, magnitude| Variant::from(Gated { decoder, magnitude, input_bias });
        let signed = AuxK { scale: AuxScale::FewDead, codes: AuxCodes::Signed, ..AuxK::new(5, 0.1) };
        let of_level = AuxK { scale: AuxScale::FewDeadOfLevel, ..signed };
        let batch = BatchTopK { ranking: Ranking::TimesDecoderNorm, ..BatchTopK::new(3.5) };
        let levels = Levels::new(&[2, 5]).unwrap().weighted(&[0.5, 1.0]).unwrap();
        let target = JumpReluSparsity::RowTarget { l0: 12.0 };
        let members = [
            Relu::unit_norm().into(),
            Relu::norm_weighted().into(),
            PNorm { form: PNormForm::Norm, ..PNorm::power_sum(0.6) }.into(),
            Gated::paper().into(),
            gated(GatedDecoder::NormWeightedFrozen, Magnitude::Untied),
            gated(GatedDecoder::UnitNormTrained, Magnitude::TiedWithoutRescaling),
            RescaleAndShift { input_bias }.into(),
            TopK::new(32).into(),
            TopK { aux: Some(signed), multi: Some(MultiTopK::paper()), ..TopK::new(3) }.into(),
            batch.with_aux(7).into(),
            BatchTopK { threshold: Some(0.25), ..batch }.into(),
            Matryoshka { batch, levels }.into(),
            Matryoshka { batch: BatchTopK { aux: Some(of_level), ..batch }, levels }.into(),
            AbsTopK::new(4).into(),
            GroupMax::new(4).into(),
            MatchingPursuit::new(3).into(),
            MatchingPursuit { residual_threshold: 0.25, stops_at_repeat: true, ..MatchingPursuit::new(3) }
                .into(),
            Crosscoder::l1(3).into(),
            Crosscoder::batch_topk(2, 4.0).into(),
            JumpRelu::paper().into(),
            JumpRelu { sparsity: target, jump: JumpOn::Rectified, ..JumpRelu::tanh() }.into(),
            JumpRelu::tanh().into(),
        ];
        for member in members {
            assert_eq!(member.to_string().parse(), Ok(member));
        }
        for wrong in [
            "",
            "gated",
            "topk k=x input_bias=subtracted",
            "standard penalty=l0 input_bias=subtracted",
            "matryoshka_batchtopk k=1 ranking=pre_activation widths=3,2 weights=1,1 input_bias=subtracted",
            "a b",
        ] {
            assert!(wrong.parse::<Variant>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lines_of_older_versions_are_read() {
        let old = [
            ("gated decoder=unit_norm_frozen input_bias=subtracted", Variant::from(Gated::paper())),
            ("topk k=3 aux_k=2 aux_alpha=0.03125 input_bias=subtracted", TopK::new(3).with_aux(2).into()),
            ("jumprelu input_bias=subtracted", JumpRelu::paper().into()),
        ];
        for (line, member) in old {
            assert_eq!(line.parse(), Ok(member), "{line}");
        }
    }
}
