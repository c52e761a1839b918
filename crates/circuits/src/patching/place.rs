use crate::error::CircuitError;
use collimate_transformer::{HookPoint, Model, Precision, Site};

/// A part of the activation at a hook point. An axis without an index is taken whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The hook point.
    pub point: HookPoint,
    /// The position; in scores and patterns the position of the query.
    pub position: Option<usize>,
    /// The head; in keys and values the key head.
    pub head: Option<usize>,
    /// The position of the key, in scores and patterns.
    pub key: Option<usize>,
}

impl Place {
    /// Returns the whole activation at a point.
    pub fn whole(point: HookPoint) -> Self {
        Self { point, position: None, head: None, key: None }
    }

    /// Returns the index of each axis after the batch, where there is one.
    pub(super) fn indices(&self) -> Vec<Option<usize>> {
        match self.point.site {
            Site::Scores | Site::Pattern => vec![self.head, self.position, self.key],
            Site::Query
            | Site::Key
            | Site::Value
            | Site::QueryTurned
            | Site::KeyTurned
            | Site::HeadOutput
            | Site::HeadResult => vec![self.position, self.head, None],
            _ => vec![self.position, None],
        }
    }
}

/// The axes of a sweep: a run for each combination of their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axes {
    /// `[layer, position]`.
    LayerPosition,
    /// `[layer, head]`, at all positions together.
    LayerHead,
    /// `[layer, position, head]`.
    LayerPositionHead,
    /// `[layer, head, query]`, for scores and patterns.
    LayerHeadQuery,
    /// `[layer, head, query, key]`, for scores and patterns.
    LayerHeadQueryKey,
}

impl Axes {
    /// Returns the names of the axes.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::LayerPosition => &["layer", "position"],
            Self::LayerHead => &["layer", "head"],
            Self::LayerPositionHead => &["layer", "position", "head"],
            Self::LayerHeadQuery => &["layer", "head", "query"],
            Self::LayerHeadQueryKey => &["layer", "head", "query", "key"],
        }
    }
}

/// A sweep over the places of one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sweep {
    /// The site.
    pub site: Site,
    /// The axes.
    pub axes: Axes,
}

impl Sweep {
    /// Returns the sweeps with a common name, with that name.
    pub fn named() -> Vec<(&'static str, Self)> {
        let sweep = |site, axes| Self { site, axes };
        vec![
            ("resid_pre", sweep(Site::ResidualPre, Axes::LayerPosition)),
            ("resid_mid", sweep(Site::ResidualMid, Axes::LayerPosition)),
            ("attn_out", sweep(Site::AttentionAdded, Axes::LayerPosition)),
            ("mlp_out", sweep(Site::MlpAdded, Axes::LayerPosition)),
            ("attn_head_out_all_pos", sweep(Site::HeadOutput, Axes::LayerHead)),
            ("attn_head_out_by_pos", sweep(Site::HeadOutput, Axes::LayerPositionHead)),
            ("attn_head_q_all_pos", sweep(Site::Query, Axes::LayerHead)),
            ("attn_head_q_by_pos", sweep(Site::Query, Axes::LayerPositionHead)),
            ("attn_head_k_all_pos", sweep(Site::Key, Axes::LayerHead)),
            ("attn_head_k_by_pos", sweep(Site::Key, Axes::LayerPositionHead)),
            ("attn_head_v_all_pos", sweep(Site::Value, Axes::LayerHead)),
            ("attn_head_v_by_pos", sweep(Site::Value, Axes::LayerPositionHead)),
            ("attn_head_pattern_all_pos", sweep(Site::Pattern, Axes::LayerHead)),
            ("attn_head_pattern_by_pos", sweep(Site::Pattern, Axes::LayerHeadQuery)),
            ("attn_head_pattern_dest_src_pos", sweep(Site::Pattern, Axes::LayerHeadQueryKey)),
        ]
    }

    /// Returns the lengths of the axes for prompts of a length.
    ///
    /// # Errors
    /// [`CircuitError::Argument`] for axes that the site does not have and for a site of the whole model;
    /// [`CircuitError::Architecture`] for a model without the site, or whose layers have different numbers of heads.
    pub fn shape<F: Precision>(&self, model: &Model<F>, length: usize) -> Result<Vec<usize>, CircuitError> {
        let d = model.description();
        let refuse = |reason: String| CircuitError::Architecture { model: d.name.clone(), reason };
        let whole = self.site.of_layer(0);
        if self.site.is_of_the_model() {
            return Err(CircuitError::Argument(format!(
                "{whole} belongs to the whole model, and a sweep goes over layers; take a site of a layer"
            )));
        }
        let squares = matches!(self.site, Site::Scores | Site::Pattern);
        let of_keys = matches!(self.site, Site::Key | Site::KeyTurned | Site::Value);
        let of_heads = of_keys
            || squares
            || matches!(self.site, Site::Query | Site::QueryTurned | Site::HeadOutput | Site::HeadResult);
        let fits = match self.axes {
            Axes::LayerPosition => !squares,
            Axes::LayerHead => of_heads,
            Axes::LayerPositionHead => of_heads && !squares,
            Axes::LayerHeadQuery | Axes::LayerHeadQueryKey => squares,
        };
        if !fits {
            let names = self.axes.names().join(", ");
            return Err(CircuitError::Argument(format!(
                "{:?} has no axes [{names}]; take positions for rows, heads for heads, and queries and keys for patterns",
                self.site
            )));
        }
        let layers = d.layers.len();
        if let Some(layer) = (0..layers).find(|&layer| !model.has_point(self.site.of_layer(layer))) {
            return Err(refuse(format!("it has no {}; choose another site", self.site.of_layer(layer))));
        }
        let heads: Vec<usize> = d
            .layers
            .iter()
            .map(|layer| if of_keys { layer.attention.key_heads } else { layer.attention.heads })
            .collect();
        let n = heads.first().copied().unwrap_or_default();
        if of_heads && heads.iter().any(|&other| other != n) {
            return Err(refuse(format!(
                "its layers have {heads:?} heads, so a sweep over heads is no rectangle; sweep over positions"
            )));
        }
        Ok(match self.axes {
            Axes::LayerPosition => vec![layers, length],
            Axes::LayerHead => vec![layers, n],
            Axes::LayerPositionHead => vec![layers, length, n],
            Axes::LayerHeadQuery => vec![layers, n, length],
            Axes::LayerHeadQueryKey => vec![layers, n, length, length],
        })
    }

    /// Returns the place of a cell.
    pub(super) fn place(&self, cell: &[usize]) -> Place {
        let whole = Place::whole(self.site.of_layer(cell[0]));
        match self.axes {
            Axes::LayerPosition => Place { position: Some(cell[1]), ..whole },
            Axes::LayerHead => Place { head: Some(cell[1]), ..whole },
            Axes::LayerPositionHead => Place { position: Some(cell[1]), head: Some(cell[2]), ..whole },
            Axes::LayerHeadQuery => Place { head: Some(cell[1]), position: Some(cell[2]), ..whole },
            Axes::LayerHeadQueryKey => {
                Place { head: Some(cell[1]), position: Some(cell[2]), key: Some(cell[3]), ..whole }
            }
        }
    }
}
