use std::fmt;

/// A parameter of a layer or of the whole model.
///
/// Matrices map rows to rows: y = x Wᵀ with W `[outputs, inputs]`. Vectors are `[1, n]`. The matrices of experts stand one below the other,
/// and each expert has a row of their biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // The names say it all; the table of shapes is in the builder of the program.
pub enum Part {
    TokenEmbedding,
    PositionEmbedding,
    TypeEmbedding,
    EmbeddingNormGain,
    EmbeddingNormBias,
    ProjectIn,
    AttentionNormGain,
    AttentionNormBias,
    Query,
    QueryBias,
    Key,
    KeyBias,
    Value,
    ValueBias,
    QueryNormGain,
    QueryNormBias,
    KeyNormGain,
    KeyNormBias,
    Sinks,
    LambdaQuery1,
    LambdaKey1,
    LambdaQuery2,
    LambdaKey2,
    AttentionOutput,
    AttentionOutputBias,
    AttentionPostNormGain,
    AttentionPostNormBias,
    AttentionSumNormGain,
    AttentionSumNormBias,
    MlpNormGain,
    MlpNormBias,
    Gate,
    GateBias,
    Up,
    UpBias,
    Down,
    DownBias,
    Router,
    RouterBias,
    ExpertGate,
    ExpertGateBias,
    ExpertUp,
    ExpertUpBias,
    ExpertDown,
    ExpertDownBias,
    MlpPostNormGain,
    MlpPostNormBias,
    MlpSumNormGain,
    MlpSumNormBias,
    FinalNormGain,
    FinalNormBias,
    ProjectOut,
    HeadTransform,
    HeadTransformBias,
    HeadTransformNormGain,
    HeadTransformNormBias,
    Head,
    HeadBias,
    Pooler,
    PoolerBias,
    NextSentence,
    NextSentenceBias,
}

impl Part {
    /// Returns true for the gain of a norm.
    pub fn is_gain(self) -> bool {
        matches!(
            self,
            Self::EmbeddingNormGain
                | Self::AttentionNormGain
                | Self::QueryNormGain
                | Self::KeyNormGain
                | Self::AttentionPostNormGain
                | Self::AttentionSumNormGain
                | Self::MlpNormGain
                | Self::MlpPostNormGain
                | Self::MlpSumNormGain
                | Self::FinalNormGain
                | Self::HeadTransformNormGain
        )
    }

    /// Returns true for the bias of a norm or of a product.
    pub fn is_bias(self) -> bool {
        matches!(
            self,
            Self::EmbeddingNormBias
                | Self::AttentionNormBias
                | Self::QueryBias
                | Self::KeyBias
                | Self::ValueBias
                | Self::QueryNormBias
                | Self::KeyNormBias
                | Self::AttentionOutputBias
                | Self::AttentionPostNormBias
                | Self::AttentionSumNormBias
                | Self::MlpNormBias
                | Self::GateBias
                | Self::UpBias
                | Self::DownBias
                | Self::RouterBias
                | Self::ExpertGateBias
                | Self::ExpertUpBias
                | Self::ExpertDownBias
                | Self::MlpPostNormBias
                | Self::MlpSumNormBias
                | Self::FinalNormBias
                | Self::HeadTransformBias
                | Self::HeadTransformNormBias
                | Self::HeadBias
                | Self::PoolerBias
                | Self::NextSentenceBias
        )
    }
}

/// The name of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterName {
    /// The layer, counted from zero, or none for a parameter of the whole model.
    pub layer: Option<usize>,
    /// The parameter.
    pub part: Part,
}

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "{:?} of layer {layer}", self.part),
            None => write!(f, "{:?}", self.part),
        }
    }
}
