use std::fmt;

/// An activation of a layer that can be read and replaced.
///
/// | site | array | content |
/// |---|---|---|
/// | `ResidualPre` | `[t, d]` | the residual stream as it enters the layer |
/// | `Pattern` | `[h, t, s]` | the attention pattern after the softmax |
/// | `HeadOutput` | `[h, t, e]` | z of each head: the pattern applied to the values, before `W_O` |
/// | `AttentionOutput` | `[t, d]` | the output of attention, which is added to the residual stream |
/// | `ResidualMid` | `[t, d]` | the residual stream between attention and MLP |
/// | `MlpNeurons` | `[t, f]` | the MLP's hidden activations, gate times up, before its last product |
/// | `MlpOutput` | `[t, d]` | the output of the MLP, which is added to the residual stream |
/// | `ResidualPost` | `[t, d]` | the residual stream as it leaves the layer |
///
/// A layer passes its sites in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// The residual stream as it enters the layer.
    ResidualPre,
    /// The attention pattern.
    Pattern,
    /// The z of each head.
    HeadOutput,
    /// The output of attention.
    AttentionOutput,
    /// The residual stream between attention and MLP.
    ResidualMid,
    /// The hidden activations of the MLP.
    MlpNeurons,
    /// The output of the MLP.
    MlpOutput,
    /// The residual stream as it leaves the layer.
    ResidualPost,
    /// What enters the first layer; a site of the whole model.
    Embedding,
    /// The input of attention, behind its norm.
    AttentionInput,
    /// The queries as they are projected.
    Query,
    /// The keys as they are projected.
    Key,
    /// The values.
    Value,
    /// The queries behind their norm and rotation, as attention takes them.
    QueryTurned,
    /// The keys behind their norm and rotation, as attention takes them.
    KeyTurned,
    /// The scores before softcap, mask and softmax.
    Scores,
    /// The input of the MLP, behind its norm.
    MlpInput,
    /// The gate of the MLP before its nonlinearity.
    MlpGate,
    /// The up projection of the MLP.
    MlpUp,
    /// The residual stream behind the final norm; a site of the whole model.
    FinalNormed,
    /// What the head reads: the final norm, projected where the embedding is; a site of the whole model.
    FinalHidden,
    /// The logits; a site of the whole model.
    Logits,
}

impl Site {
    /// All sites in the order in which a layer passes them.
    pub const ALL: [Self; 8] = [
        Self::ResidualPre,
        Self::Pattern,
        Self::HeadOutput,
        Self::AttentionOutput,
        Self::ResidualMid,
        Self::MlpNeurons,
        Self::MlpOutput,
        Self::ResidualPost,
    ];

    /// Returns this site of a layer.
    pub fn of_layer(self, layer: usize) -> HookPoint {
        HookPoint { layer, site: self }
    }
}

/// A site of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookPoint {
    /// The layer, counted from zero.
    pub layer: usize,
    /// The activation.
    pub site: Site,
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of layer {}", self.site, self.layer)
    }
}
