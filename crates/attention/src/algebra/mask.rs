use crate::AttentionError;
use crate::error::check_shape;
use collimate_measure::ensure;
use ndarray::{Array3, ArrayRef, ArrayRefD};

/// The meaning of `true` in a mask of booleans. Libraries disagree, and the wrong choice gives no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Polarity {
    /// `true`: the query attends to the key. PyTorch's `scaled_dot_product_attention`, ONNX, x-transformers, JAX.
    TrueAttends,
    /// `true`: the pair is masked. burn, PyTorch's `MultiheadAttention` (`attn_mask`, `key_padding_mask`).
    TrueIsMasked,
}

/// The range of a query: keys at a distance of up to `back` before and `ahead` after its own position, which is included.
///
/// # Examples
/// ```
/// use collimate_attention::algebra::Window;
/// // One window, as three libraries count it.
/// assert_eq!(Window::previous(2047), Window::including_self(2048)?); // flash-attn 2047; xformers, Mistral 2048
/// assert_eq!(Window::from_signed(2, -1)?, Window { back: Some(2), ahead: None }); // ONNX: −1 is unbounded
/// assert!(Window::from_signed(-2, 0).is_err());
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The number of positions before its own that a query sees; `None` means all.
    pub back: Option<usize>,
    /// The number of positions after its own that a query sees; `None` means all.
    pub ahead: Option<usize>,
}

impl Window {
    /// Returns the window of `back` earlier positions and no later ones: flash-attn's (back, 0), ONNX's `left_window_size`.
    pub fn previous(back: usize) -> Self {
        Self { back: Some(back), ahead: Some(0) }
    }

    /// Returns the window of `width` positions that ends at the query: xformers, fla, `sliding_window` in Hugging Face.
    ///
    /// # Errors
    /// [`AttentionError::OutOfRange`] if `width` is 0: the query itself counts.
    pub fn including_self(width: usize) -> Result<Self, AttentionError> {
        let argument = "the width of a window that includes its query";
        ensure(width > 0, argument, "at least 1", width as f64)?;
        Ok(Self::previous(width - 1))
    }

    /// Returns the window with these two counts, where −1 means unbounded: flash-attn, ONNX.
    ///
    /// # Errors
    /// [`AttentionError::OutOfRange`] for a number below −1.
    pub fn from_signed(left: i64, right: i64) -> Result<Self, AttentionError> {
        let side = |n: i64, name| {
            ensure(n >= -1, name, "−1 (unbounded) or a number of positions", n as f64)?;
            Ok::<_, AttentionError>(usize::try_from(n).ok())
        };
        Ok(Self { back: side(left, "the left window")?, ahead: side(right, "the right window")? })
    }
}

/// A rule for the pairs of query and key that attend. In a variant those pairs attend that all its rules allow.
///
/// Query `i` has position `i + offset`, key `j` has position `j`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MaskRule {
    /// Keys up to the position of the query.
    Causal,
    /// Keys near the position of the query.
    Window(Window),
    /// The first keys for every query, later keys causally: key `j` if `j < length` or `j ≤` the position of the query.
    Prefix {
        /// The number of keys that every query sees.
        length: usize,
    },
    /// Keys of the query's document, for several documents packed into one sequence.
    Documents {
        /// The document of each query `[t]`.
        queries: Vec<u32>,
        /// The document of each key `[s]`.
        keys: Vec<u32>,
    },
    /// Blocks of pairs.
    Blocks {
        /// The number of queries of a block.
        queries: usize,
        /// The number of keys of a block.
        keys: usize,
        /// True for the blocks that attend: `[h or 1, ⌈t/queries⌉, ⌈s/keys⌉]`.
        attends: Array3<bool>,
    },
    /// Any pairs: `[h, t, s]`, each axis of length 1 or full.
    Pairs {
        /// The mask.
        pairs: Array3<bool>,
        /// The meaning of `true` in the mask.
        polarity: Polarity,
    },
}

impl MaskRule {
    /// Returns the rule for any pairs, from an array of rank 1 `[s]`, 2 `[t, s]` or 3 `[h, t, s]`. Its axes may have length 1.
    ///
    /// # Errors
    /// [`AttentionError::Rank`] for another rank. Use one call for each member of a batch.
    pub fn pairs(mask: &ArrayRefD<bool>, polarity: Polarity) -> Result<Self, AttentionError> {
        let mut shape = mask.shape().to_vec();
        if shape.is_empty() || shape.len() > 3 {
            return Err(AttentionError::Rank {
                argument: "a mask of pairs",
                expected: "1 [s], 2 [t, s] or 3 [h, t, s]",
                given: shape,
            });
        }
        while shape.len() < 3 {
            shape.insert(0, 1);
        }
        let flat: Vec<bool> = mask.iter().copied().collect();
        let pairs = Array3::from_shape_vec((shape[0], shape[1], shape[2]), flat).expect("the same count");
        Ok(Self::Pairs { pairs, polarity })
    }

