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
/// A layer passes its sites in this order. Further sites stand below, with the letters of their axes in [`Site::axes`].
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
    /// The input of the first layer `[b, t, d]`; a site of the whole model.
    Embedding,
    /// The divisor of the norm before attention, √(mean square + ε), `[b, t, 1]`.
    AttentionNormScale,
    /// The normalised input of attention, before the gain of the norm, `[b, t, d]`.
    AttentionNormalised,
    /// The input of attention, after its norm.
    AttentionInput,
    /// The queries as they are projected.
    Query,
    /// The keys as they are projected.
    Key,
    /// The values.
    Value,
    /// The queries after their norm and rotation, as attention takes them.
    QueryTurned,
    /// The keys after their norm and rotation, as attention takes them.
    KeyTurned,
    /// The scores before softcap, mask and softmax.
    Scores,
    /// The result of each head after the output matrix `[b, t, h, d]`; their sum, with the bias, is the output of attention.
    HeadResult,
    /// The sum that attention adds to the residual stream: its output after the norm that follows, where there is one, `[b, t, d]`.
    AttentionAdded,
    /// The divisor of the norm before the MLP, `[b, t, 1]`.
    MlpNormScale,
    /// The normalised input of the MLP, before the gain of the norm, `[b, t, d]`.
    MlpNormalised,
    /// The input of the MLP, after its norm.
    MlpInput,
    /// The logits of the router of a mixture of experts, `[b, t, n]`.
    RouterLogits,
    /// The gate of the MLP before its nonlinearity. A mixture of experts has no such point.
    MlpGate,
    /// The up projection of the MLP.
    MlpUp,
    /// The sum that the MLP adds to the residual stream: its output after the norm that follows, where there is one, `[b, t, d]`.
    MlpAdded,
    /// The divisor of the final norm, `[b, t, 1]`; a site of the whole model.
    FinalNormScale,
    /// The normalised residual stream before the gain of the final norm, `[b, t, d]`; a site of the whole model.
    FinalNormalised,
    /// The input of the head: the final norm, projected where the embedding is; a site of the whole model.
    FinalHidden,
    /// The logits; a site of the whole model.
    Logits,
}

impl Site {
    /// The sites of the table above, in the order in which a layer passes them. [`Site::every`] has all sites.
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

/// Every site with its name, the name that users of TransformerLens know, and its content. `{}` stands for the layer.
const NAMES: [(Site, &str, &str, &str); 31] = [
    (Site::Embedding, "embedding", "", "the input of the first layer"),
    (
        Site::ResidualPre,
        "residual_pre.{}",
        "blocks.{}.hook_resid_pre",
        "the residual stream before the layer",
    ),
    (
        Site::AttentionNormScale,
        "attention_norm_scale.{}",
        "blocks.{}.ln1.hook_scale",
        "the divisor of the norm before attention",
    ),
    (
        Site::AttentionNormalised,
        "attention_normalised.{}",
        "blocks.{}.ln1.hook_normalized",
        "the normalised input of attention, before the gain of the norm",
    ),
    (Site::AttentionInput, "attention_input.{}", "", "the input of attention, after its norm"),
    (Site::Query, "query.{}", "blocks.{}.attn.hook_q", "the queries as they are projected"),
    (Site::Key, "key.{}", "blocks.{}.attn.hook_k", "the keys as they are projected"),
    (Site::Value, "value.{}", "blocks.{}.attn.hook_v", "the values"),
    (
        Site::QueryTurned,
        "query_turned.{}",
        "blocks.{}.attn.hook_rot_q",
        "the queries after their norm and rotation",
    ),
    (Site::KeyTurned, "key_turned.{}", "blocks.{}.attn.hook_rot_k", "the keys after their norm and rotation"),
    (
        Site::Scores,
        "scores.{}",
        "blocks.{}.attn.hook_attn_scores",
        "the scores of attention before softcap, mask and softmax",
    ),
    (Site::Pattern, "pattern.{}", "blocks.{}.attn.hook_pattern", "the attention pattern"),
    (
        Site::HeadOutput,
        "head_output.{}",
        "blocks.{}.attn.hook_z",
        "the output of each attention head, before the output matrix",
    ),
    (
        Site::HeadResult,
        "head_result.{}",
        "blocks.{}.attn.hook_result",
        "the output of each attention head, after the output matrix",
    ),
    (Site::AttentionOutput, "attention_output.{}", "", "the output of attention"),
    (
        Site::AttentionAdded,
        "attention_added.{}",
        "blocks.{}.hook_attn_out",
        "the sum that attention adds to the residual stream, after the norm that may follow attention",
    ),
    (
        Site::ResidualMid,
        "residual_mid.{}",
        "blocks.{}.hook_resid_mid",
        "the residual stream between attention and MLP",
    ),
    (
        Site::MlpNormScale,
        "mlp_norm_scale.{}",
        "blocks.{}.ln2.hook_scale",
        "the divisor of the norm before the MLP",
    ),
    (
        Site::MlpNormalised,
        "mlp_normalised.{}",
        "blocks.{}.ln2.hook_normalized",
        "the normalised input of the MLP, before the gain of the norm",
    ),
    (Site::MlpInput, "mlp_input.{}", "", "the input of the MLP, after its norm"),
    (Site::RouterLogits, "router_logits.{}", "", "the logits of the router of a mixture of experts"),
    (Site::MlpGate, "mlp_gate.{}", "blocks.{}.mlp.hook_pre", "the gate of the MLP before its nonlinearity"),
    (Site::MlpUp, "mlp_up.{}", "blocks.{}.mlp.hook_pre_linear", "the up projection of the MLP"),
    (
        Site::MlpNeurons,
        "mlp_neurons.{}",
        "blocks.{}.mlp.hook_post",
        "the hidden activations of the MLP, gate times up, before its last product",
    ),
    (Site::MlpOutput, "mlp_output.{}", "", "the output of the MLP"),
    (
        Site::MlpAdded,
        "mlp_added.{}",
        "blocks.{}.hook_mlp_out",
        "the sum that the MLP adds to the residual stream, after the norm that may follow the MLP",
    ),
    (
        Site::ResidualPost,
        "residual_post.{}",
        "blocks.{}.hook_resid_post",
        "the residual stream after the layer",
    ),
    (Site::FinalNormScale, "final_norm_scale", "ln_final.hook_scale", "the divisor of the final norm"),
    (
        Site::FinalNormalised,
        "final_normalised",
        "ln_final.hook_normalized",
        "the normalised residual stream, before the gain of the final norm",
    ),
    (Site::FinalHidden, "final_hidden", "", "the input of the head"),
    (Site::Logits, "logits", "", "the logits"),
];

impl Site {
    /// Returns every site in the order in which a run passes them.
    pub fn every() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(site, ..)| *site)
    }

    /// Returns the letters of the axes: `b` sequence, `t` position, `s` position of a key, `h` head, `g` key head, `e` width of a head,
    /// `d` width of the residual stream, `f` width of the MLP, `n` expert, `v` word.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::Site;
    /// assert_eq!(Site::HeadOutput.axes(), "[b, t, h, e]");
    /// ```
    pub fn axes(self) -> &'static str {
        match self {
            Self::Query | Self::QueryTurned | Self::HeadOutput => "[b, t, h, e]",
            Self::Key | Self::KeyTurned | Self::Value => "[b, t, g, e]",
            Self::Scores | Self::Pattern => "[b, h, t, s]",
            Self::HeadResult => "[b, t, h, d]",
            Self::MlpGate | Self::MlpUp | Self::MlpNeurons => "[b, t, f]",
            Self::RouterLogits => "[b, t, n]",
            Self::Logits => "[b, t, v]",
            Self::AttentionNormScale | Self::MlpNormScale | Self::FinalNormScale => "[b, t, 1]",
            _ => "[b, t, d]",
        }
    }

    /// Returns the content of the site in words.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::Site;
    /// assert_eq!(Site::ResidualMid.content(), "the residual stream between attention and MLP");
    /// ```
    pub fn content(self) -> &'static str {
        NAMES.iter().find(|(site, ..)| *site == self).map_or("", |(.., content)| *content)
    }

    /// Returns true if each position has a row of its own: not for scores and patterns, and not for the divisors of norms.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::Site;
    /// assert!(Site::HeadOutput.has_rows() && !Site::Pattern.has_rows());
    /// ```
    pub fn has_rows(self) -> bool {
        !matches!(self.axes(), "[b, h, t, s]" | "[b, t, 1]")
    }

    /// Returns true if the site belongs to the whole model and not to a layer.
    pub fn is_of_the_model(self) -> bool {
        self.name().is_some_and(|name| !name.contains("{}"))
    }

    /// Returns true for sites inside an operation that a backward pass does not read again: results of heads and divisors of norms.
    pub(crate) fn has_no_gradient(self) -> bool {
        matches!(
            self,
            Self::HeadResult | Self::AttentionNormScale | Self::MlpNormScale | Self::FinalNormScale
        )
    }

    fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(site, ..)| *site == self).map(|(_, name, ..)| *name)
    }
}

