//! A variant as one line of text, and back.

use crate::{
    AbsTopK, AuxCodes, AuxK, AuxScale, BatchTopK, Crosscoder, CrosscoderSparsity, DecoderRows, Estimator,
    Gated, GatedDecoder, InputBias, JumpOn, JumpRelu, JumpReluSparsity, Levels, Magnitude, MatchingPursuit,
    Matryoshka, MultiTopK, PNorm, PNormForm, PenaltyWeight, PreActivationLoss, PullOver, Ranking, Relu,
    RescaleAndShift, ThresholdParameter, TopK, Variant,
};
use std::fmt;
use std::str::FromStr;

/// A choice as one word, and back.
macro_rules! words {
    ($($choice:ident { $($variant:ident = $word:literal),* })*) => {$(
        impl Word for $choice {
            fn word(&self) -> &'static str {
                match self { $($choice::$variant => $word),* }
            }
            fn of(word: &str) -> Option<Self> {
                match word { $($word => Some($choice::$variant),)* _ => None }
            }
        }
    )*};
}

trait Word: Sized {
    fn word(&self) -> &'static str;
    fn of(word: &str) -> Option<Self>;
}

words! {
    InputBias { Subtracted = "subtracted", NotSubtracted = "not_subtracted" }
    PenaltyWeight { UnitNorm = "unit_norm", DecoderNorm = "decoder_norm" }
    PNormForm { PowerSum = "power_sum", Norm = "norm" }
    GatedDecoder {
        UnitNormFrozen = "unit_norm_frozen", UnitNormTrained = "unit_norm_trained",
        NormWeightedFrozen = "norm_weighted_frozen", NormWeightedTrained = "norm_weighted_trained"
    }
    Magnitude { Tied = "tied", TiedWithoutRescaling = "tied_without_rescaling", Untied = "untied" }
    Ranking { PreActivation = "pre_activation", TimesDecoderNorm = "times_decoder_norm" }
    AuxScale {
        ResidualVariance = "residual_variance", FewDead = "few_dead", FewDeadOfLevel = "few_dead_of_level"
    }
    AuxCodes { Positive = "positive", Signed = "signed" }
    DecoderRows { UnitNorm = "unit_norm", Free = "free" }
    ThresholdParameter { Raw = "raw", Log = "log" }
    Estimator { Threshold = "threshold", ThresholdAndInput = "threshold_and_input" }
    JumpOn { PreActivation = "pre_activation", Rectified = "rectified" }
    PullOver { All = "all", Dead = "dead" }
}

fn write_aux(f: &mut fmt::Formatter<'_>, aux: Option<AuxK>) -> fmt::Result {
    let Some(AuxK { k, alpha, scale, codes }) = aux else { return Ok(()) };
    write!(f, " aux_k={k} aux_alpha={alpha:?} aux_scale={} aux_codes={}", scale.word(), codes.word())
}

fn write_batch(f: &mut fmt::Formatter<'_>, batch: &BatchTopK) -> fmt::Result {
    write!(f, " k={:?} ranking={}", batch.k, batch.ranking.word())?;
    if let Some(threshold) = batch.threshold {
        write!(f, " threshold={threshold:?}")?;
    }
    write_aux(f, batch.aux)
}

