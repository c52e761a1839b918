//! A variant as one line of text, and back.

use crate::{AuxK, Gated, GatedDecoder, InputBias, JumpRelu, PenaltyWeight, Relu, TopK, Variant};
use std::fmt;
use std::str::FromStr;

fn input_bias(value: InputBias) -> &'static str {
    match value {
        InputBias::Subtracted => "subtracted",
        InputBias::NotSubtracted => "not_subtracted",
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        match self {
            Variant::Relu(relu) => {
                let penalty = match relu.penalty {
                    PenaltyWeight::UnitNorm => "unit_norm",
                    PenaltyWeight::DecoderNorm => "decoder_norm",
                };
                write!(f, " penalty={penalty}")?;
            }
            Variant::Gated(gated) => {
                let decoder = match gated.decoder {
                    GatedDecoder::UnitNormFrozen => "unit_norm_frozen",
                    GatedDecoder::NormWeightedFrozen => "norm_weighted_frozen",
                    GatedDecoder::NormWeightedTrained => "norm_weighted_trained",
                };
                write!(f, " decoder={decoder}")?;
            }
            Variant::TopK(top) => {
                write!(f, " k={}", top.k)?;
                if let Some(aux) = top.aux {
                    write!(f, " aux_k={} aux_alpha={:?}", aux.k, aux.alpha)?;
                }
            }
            Variant::JumpRelu(_) => {}
        }
        write!(f, " input_bias={}", input_bias(self.input_bias()))
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default();
        let mut pairs = Vec::new();
        for word in words {
            pairs.push(word.split_once('=').ok_or_else(|| format!("'{word}' is not of the form key=value"))?);
        }
        let find = |key: &str| pairs.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        let need = |key: &str| find(key).ok_or_else(|| format!("{name} needs {key}="));
        let number = |key: &str| need(key)?.parse::<usize>().map_err(|e| format!("{key}: {e}"));
        let bias = match need("input_bias")? {
            "subtracted" => InputBias::Subtracted,
            "not_subtracted" => InputBias::NotSubtracted,
            other => return Err(format!("input_bias: '{other}' is unknown")),
        };
        Ok(match name {
            "standard" => {
                let penalty = match need("penalty")? {
                    "unit_norm" => PenaltyWeight::UnitNorm,
                    "decoder_norm" => PenaltyWeight::DecoderNorm,
                    other => return Err(format!("penalty: '{other}' is unknown")),
                };
                Relu { penalty, input_bias: bias }.into()
            }
            "gated" => {
                let decoder = match need("decoder")? {
                    "unit_norm_frozen" => GatedDecoder::UnitNormFrozen,
                    "norm_weighted_frozen" => GatedDecoder::NormWeightedFrozen,
                    "norm_weighted_trained" => GatedDecoder::NormWeightedTrained,
                    other => return Err(format!("decoder: '{other}' is unknown")),
                };
                Gated { decoder, input_bias: bias }.into()
            }
            "topk" => {
                let aux = match find("aux_k") {
                    None => None,
                    Some(_) => {
                        let alpha = need("aux_alpha")?.parse().map_err(|e| format!("aux_alpha: {e}"))?;
                        Some(AuxK { k: number("aux_k")?, alpha })
                    }
                };
                TopK { k: number("k")?, aux, input_bias: bias }.into()
            }
            "jumprelu" => JumpRelu { input_bias: bias }.into(),
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
        let gated = |decoder| Variant::from(Gated { decoder, input_bias });
        let members = [
            Relu::unit_norm().into(),
            Relu::norm_weighted().into(),
            Gated::paper().into(),
            gated(GatedDecoder::NormWeightedFrozen),
            gated(GatedDecoder::NormWeightedTrained),
            TopK::new(32).into(),
            TopK { aux: Some(AuxK { k: 5, alpha: 0.1 }), ..TopK::new(3) }.into(),
            JumpRelu { input_bias }.into(),
        ];
        for member in members {
            assert_eq!(member.to_string().parse(), Ok(member));
        }
        for wrong in [
            "",
            "gated",
            "topk k=x input_bias=subtracted",
            "standard penalty=l0 input_bias=subtracted",
            "a b",
        ] {
            assert!(wrong.parse::<Variant>().is_err(), "{wrong}");
        }
    }
}
