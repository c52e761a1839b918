use crate::AttentionError;
use collimate_measure::ensure;
use ndarray::{ArrayBase, ArrayRef2, ArrayView3, ArrayViewMut3, Axis, Dimension, Ix3, Ix4, RawData};

mod sealed {
    pub trait Sealed {}
    impl Sealed for ndarray::Ix3 {}
    impl Sealed for ndarray::Ix4 {}
}

/// The axes of queries, keys and values: heads `[h, t, d]`, or a batch of heads `[b, h, t, d]`. This trait is sealed.
pub trait HeadAxes: Dimension + sealed::Sealed {
    /// The letters of q, k, v and the output, for messages.
    #[doc(hidden)]
    const LETTERS: [&'static str; 4];

    /// The place of the first of these axes among `[b, h, t, d]`.
    #[doc(hidden)]
    const FIRST: usize;

    /// Adds a batch axis if there is none.
    #[doc(hidden)]
    fn lift<S: RawData>(x: ArrayBase<S, Self>) -> ArrayBase<S, Ix4>;

    /// Removes the batch axis that [`HeadAxes::lift`] added.
    #[doc(hidden)]
    fn lower<S: RawData>(x: ArrayBase<S, Ix4>) -> ArrayBase<S, Self>;

    /// Removes the batch axis that [`HeadAxes::lift`] added, from an array with one number for each query.
    #[doc(hidden)]
    fn lower_rows<S: RawData>(x: ArrayBase<S, Ix3>) -> ArrayBase<S, Self::Smaller>;
}

impl HeadAxes for Ix3 {
    const LETTERS: [&'static str; 4] = ["[h, t, d]", "[g, s, d]", "[g, s, e]", "[h, t, e]"];
    const FIRST: usize = 1;

    fn lift<S: RawData>(x: ArrayBase<S, Self>) -> ArrayBase<S, Ix4> {
        x.insert_axis(Axis(0))
    }

    fn lower<S: RawData>(x: ArrayBase<S, Ix4>) -> ArrayBase<S, Self> {
        x.index_axis_move(Axis(0), 0)
    }

    fn lower_rows<S: RawData>(x: ArrayBase<S, Ix3>) -> ArrayBase<S, Self::Smaller> {
        x.index_axis_move(Axis(0), 0)
    }
}

impl HeadAxes for Ix4 {
    const LETTERS: [&'static str; 4] = ["[b, h, t, d]", "[b, g, s, d]", "[b, g, s, e]", "[b, h, t, e]"];
    const FIRST: usize = 0;

    fn lift<S: RawData>(x: ArrayBase<S, Self>) -> ArrayBase<S, Ix4> {
        x
    }

    fn lower<S: RawData>(x: ArrayBase<S, Ix4>) -> ArrayBase<S, Self> {
        x
    }

    fn lower_rows<S: RawData>(x: ArrayBase<S, Ix3>) -> ArrayBase<S, Self::Smaller> {
        x
    }
}

/// Views a `[t, h·d]` matrix as `[h, t, d]`, without copying.
///
/// # Errors
/// [`AttentionError::OutOfRange`] if `width` does not divide the number of columns, [`AttentionError::Layout`] if the matrix is not
/// in standard (row-major, contiguous) layout.
///
/// # Examples
/// ```
/// use collimate_attention::split_heads;
/// use ndarray::array;
/// let x = array![[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]; // two tokens, two heads of width 2
/// assert_eq!(split_heads(&x, 2)?.index_axis(ndarray::Axis(0), 1), array![[3.0, 4.0], [7.0, 8.0]]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn split_heads<F>(x: &ArrayRef2<F>, width: usize) -> Result<ArrayView3<'_, F>, AttentionError> {
    let (t, columns) = x.dim();
    check_columns(columns, width)?;
    let view = x.view().into_shape_with_order((t, columns / width, width));
    Ok(view.map_err(|_| not_standard())?.permuted_axes([1, 0, 2]))
}

/// Views a `[t, h·d]` matrix as `[h, t, d]` for writing, without copying.
///
/// # Errors
/// As [`split_heads`].
///
/// # Examples
/// ```
/// use collimate_attention::split_heads_mut;
/// use ndarray::array;
/// let mut x = array![[1.0, 2.0, 3.0, 4.0]]; // one token, two heads of width 2
/// split_heads_mut(&mut x, 2)?[[1, 0, 0]] = 7.0;
/// assert_eq!(x, array![[1.0, 2.0, 7.0, 4.0]]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn split_heads_mut<F>(
    x: &mut ArrayRef2<F>,
    width: usize,
) -> Result<ArrayViewMut3<'_, F>, AttentionError> {
    let (t, columns) = x.dim();
    check_columns(columns, width)?;
    let view = x.view_mut().into_shape_with_order((t, columns / width, width));
    Ok(view.map_err(|_| not_standard())?.permuted_axes([1, 0, 2]))
}

fn check_columns(columns: usize, width: usize) -> Result<(), AttentionError> {
    let divides = width > 0 && columns.is_multiple_of(width);
    Ok(ensure(divides, "the head width", "a divisor of the number of columns", width as f64)?)
}

fn not_standard() -> AttentionError {
    AttentionError::Layout { argument: "x" }
}