fn list<T: fmt::Debug>(values: &[T]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        match self {
            Variant::Relu(v) => write!(f, " penalty={}", v.penalty.word())?,
            Variant::PNorm(v) => {
                write!(f, " p={:?} form={} penalty={}", v.p, v.form.word(), v.penalty.word())?;
            }
            Variant::Gated(v) => {
                write!(f, " decoder={} magnitude={}", v.decoder.word(), v.magnitude.word())?;
            }
            Variant::RescaleAndShift(_) => {}
            Variant::JumpRelu(v) => {
                write!(f, " decoder={} threshold={}", v.decoder.word(), v.threshold.word())?;
                write!(f, " bandwidth={:?} estimator={}", v.bandwidth, v.estimator.word())?;
                write!(f, " jump={}", v.jump.word())?;
                match v.sparsity {
                    JumpReluSparsity::Step => write!(f, " sparsity=step")?,
                    JumpReluSparsity::Tanh { scale } => write!(f, " sparsity=tanh scale={scale:?}")?,
                    JumpReluSparsity::RowTarget { l0 } => write!(f, " sparsity=row_target l0={l0:?}")?,
                    JumpReluSparsity::BatchTarget { l0 } => write!(f, " sparsity=batch_target l0={l0:?}")?,
                }
                if let Some(pull) = v.pre_activation {
                    write!(f, " pull={:?} pull_over={}", pull.coefficient, pull.over.word())?;
                }
            }
            Variant::TopK(v) => {
                write!(f, " k={} ranking={}", v.k, v.ranking.word())?;
                if let Some(multi) = v.multi {
                    write!(f, " multi_factor={} multi_weight={:?}", multi.factor, multi.weight)?;
                }
                write_aux(f, v.aux)?;
            }
            Variant::BatchTopK(v) => write_batch(f, v)?,
            Variant::Matryoshka(v) => {
                write_batch(f, &v.batch)?;
                write!(f, " widths={} weights={}", list(v.levels.widths()), list(v.levels.weights()))?;
            }
            Variant::AbsTopK(v) => write!(f, " k={}", v.k)?,
            Variant::MatchingPursuit(v) => write!(f, " k={}", v.k)?,
            Variant::Crosscoder(v) => {
                write!(f, " layers={}", v.layers)?;
                if let CrosscoderSparsity::BatchTopK { k, aux, threshold } = v.sparsity {
                    write!(f, " k={k:?}")?;
                    if let Some(threshold) = threshold {
                        write!(f, " threshold={threshold:?}")?;
                    }
                    write_aux(f, aux)?;
                }
            }
        }
        write!(f, " input_bias={}", self.input_bias().word())
    }
}