    /// Returns the rule for padding: a boolean for each key.
    pub fn keys(keys: &[bool], polarity: Polarity) -> Self {
        let pairs = Array3::from_shape_fn((1, 1, keys.len()), |(_, _, j)| keys[j]);
        Self::Pairs { pairs, polarity }
    }

    /// Returns the rule for padding at the end: the first `count` of `keys` keys attend.
    pub fn first_keys(count: usize, keys: usize) -> Self {
        let real: Vec<bool> = (0..keys).map(|j| j < count).collect();
        Self::keys(&real, Polarity::TrueAttends)
    }

    /// Checks that the rule fits these numbers of heads, queries and keys.
    pub(crate) fn check(&self, heads: usize, queries: usize, keys: usize) -> Result<(), AttentionError> {
        match self {
            Self::Documents { queries: a, keys: b } => {
                check_shape("the documents of the queries", "[t]", &[queries], &[a.len()])?;
                check_shape("the documents of the keys", "[s]", &[keys], &[b.len()])
            }
            Self::Blocks { queries: rows, keys: columns, attends } => {
                ensure(*rows > 0 && *columns > 0, "the side of a mask block", "at least 1", 0.0)?;
                let (first, full) = (attends.dim().0, [queries.div_ceil(*rows), keys.div_ceil(*columns)]);
                let expected = [if first == 1 { 1 } else { heads }, full[0], full[1]];
                check_shape("the mask blocks", "[h or 1, ⌈t/queries⌉, ⌈s/keys⌉]", &expected, attends.shape())
            }
            Self::Pairs { pairs, .. } => {
                check_broadcast("the mask of pairs", pairs.shape(), [heads, queries, keys])
            }
            Self::Causal | Self::Window(_) | Self::Prefix { .. } => Ok(()),
        }
    }

    /// Returns true if the rule may differ from head to head.
    pub(crate) fn has_heads(&self) -> bool {
        match self {
            Self::Blocks { attends, .. } => attends.dim().0 > 1,
            Self::Pairs { pairs, .. } => pairs.dim().0 > 1,
            _ => false,
        }
    }

    /// Returns true if query `i` of head `h`, at position `position`, may attend to key `j`.
    pub(crate) fn allows(&self, h: usize, i: usize, position: isize, j: usize) -> bool {
        let key = j as isize;
        match self {
            Self::Causal => key <= position,
            Self::Window(Window { back, ahead }) => {
                back.is_none_or(|back| key >= position.saturating_sub_unsigned(back))
                    && ahead.is_none_or(|ahead| key <= position.saturating_add_unsigned(ahead))
            }
            Self::Prefix { length } => j < *length || key <= position,
            Self::Documents { queries, keys } => queries[i] == keys[j],
            Self::Blocks { queries, keys, attends } => {
                attends[[if attends.dim().0 == 1 { 0 } else { h }, i / queries, j / keys]]
            }
            Self::Pairs { pairs, polarity } => {
                pairs[broadcast(pairs, h, i, j)] == (*polarity == Polarity::TrueAttends)
            }
        }
    }
}

/// Returns the index of (h, i, j) in an array whose axes may have length 1.
pub(crate) fn broadcast<T>(x: &ArrayRef<T, ndarray::Ix3>, h: usize, i: usize, j: usize) -> [usize; 3] {
    let (a, b, c) = x.dim();
    [if a == 1 { 0 } else { h }, if b == 1 { 0 } else { i }, if c == 1 { 0 } else { j }]
}

/// Returns an error unless each axis has length 1 or is full.
pub(crate) fn check_broadcast(
    argument: &'static str,
    given: &[usize],
    full: [usize; 3],
) -> Result<(), AttentionError> {
    let fits = given.len() == 3 && given.iter().zip(full).all(|(&n, full)| n == 1 || n == full);
    let expected = full.to_vec();
    if fits {
        return Ok(());
    }
    Err(AttentionError::Shape {
        argument,
        axes: "[h, t, s], each axis full or 1",
        expected,
        given: given.to_vec(),
    })
}

/// The keys that each query attends to under all rules.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    queries: usize,
    /// One list for each query, for a single head if all heads see the same keys.
    lists: Vec<Vec<usize>>,
    shared: bool,
}

impl Seen {
    pub(crate) fn new(
        heads: usize,
        queries: usize,
        keys: usize,
        shared: bool,
        allows: impl Fn(usize, usize, usize) -> bool,
    ) -> Self {
        let heads = if shared { 1.min(heads) } else { heads };
        let list = |(h, i)| (0..keys).filter(|&j| allows(h, i, j)).collect();
        let lists = (0..heads).flat_map(|h| (0..queries).map(move |i| (h, i))).map(list).collect();
        Self { queries, lists, shared }
    }

    /// Returns the keys of query `i` of head `h`.
    pub(crate) fn keys(&self, h: usize, i: usize) -> &[usize] {
        &self.lists[if self.shared { i } else { h * self.queries + i }]
    }

    /// Returns true if all heads see the same pairs.
    pub(crate) fn same_for_all_heads(&self) -> bool {
        self.shared || self.lists.chunks(self.queries.max(1)).all(|head| *head == self.lists[..head.len()])
    }
}
