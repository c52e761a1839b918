//! The checks before any computation: shapes, ranges, and combinations without meaning.

use super::logits::{Direction, Mixing};
use super::mask::{Window, check_broadcast};
use super::rows::NormOver;
use super::score::Reads;
use super::{
    Combination, GateForm, LogitChange, MaskRule, Normaliser, OutputChange, Parameter, Parameters,
    PatternChange, RowChange, Score, SigmoidBias, Variant,
};
use crate::AttentionError;
use crate::error::check_shape;
use collimate_measure::ensure;
use ndarray::ArrayRef3;

/// The checked sizes of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
    pub(crate) value_width: usize,
    pub(crate) out_heads: usize,
    pub(crate) offset: isize,
    pub(crate) scale: f64,
}

fn meaningless(what: &'static str, reason: &'static str) -> Result<(), AttentionError> {
    Err(AttentionError::Meaningless { what, reason })
}

impl Variant {
    /// Checks the choices and the shapes of q, k and v.
    pub(crate) fn check<F>(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<(Sizes, Reads), AttentionError> {
        let ((heads, queries, width), (key_heads, keys, _)) = (q.dim(), k.dim());
        let value_width = v.dim().2;
        check_shape("k", "[g, s, d]", &[key_heads, keys, width], k.shape())?;
        let reads = self.combination.reads(&self.heads, heads, key_heads)?;
        let value_heads = match self.combination {
            Combination::DifferentialV1 { .. } => key_heads / 2,
            _ => key_heads,
        };
        check_shape("v", "[g, s, e]", &[value_heads, keys, value_width], v.shape())?;
        let scale = self.scale.value(width);
        ensure(scale.is_finite(), "the scale", "finite (d ≥ 1)", scale)?;
        for rule in &self.mask {
            rule.check(heads, queries, keys)?;
        }
        self.check_choices(heads)?;
        let offset = self.positions.checked(queries, keys)?;
        let out_heads = self.combination.out_heads(heads);
        let sizes = Sizes { heads, key_heads, queries, keys, width, value_width, out_heads, offset, scale };
        Ok((sizes, reads))
    }

    fn check_choices(&self, heads: usize) -> Result<(), AttentionError> {
        let needed = self.parameters();
        if let Some(&twice) =
            needed.iter().enumerate().find(|(n, p)| needed[..*n].contains(p)).map(|(_, p)| p)
        {
            let problem = "is needed twice: two changes of the same kind would share one array; merge them";
            return Err(AttentionError::Parameter { name: twice.name(), problem });
        }
        let turns = self.rows.iter().filter(|change| matches!(change, RowChange::Rotary(_))).count();
        if turns > 1 {
            meaningless("a second rotary change", "rows would be turned twice by the same position")?;
        }
        if turns == 1 && self.score == Score::NegativeManhattan {
            meaningless(
                "rotary positions with the Manhattan distance",
                "turning two rows alike changes it, so it would depend on absolute positions; use a score that rotations keep",
            )?;
        }
        for change in &self.rows {
            let epsilon = match change {
                RowChange::Rms { epsilon, .. } | RowChange::Unit { epsilon } => *epsilon,
                RowChange::Rotary(_) => continue,
            };
            check_epsilon("the epsilon of a norm of queries and keys", epsilon)?;
        }
        for change in &self.logits {
            self.check_logit_change(change, heads)?;
        }
        match self.normaliser {
            Normaliser::TopK { k, .. } => ensure(k > 0, "k of top-k", "at least 1", k as f64)?,
            Normaliser::Sigmoid(SigmoidBias::Fixed(bias)) => {
                ensure(bias.is_finite(), "the bias of the sigmoid", "finite", bias)?;
            }
            _ => {}
        }
        for change in &self.pattern {
            match change {
                PatternChange::MixHeads(_) => self.check_mixing()?,
                PatternChange::Scale(x) => ensure(x.is_finite(), "the factor on the pattern", "finite", *x)?,
            }
        }
        if let Combination::DifferentialV1 { lambda_init: x, .. } = self.combination {
            ensure(x.is_finite(), "λ_init", "finite", x)?;
        }
        for change in &self.output {
            match change {
                OutputChange::HeadNorm { epsilon, .. } => {
                    check_epsilon("the epsilon of the head norm", *epsilon)?
                }
                OutputChange::Scale(x) => ensure(x.is_finite(), "the factor on the output", "finite", *x)?,
                OutputChange::Gate(_) => {}
            }
        }
        Ok(())
    }

    fn check_logit_change(&self, change: &LogitChange, heads: usize) -> Result<(), AttentionError> {
        match change {
            LogitChange::Softcap(cap) => {
                Ok(ensure(*cap > 0.0 && cap.is_finite(), "the softcap", "positive and finite", *cap)?)
            }
            LogitChange::Buckets(buckets) => {
                let n = buckets.of_one_direction();
                let odd = buckets.direction == Direction::Bidirectional && buckets.count % 2 != 0;
                let allowed = "at least 2 for each direction, and even for both";
                ensure(n >= 2 && !odd, "the number of buckets", allowed, buckets.count as f64)?;
                let (farthest, allowed) = (buckets.farthest, "more than half the buckets of one direction");
                Ok(ensure(farthest > n / 2, "the farthest distance", allowed, farthest as f64)?)
            }
            LogitChange::Forgetting if !self.mask.iter().any(looks_backwards) => meaningless(
                "a forgetting gate without a causal mask",
                "gates are summed from a key up to its query, and a key after the query has none; add MaskRule::Causal",
            ),
            LogitChange::Selective { head } if *head >= heads => {
                Err(AttentionError::Index { axis: "selecting head", index: *head, length: heads })
            }
            LogitChange::MixHeads(_) => self.check_mixing(),
            _ => Ok(()),
        }
    }

    fn check_mixing(&self) -> Result<(), AttentionError> {
        if self.mask.iter().any(MaskRule::has_heads) {
            return mixing_needs_one_mask();
        }
        Ok(())
    }

    /// Returns the axes and the shape of a learned array. λ and biases may have other shapes: see [`Variant::check_parameters`].
    pub(crate) fn shape(&self, name: Parameter, sizes: &Sizes) -> (&'static str, Vec<usize>) {
        let Sizes {
            heads: h, key_heads: g, queries: t, keys: s, width: d, value_width: e, out_heads: p, ..
        } = *sizes;
        let projection =
            self.rows.iter().any(|c| matches!(c, RowChange::Rms { over: NormOver::Projection, .. }));
        match name {
            Parameter::QueryGain if projection => ("[h, d]", vec![h, d]),
            Parameter::KeyGain if projection => ("[g, d]", vec![g, d]),
            Parameter::QueryGain | Parameter::KeyGain => ("[d]", vec![d]),
            Parameter::Temperature | Parameter::Slopes | Parameter::Sink | Parameter::SigmoidBias => {
                ("[h]", vec![h])
            }
            Parameter::Bias => ("[h, t, s], each axis full or 1", vec![h, t, s]),
            Parameter::Buckets => {
                let count = |c: &LogitChange| match c {
                    LogitChange::Buckets(buckets) => Some(buckets.count),
                    _ => None,
                };
                ("[buckets, h]", vec![self.logits.iter().find_map(count).unwrap_or(0), h])
            }
            Parameter::LogForget => ("[h, s]", vec![h, s]),
            Parameter::MixLogits | Parameter::MixPattern => ("[h, h]", vec![h, h]),
            Parameter::LambdaQuery1
            | Parameter::LambdaKey1
            | Parameter::LambdaQuery2
            | Parameter::LambdaKey2 => ("[d]", vec![d]),
            Parameter::LambdaLogit => ("[p, t]", vec![p, t]),
            Parameter::HeadGain => ("[e]", vec![e]),
            Parameter::Gate => match self.output.contains(&OutputChange::Gate(GateForm::Headwise)) {
                true => ("[p, t, 1]", vec![p, t, 1]),
                false => ("[p, t, e]", vec![p, t, e]),
            },
        }
    }

    /// Checks that the learned arrays are exactly the arrays that the variant needs, with the right shapes.
    pub(crate) fn check_parameters<F: collimate_tensor::Scalar>(
        &self,
        sizes: &Sizes,
        parameters: &Parameters<F>,
    ) -> Result<(), AttentionError> {
        let needed = self.parameters();
        if let Some((name, _)) = parameters.iter().find(|(name, _)| !needed.contains(name)) {
            let problem = "was given, but nothing in the variant reads it";
            return Err(AttentionError::Parameter { name: name.name(), problem });
        }
        for name in needed {
            let Some(array) = parameters.get(name) else {
                return Err(AttentionError::Parameter {
                    name: name.name(),
                    problem: "is needed, but missing",
                });
            };
            let (axes, expected) = self.shape(name, sizes);
            match name {
                Parameter::Bias => {
                    check_broadcast(name.name(), array.shape(), [sizes.heads, sizes.queries, sizes.keys])?;
                }
                // Both partners have the same length, which may be any length.
                Parameter::LambdaQuery1 | Parameter::LambdaQuery2 if array.ndim() == 1 => {}
                Parameter::LambdaKey1 | Parameter::LambdaKey2 => {
                    let partner = match name {
                        Parameter::LambdaKey1 => Parameter::LambdaQuery1,
                        _ => Parameter::LambdaQuery2,
                    };
                    let expected = parameters.get(partner).map_or(&expected[..], |x| x.shape());
                    check_shape(name.name(), "(the length of its partner)", expected, array.shape())?;
                }
                _ => check_shape(name.name(), axes, &expected, array.shape())?,
            }
        }
        Ok(())
    }

    /// Returns true if a stage mixes heads.
    pub(crate) fn mixes_heads(&self) -> bool {
        self.logits.iter().any(|c| matches!(c, LogitChange::MixHeads(_)))
            || self
                .pattern
                .iter()
                .any(|c| matches!(c, PatternChange::MixHeads(Mixing::Add | Mixing::Replace)))
    }

    /// Returns true if the variant has gates at the key positions.
    pub(crate) fn has_gates(&self) -> bool {
        self.logits.contains(&LogitChange::Forgetting)
    }
}

/// Returns the error for talking heads whose masks differ.
pub(crate) fn mixing_needs_one_mask() -> Result<(), AttentionError> {
    meaningless(
        "talking heads with a mask that differs between heads",
        "a pair that one head masks would reach it through the others; use one mask for all heads",
    )
}

fn looks_backwards(rule: &MaskRule) -> bool {
    matches!(rule, MaskRule::Causal | MaskRule::Window(Window { ahead: Some(0), .. }))
}

fn check_epsilon(name: &'static str, epsilon: f64) -> Result<(), AttentionError> {
    let allowed = "positive and finite: a row of zeros has no direction";
    Ok(ensure(epsilon > 0.0 && epsilon.is_finite(), name, allowed, epsilon)?)
}