/// The pairs of one line.
struct Pairs<'a> {
    name: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Pairs<'a> {
    fn find(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    fn need(&self, key: &str) -> Result<&'a str, String> {
        self.find(key).ok_or_else(|| format!("{} needs {key}=", self.name))
    }

    fn number<T: FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<T, String> {
        self.need(key)?.parse().map_err(|e| format!("{key}: {e}"))
    }

    fn word<T: Word>(&self, key: &str) -> Result<T, String> {
        let value = self.need(key)?;
        T::of(value).ok_or_else(|| format!("{key}: '{value}' is unknown"))
    }

    /// A choice that older files do not name.
    fn word_or<T: Word>(&self, key: &str, default: T) -> Result<T, String> {
        if self.find(key).is_some() { self.word(key) } else { Ok(default) }
    }

    fn optional(&self, key: &str) -> Result<Option<f64>, String> {
        self.find(key).map(|_| self.number(key)).transpose()
    }

    fn list<T: FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<Vec<T>, String> {
        self.need(key)?.split(',').map(|v| v.parse().map_err(|e| format!("{key}: {e}"))).collect()
    }

    fn aux(&self) -> Result<Option<AuxK>, String> {
        if self.find("aux_k").is_none() {
            return Ok(None);
        }
        let plain = AuxK::new(self.number("aux_k")?, self.number("aux_alpha")?);
        let scale = self.word_or("aux_scale", plain.scale)?;
        Ok(Some(AuxK { scale, codes: self.word_or("aux_codes", plain.codes)?, ..plain }))
    }

    fn batch(&self, input_bias: InputBias) -> Result<BatchTopK, String> {
        Ok(BatchTopK {
            k: self.number("k")?,
            ranking: self.word("ranking")?,
            aux: self.aux()?,
            threshold: self.optional("threshold")?,
            input_bias,
        })
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default();
        let pair = |word: &'_ str| format!("'{word}' is not of the form key=value");
        let pairs: Result<_, _> = words.map(|word| word.split_once('=').ok_or_else(|| pair(word))).collect();
        let pairs = Pairs { name, pairs: pairs? };
        let input_bias: InputBias = pairs.word("input_bias")?;
        Ok(match name {
            "standard" => Relu { penalty: pairs.word("penalty")?, input_bias }.into(),
            "p_norm" => {
                let (p, form, penalty) = (pairs.number("p")?, pairs.word("form")?, pairs.word("penalty")?);
                PNorm { p, form, penalty, input_bias }.into()
            }
            "gated" => {
                let magnitude = pairs.word_or("magnitude", Magnitude::Tied)?;
                Gated { decoder: pairs.word("decoder")?, magnitude, input_bias }.into()
            }
            "rescale_and_shift" => RescaleAndShift { input_bias }.into(),
            "jumprelu" => {
                let plain = JumpRelu::with_input_bias(input_bias);
                let sparsity = match pairs.find("sparsity") {
                    None | Some("step") => JumpReluSparsity::Step,
                    Some("tanh") => JumpReluSparsity::Tanh { scale: pairs.number("scale")? },
                    Some("row_target") => JumpReluSparsity::RowTarget { l0: pairs.number("l0")? },
                    Some("batch_target") => JumpReluSparsity::BatchTarget { l0: pairs.number("l0")? },
                    Some(other) => return Err(format!("sparsity: '{other}' is unknown")),
                };
                let pre_activation = match pairs.optional("pull")? {
                    None => None,
                    Some(coefficient) => {
                        Some(PreActivationLoss { coefficient, over: pairs.word("pull_over")? })
                    }
                };
                JumpRelu {
                    input_bias,
                    decoder: pairs.word_or("decoder", plain.decoder)?,
                    threshold: pairs.word_or("threshold", plain.threshold)?,
                    bandwidth: pairs.optional("bandwidth")?.unwrap_or(plain.bandwidth),
                    sparsity,
                    estimator: pairs.word_or("estimator", plain.estimator)?,
                    jump: pairs.word_or("jump", plain.jump)?,
                    pre_activation,
                }
                .into()
            }
            "topk" => {
                let multi = match pairs.find("multi_factor") {
                    None => None,
                    Some(_) => Some(MultiTopK {
                        factor: pairs.number("multi_factor")?,
                        weight: pairs.number("multi_weight")?,
                    }),
                };
                let ranking = pairs.word_or("ranking", Ranking::PreActivation)?;
                TopK { k: pairs.number("k")?, ranking, multi, aux: pairs.aux()?, input_bias }.into()
            }
            "batchtopk" => pairs.batch(input_bias)?.into(),
            "matryoshka_batchtopk" => {
                let (widths, weights) = (pairs.list::<u32>("widths")?, pairs.list::<f64>("weights")?);
                let levels = Levels::new(&widths).and_then(|levels| levels.weighted(&weights));
                Matryoshka { batch: pairs.batch(input_bias)?, levels: levels.map_err(|e| e.to_string())? }
                    .into()
            }
            "abs_topk" => AbsTopK { k: pairs.number("k")?, input_bias }.into(),
            "matching_pursuit" => MatchingPursuit { k: pairs.number("k")? }.into(),
            "crosscoder" => {
                let sparsity = match pairs.optional("k")? {
                    None => CrosscoderSparsity::L1,
                    Some(k) => {
                        let (aux, threshold) = (pairs.aux()?, pairs.optional("threshold")?);
                        CrosscoderSparsity::BatchTopK { k, aux, threshold }
                    }
                };
                Crosscoder { layers: pairs.number("layers")?, sparsity }.into()
            }
            other => return Err(format!("the architecture '{other}' is unknown")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_survives_the_way_there_and_back() {
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
            MatchingPursuit { k: 3 }.into(),
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
    fn lines_written_before_there_were_more_choices_still_read() {
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
