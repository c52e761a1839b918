use crate::parts::HeadAxes;
use ndarray::{ArrayView, ArrayViewMut2, Ix3, Ix4, ShapeBuilder};
use std::fmt;
use std::ops::Range;

/// A tile of scores or of the pattern, handed to an intervention.
///
/// The division into tiles may change between versions, so an intervention should depend on the pairs alone.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tile<'a, F> {
    /// The member of the batch; 0 without a batch axis.
    pub batch: usize,
    /// The query head.
    pub head: usize,
    /// The queries of the rows.
    pub queries: Range<usize>,
    /// The keys of the columns.
    pub keys: Range<usize>,
    /// The numbers `[queries, keys]`.
    pub values: ArrayViewMut2<'a, F>,
}

/// A whole row of the pattern, handed to an intervention.
#[derive(Debug)]
#[non_exhaustive]
pub struct PatternRow<'a, F> {
    /// The member of the batch; 0 without a batch axis.
    pub batch: usize,
    /// The query head.
    pub head: usize,
    /// The query.
    pub query: usize,
    /// One number for each key; masked keys are 0.
    pub values: &'a mut [F],
}

/// A change of scores or pattern inside a forward pass: the argument of [`Attention::intervene`](crate::Attention::intervene).
///
/// After a change of the pattern nothing is normalised again, and a key whose number is exactly 0 has no influence.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Intervention<'a, F, D: HeadAxes = Ix3> {
    /// Changes the scores tile by tile, before the softmax.
    ///
    /// The scores are scaled and rotated, and −∞ at masked pairs. A score of −∞ removes its pair, and the softmax normalises the
    /// rest of the row. Masked pairs stay masked.
    Scores(&'a (dyn Fn(Tile<'_, F>) + Sync)),
    /// Changes the pattern tile by tile. The scores are computed twice. Masked pairs are 0 and may be changed.
    Pattern(&'a (dyn Fn(Tile<'_, F>) + Sync)),
    /// Changes the pattern row by row. Masked pairs are 0 and may be changed.
    Rows(&'a (dyn Fn(PatternRow<'_, F>) + Sync)),
    /// Replaces the pattern by `[h, t, s]` or `[b, h, t, s]`. Of q and k only the shapes matter.
    Replace(ArrayView<'a, F, D>),
}

impl<'a, F, D: HeadAxes> Intervention<'a, F, D> {
    /// Adds a batch axis if there is none.
    pub(crate) fn lift(self) -> Intervention<'a, F, Ix4> {
        match self {
            Self::Scores(edit) => Intervention::Scores(edit),
            Self::Pattern(edit) => Intervention::Pattern(edit),
            Self::Rows(edit) => Intervention::Rows(edit),
            Self::Replace(pattern) => Intervention::Replace(D::lift(pattern)),
        }
    }
}

impl<F, D: HeadAxes> fmt::Debug for Intervention<'_, F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scores(_) => "Scores",
            Self::Pattern(_) => "Pattern",
            Self::Rows(_) => "Rows",
            Self::Replace(_) => "Replace",
        })
    }
}

/// A change of tiles of scores or of the pattern.
pub(crate) type TileEdit<'a, F> = &'a (dyn Fn(Tile<'_, F>) + Sync);

/// A change of rows of the pattern.
pub(crate) type RowEdit<'a, F> = &'a (dyn Fn(PatternRow<'_, F>) + Sync);

/// Views a tile, which is rows of keys, as `[queries, keys]`.
pub(crate) fn as_queries<F>(tile: &mut [F], queries: usize, width: usize) -> ArrayViewMut2<'_, F> {
    let shape = (queries, tile.len() / width).strides((1, width));
    ArrayViewMut2::from_shape(shape, tile).expect("a tile is rows of that width")
}