impl HookPoint {
    /// Returns the name of the point, for example `residual_pre.3`.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{HookPoint, Site};
    /// let point = Site::HeadOutput.of_layer(3);
    /// assert_eq!(point.name(), "head_output.3");
    /// // The names of TransformerLens are understood too.
    /// assert_eq!("blocks.3.attn.hook_z".parse::<HookPoint>().unwrap(), point);
    /// ```
    pub fn name(&self) -> String {
        let pattern = self.site.name().unwrap_or_default();
        pattern.replace("{}", &self.layer.to_string())
    }

    /// Returns the name that users of TransformerLens know, if there is one.
    pub fn transformer_lens_name(&self) -> Option<String> {
        let (_, _, alias, _) = NAMES.iter().find(|(site, ..)| *site == self.site)?;
        (!alias.is_empty()).then(|| alias.replace("{}", &self.layer.to_string()))
    }
}

impl std::str::FromStr for HookPoint {
    type Err = UnknownPoint;

    fn from_str(text: &str) -> Result<Self, UnknownPoint> {
        let read = |pattern: &str| -> Option<usize> {
            let Some((start, end)) = pattern.split_once("{}") else { return (pattern == text).then_some(0) };
            let layer = text.strip_prefix(start)?.strip_suffix(end)?;
            // Only plain digits: `+3` is no layer.
            layer.bytes().all(|byte| byte.is_ascii_digit()).then(|| layer.parse().ok())?
        };
        let found = |(site, name, alias, _): &(Site, &str, &str, &str)| {
            let layer = read(name).or_else(|| if alias.is_empty() { None } else { read(alias) })?;
            Some(Self { layer, site: *site })
        };
        NAMES.iter().find_map(found).ok_or_else(|| UnknownPoint { name: text.into() })
    }
}

/// A name that is no hook point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is no hook point; names are like residual_pre.3, head_output.0 or logits, and `collimate model info` lists them"
)]
pub struct UnknownPoint {
    /// The name given.
    pub name: String,
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
        if self.site.is_of_the_model() {
            return write!(f, "{:?}", self.site);
        }
        write!(f, "{:?} of layer {}", self.site, self.layer)
    }
}
