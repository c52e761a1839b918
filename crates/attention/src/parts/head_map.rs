use crate::AttentionError;

/// The key head that each query head reads.
///
/// Libraries disagree on the grouped form. A wrong choice gives no error: the shapes fit, but the numbers are wrong.
///
/// ```text
/// floor:   key head of h = ⌊h / (H/G)⌋   0 0 0 1 1 1 2 2 2   Hugging Face, PyTorch, ONNX, llama.cpp
/// modulo:  key head of h = h mod G       0 1 2 0 1 2 0 1 2   x-transformers
/// ```
///
/// # Examples
/// ```
/// use collimate_attention::HeadMap;
/// assert_eq!(HeadMap::grouped_by_floor(9, 3).key_head(4)?, 1);
/// assert_eq!(HeadMap::grouped_by_modulo(9, 3).key_head(5)?, 2);
/// assert!(HeadMap::grouped_by_floor(9, 4).check(9, 4).is_err());
/// assert!(HeadMap::grouped_by_floor(9, 3).key_head(9).is_err());
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Shazeer (2019), "Fast Transformer Decoding"; Ainslie et al. (2023), "GQA".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadMap {
    /// Every query head has a key head of its own.
    MultiHead,
    /// Neighbouring query heads share a key head: ⌊h / (H/G)⌋.
    GroupedByFloor {
        /// The number of query heads, H.
        query_heads: usize,
        /// The number of key heads, G, a divisor of H.
        key_heads: usize,
    },
    /// Query heads that are G apart share a key head: h mod G.
    GroupedByModulo {
        /// The number of query heads, H.
        query_heads: usize,
        /// The number of key heads, G, a divisor of H.
        key_heads: usize,
    },
    /// All query heads read the one key head.
    MultiQuery,
}

impl HeadMap {
    /// Returns the map in which every query head has a key head of its own.
    pub fn multi_head() -> Self {
        Self::MultiHead
    }

    /// Returns the map in which neighbouring query heads share a key head.
    pub fn grouped_by_floor(query_heads: usize, key_heads: usize) -> Self {
        Self::GroupedByFloor { query_heads, key_heads }
    }

    /// Returns the map in which query heads that are `key_heads` apart share a key head.
    pub fn grouped_by_modulo(query_heads: usize, key_heads: usize) -> Self {
        Self::GroupedByModulo { query_heads, key_heads }
    }

    /// Returns the map in which all query heads read one key head.
    pub fn multi_query() -> Self {
        Self::MultiQuery
    }

    /// Returns the key head that a query head reads.
    ///
    /// # Errors
    /// [`AttentionError::Heads`] if the numbers of a grouped map do not divide, [`AttentionError::Index`] if it has no such query head.
    pub fn key_head(&self, head: usize) -> Result<usize, AttentionError> {
        if let Self::GroupedByFloor { query_heads, key_heads }
        | Self::GroupedByModulo { query_heads, key_heads } = *self
        {
            self.check(query_heads, key_heads)?;
            if head >= query_heads {
                return Err(AttentionError::Index { axis: "query head", index: head, length: query_heads });
            }
        }
        Ok(self.read(head))
    }

    /// Returns the key head that a query head reads, for a map that passed [`HeadMap::check`].
    pub(crate) fn read(&self, head: usize) -> usize {
        match *self {
            Self::MultiHead => head,
            Self::GroupedByFloor { query_heads, key_heads } => head / (query_heads / key_heads),
            Self::GroupedByModulo { key_heads, .. } => head % key_heads,
            Self::MultiQuery => 0,
        }
    }

    /// Checks that the map joins these numbers of query heads and key heads.
    ///
    /// # Errors
    /// [`AttentionError::Heads`] if the numbers differ from the numbers of the map or do not divide.
    pub fn check(&self, query_heads: usize, key_heads: usize) -> Result<(), AttentionError> {
        let refuse = |map, reason| Err(AttentionError::Heads { map, query_heads, key_heads, reason });
        match *self {
            Self::MultiHead if query_heads != key_heads => {
                refuse("multi-head", "the two counts must be equal")
            }
            Self::MultiQuery if key_heads != 1 => refuse("multi-query", "there must be one key head"),
            Self::MultiHead | Self::MultiQuery => Ok(()),
            Self::GroupedByFloor { query_heads: h, key_heads: g }
            | Self::GroupedByModulo { query_heads: h, key_heads: g } => {
                let name = if matches!(self, Self::GroupedByFloor { .. }) {
                    "grouped by floor"
                } else {
                    "grouped by modulo"
                };
                if g == 0 || h % g != 0 {
                    refuse(name, "the key heads of the map must divide its query heads")
                } else if (h, g) != (query_heads, key_heads) {
                    refuse(name, "the map was made for other counts")
                } else {
                    Ok(())
                }
            }
        }
    }
}
