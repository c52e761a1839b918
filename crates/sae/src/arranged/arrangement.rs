//! The axes of the input of a dictionary, and the result for such an input.

use crate::error::SaeError;
use crate::precision::Precision;
use crate::weights::finite;
use collimate_measure::Fingerprint;
use collimate_tensor::{Scalar, SparseRows};
use ndarray::{ArrayD, ArrayRef, ArrayView, ArrayViewD, Dimension, IxDyn};
use std::fmt;

/// The axes of the input that a dictionary takes.
///
/// # Examples
/// ```
/// use collimate_sae::Arrangement;
/// let layers = Arrangement::LayersOfRows { layers: 3 };
/// assert_eq!(layers.to_string(), "[layer, row, d] with 3 layers");
/// assert_eq!(layers.axes().len(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// Rows that do not depend on each other, `[row, d]`.
    Rows,
    /// Tokens at several layers, the layers first: `[layer, row, d]`.
    LayersOfRows {
        /// The number of layers.
        layers: usize,
    },
    /// Tokens at several layers, the tokens first: `[row, layer, d]`.
    RowsOfLayers {
        /// The number of layers.
        layers: usize,
    },
    /// Whole sequences from their first position, `[sequence, position, d]`.
    Sequences,
}

impl Arrangement {
    /// Returns the names of the axes.
    pub const fn axes(self) -> &'static [&'static str] {
        match self {
            Self::Rows => &["row", "d"],
            Self::LayersOfRows { .. } => &["layer", "row", "d"],
            Self::RowsOfLayers { .. } => &["row", "layer", "d"],
            Self::Sequences => &["sequence", "position", "d"],
        }
    }

    /// Returns the number of layers; one for an input without an axis of layers.
    pub const fn layers(self) -> usize {
        match self {
            Self::LayersOfRows { layers } | Self::RowsOfLayers { layers } => layers,
            Self::Rows | Self::Sequences => 1,
        }
    }
}

impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.axes().join(", "))?;
        match self {
            Self::LayersOfRows { layers } | Self::RowsOfLayers { layers } => {
                write!(f, " with {layers} layers")
            }
            Self::Rows | Self::Sequences => Ok(()),
        }
    }
}

/// The codes and the reconstruction of an input with any axes.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrangedForward<F: Scalar> {
    /// The codes: one sparse row of n columns for each place of `code_axes`, the last axis fastest.
    pub codes: SparseRows<F>,
    /// The lengths of the axes of the codes without the axis of the latents, such as `[layers, rows]`.
    pub code_axes: Vec<usize>,
    /// The reconstruction, or the prediction of a transcoder, with the axes of the input.
    pub reconstruction: ArrayD<F>,
    /// The codes that a temporal dictionary predicts from the context, with n as the last axis. They may be negative.
    pub predicted: Option<ArrayD<F>>,
}

/// An architecture. Each file of this folder implements it once.
pub(crate) trait Arranged<F: Precision> {
    /// Returns the name of the architecture for messages.
    fn name(&self) -> &'static str;

    /// Returns the axes of the input.
    fn arrangement(&self) -> Arrangement;

    /// Returns the widths of the input and of the output.
    fn widths(&self) -> [usize; 2];

    /// Returns the number of latents in one row of codes.
    fn n_latents(&self) -> usize;

    /// Returns what a reader of the file should know besides sizes: names and values.
    fn properties(&self) -> Vec<(&'static str, String)>;

    /// Returns the fingerprint of everything that determines the codes and the reconstruction.
    fn fingerprint(&self) -> Fingerprint;

    /// Computes the codes and the reconstruction of an input whose axes, layers, width and numbers are checked.
    fn forward_checked(&self, x: ArrayViewD<'_, F>) -> Result<ArrangedForward<F>, SaeError>;

    /// Checks the axes, the layers, the width and the numbers of an input, and computes its codes and its reconstruction.
    fn forward_any(&self, x: &ArrayRef<F, IxDyn>) -> Result<ArrangedForward<F>, SaeError> {
        let arrangement = self.arrangement();
        let mut expected = x.shape().to_vec();
        expected.resize(arrangement.axes().len(), 0);
        if let Some(width) = expected.last_mut() {
            *width = self.widths()[0];
        }
        match arrangement {
            Arrangement::LayersOfRows { layers } => expected[0] = layers,
            Arrangement::RowsOfLayers { layers } => expected[1] = layers,
            Arrangement::Rows | Arrangement::Sequences => {}
        }
        check_shape("x", &expected, x.shape())?;
        all_finite("x", x)?;
        self.forward_checked(x.view())
    }
}

/// Returns a view with a fixed number of axes. The caller has checked the number.
pub(super) fn typed<F, D: Dimension>(x: ArrayViewD<'_, F>) -> ArrayView<'_, F, D> {
    x.into_dimensionality().expect("the number of axes was checked")
}

/// Adds the bits of some numbers to a fingerprint.
pub(super) fn with_numbers<'a, F: Scalar>(
    fingerprint: Fingerprint,
    numbers: impl IntoIterator<Item = &'a F>,
) -> Fingerprint {
    let bits: Vec<u8> = numbers.into_iter().flat_map(|&x| x.to_f64().to_bits().to_le_bytes()).collect();
    fingerprint.and(&bits)
}

/// Returns an error if an array has another shape.
pub(super) fn check_shape(what: &'static str, expected: &[usize], given: &[usize]) -> Result<(), SaeError> {
    if expected == given { Ok(()) } else { Err(SaeError::shape(what, expected, given)) }
}

/// Returns an error that names the first NaN or infinity of an array with at least one axis. The row of the message counts the rows of
/// all leading axes.
pub(super) fn all_finite<F: Scalar, D: Dimension>(
    what: &'static str,
    array: &ArrayRef<F, D>,
) -> Result<(), SaeError> {
    let width = array.shape().last().copied().unwrap_or(1);
    let standard = array.as_standard_layout();
    let rows = standard.len() / width.max(1);
    match standard.view().into_shape_with_order((rows, width)) {
        Ok(rows) => finite(what, &rows),
        Err(_) => Err(SaeError::shape(what, &[rows, width], array.shape())),
    }
}

/// Returns the smallest and the largest of some numbers as text; `None` if there is no number.
pub(super) fn range<'a, F: Scalar>(numbers: impl Iterator<Item = &'a F>) -> Option<String> {
    let (least, most) = numbers
        .map(|&x| x.to_f64())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), x| (least.min(x), most.max(x)));
    (least <= most).then(|| format!("{least:.4} to {most:.4}"))
}
