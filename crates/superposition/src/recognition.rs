//! Which polytope is this? With every answer that fits, not the first one.
//!
//! A share of dimension of 1/2 is a digon, a corner of a square or of any cross-polytope; 3/8 is a cube or a square
//! antiprism. Recognition goes by angles, factor by factor, and names all readings that the angles allow.

use crate::error::{SuperpositionError, require, require_finite};
use crate::geometry::{cosines, feature_norms, rank};
use crate::large::orthogonal_factors;
use crate::polytope;
use ndarray::{Array2, ArrayRef2, Axis};
use std::fmt;

/// An ideal arrangement of unit vectors that is no product of smaller ones, or a product with a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A feature with a dimension to itself.
    Line,
    /// Two opposite directions in one dimension.
    Digon,
    /// A regular polygon with this many corners (not 4: that is two digons).
    Polygon(usize),
    /// A regular simplex in this many dimensions, from 3 on: a tetrahedron and so on.
    Simplex(usize),
    /// The cube.
    Cube,
    /// The square antiprism that is a tight frame.
    TightAntiprism,
    /// The square antiprism with equal edges.
    EqualEdgeAntiprism,
    /// A square: two digons at right angles.
    Square,
    /// A cross-polytope in this many dimensions, from 3 on: so many digons at right angles.
    Orthoplex(usize),
    /// A bipyramid over a polygon: the polygon and a digon at right angles.
    Bipyramid(usize),
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => write!(f, "line"),
            Self::Digon => write!(f, "digon"),
            Self::Polygon(3) => write!(f, "triangle"),
            Self::Polygon(5) => write!(f, "pentagon"),
            Self::Polygon(6) => write!(f, "hexagon"),
            Self::Polygon(k) => write!(f, "{k}-gon"),
            Self::Simplex(3) => write!(f, "tetrahedron"),
            Self::Simplex(d) => write!(f, "simplex in {d} dimensions"),
            Self::Cube => write!(f, "cube"),
            Self::TightAntiprism => write!(f, "tight square antiprism"),
            Self::EqualEdgeAntiprism => write!(f, "square antiprism with equal edges"),
            Self::Square => write!(f, "square"),
            Self::Orthoplex(3) => write!(f, "octahedron"),
            Self::Orthoplex(d) => write!(f, "cross-polytope in {d} dimensions"),
            Self::Bipyramid(k) => write!(f, "bipyramid over {}", Self::Polygon(*k)),
        }
    }
}

impl Shape {
    /// The arrangement, one column a corner.
    ///
    /// # Shapes
    /// d × n.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for a polygon with fewer than three corners or a simplex without dimension.
    pub fn columns(self) -> Result<Array2<f64>, SuperpositionError> {
        match self {
            Self::Line => Ok(Array2::ones((1, 1))),
            Self::Digon => polytope::simplex(1),
            Self::Polygon(k) => polytope::regular_polygon(k),
            Self::Simplex(d) => polytope::simplex(d),
            Self::Cube => Ok(polytope::cube()),
            Self::TightAntiprism => polytope::square_antiprism(polytope::tight_half_height()),
            Self::EqualEdgeAntiprism => polytope::square_antiprism(polytope::equal_edge_half_height()),
            Self::Square => polytope::orthoplex(2),
            Self::Orthoplex(d) => polytope::orthoplex(d),
            Self::Bipyramid(k) => {
                Ok(polytope::orthogonal_sum(&polytope::regular_polygon(k)?, &polytope::simplex(1)?))
            }
        }
    }

    /// The irreducible shapes with this many corners in this many dimensions.
    fn with(corners: usize, dimensions: usize) -> Vec<Self> {
        let mut shapes = Vec::new();
        match (corners, dimensions) {
            (1, 1) => shapes.push(Self::Line),
            (2, 1) => shapes.push(Self::Digon),
            (k, 2) if k >= 3 && k != 4 => shapes.push(Self::Polygon(k)),
            (8, 3) => shapes.extend([Self::Cube, Self::TightAntiprism, Self::EqualEdgeAntiprism]),
            (k, d) if d >= 3 && k == d + 1 => shapes.push(Self::Simplex(d)),
            _ => {}
        }
        shapes
    }
}

/// One factor of an arrangement and what it may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// The features, in ascending order.
    pub features: Vec<usize>,
    /// The dimensions they span.
    pub dimensions: usize,
    /// The longest column over the shortest.
    pub length_ratio: f64,
    /// The shapes whose cosines differ from these by at most the tolerance, the closest first, with that difference.
    pub candidates: Vec<(Shape, f64)>,
}

impl Factor {
    /// The only shape that fits, if exactly one does.
    pub fn shape(&self) -> Option<Shape> {
        match self.candidates[..] {
            [(shape, _)] => Some(shape),
            _ => None,
        }
    }
}

/// What an arrangement may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognition {
    /// The factors, in the order of their first features.
    pub factors: Vec<Factor>,
    /// Features without a direction.
    pub absent: Vec<usize>,
}

impl Recognition {
    /// Names that hold for several factors together: the same vectors, read as one polytope.
    ///
    /// Two digons are a square, three an octahedron; a polygon and a digon are a bipyramid. Each reading covers as many
    /// factors as it can and says which.
    pub fn merged_readings(&self) -> Vec<(Shape, Vec<usize>)> {
        let of = |shape: Shape| -> Vec<usize> {
            let fits = |f: &&usize| self.factors[**f].candidates.iter().any(|(s, _)| *s == shape);
            (0..self.factors.len()).collect::<Vec<_>>().iter().filter(fits).copied().collect()
        };
        let digons = of(Shape::Digon);
        let mut readings = Vec::new();
        match digons.len() {
            0 | 1 => {}
            2 => readings.push((Shape::Square, digons.clone())),
            d => readings.push((Shape::Orthoplex(d), digons.clone())),
        }
        if let Some(&digon) = digons.first() {
            for (i, factor) in self.factors.iter().enumerate() {
                for (shape, _) in &factor.candidates {
                    if let Shape::Polygon(k) = shape {
                        readings.push((Shape::Bipyramid(*k), vec![i, digon]));
                    }
                }
            }
        }
        readings
    }

    /// Whether one factor fits several shapes, or several factors have a name together.
    pub fn is_ambiguous(&self) -> bool {
        self.factors.iter().any(|f| f.candidates.len() > 1) || !self.merged_readings().is_empty()
    }
}

/// Names the polytopes that the columns of `w` may form, going by their cosines alone.
///
/// Columns shorter than `tolerance` times the longest count as absent. The columns are split into orthogonal factors,
/// where a cosine up to `tolerance` counts as zero; each factor is compared with every known shape of its number of
/// corners and dimensions. A shape with corners so close that their cosine is within `tolerance` of 1 is not named: any
/// crowd of directions would pass for a polygon of so many corners.
///
/// # Shapes
/// `w`: m × n.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite, [`SuperpositionError::OutOfRange`] for a
/// tolerance outside `(0, 1/2]`.
///
/// # Examples
/// ```
/// use collimate_superposition::{polytope, recognition::{Shape, recognise}};
/// let square = recognise(&polytope::regular_polygon(4)?, 1e-6)?;
/// // Two digons, which together are also a square: the angles cannot tell.
/// assert_eq!(square.factors.len(), 2);
/// assert_eq!(square.merged_readings(), [(Shape::Square, vec![0, 1])]);
/// // A cube and a tight antiprism have the same shares of dimension, but not the same angles.
/// assert_eq!(recognise(&polytope::cube(), 1e-6)?.factors[0].shape(), Some(Shape::Cube));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn recognise(w: &ArrayRef2<f64>, tolerance: f64) -> Result<Recognition, SuperpositionError> {
    require(tolerance > 0.0 && tolerance <= 0.5, "tolerance", tolerance, "above 0 and at most 1/2")?;
    require_finite("w", w.iter())?;
    let norms = feature_norms(w);
    let longest = norms.iter().copied().fold(0.0, f64::max);
    let (present, absent): (Vec<usize>, Vec<usize>) =
        (0..w.ncols()).partition(|&i| norms[i] > tolerance * longest);
    let kept = w.select(Axis(1), &present);
    let mut factors = Vec::new();
    for factor in orthogonal_factors(&kept.t(), tolerance)? {
        let features: Vec<usize> = factor.iter().map(|&i| present[i]).collect();
        let columns = w.select(Axis(1), &features);
        let lengths: Vec<f64> = features.iter().map(|&i| norms[i]).collect();
        let length_ratio = lengths.iter().copied().fold(0.0, f64::max)
            / lengths.iter().copied().fold(f64::INFINITY, f64::min);
        let dimensions = spanned(&columns, tolerance)?;
        let own = sorted_cosines(&columns);
        let mut candidates = Vec::new();
        for shape in Shape::with(features.len(), dimensions) {
            let ideal = sorted_cosines(&shape.columns()?);
            if ideal.last().is_some_and(|nearest| 1.0 - nearest <= tolerance) {
                continue;
            }
            let off = own.iter().zip(&ideal).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if off <= tolerance {
                candidates.push((shape, off));
            }
        }
        candidates.sort_by(|a, b| a.1.total_cmp(&b.1));
        factors.push(Factor { features, dimensions, length_ratio, candidates });
    }
    Ok(Recognition { factors, absent })
}

/// The dimensions that unit columns span, up to a tolerance on the singular values.
fn spanned(columns: &Array2<f64>, tolerance: f64) -> Result<usize, SuperpositionError> {
    let exact = rank(columns)?;
    let norms = feature_norms(columns);
    let unit = Array2::from_shape_fn(columns.raw_dim(), |(k, i)| columns[[k, i]] / norms[i]);
    let singular = crate::Spectrum::of(&unit.t()).singular_values;
    let largest = singular.iter().copied().fold(0.0, f64::max);
    Ok(singular.iter().filter(|&&s| s > tolerance * largest).count().min(exact))
}

fn sorted_cosines(columns: &Array2<f64>) -> Vec<f64> {
    let all = cosines(columns);
    let mut list: Vec<f64> = all.indexed_iter().filter(|((i, j), _)| i < j).map(|(_, c)| *c).collect();
    list.sort_by(f64::total_cmp);
    list
}

/// The known shapes whose corners have this share of dimension, up to a tolerance: what the share alone allows.
///
/// Polygons up to 12 corners, simplices and cross-polytopes up to 8 dimensions, the cube and both antiprisms.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for a share outside `(0, 1]` or a tolerance that is negative.
///
/// # Examples
/// ```
/// use collimate_superposition::recognition::{Shape, shapes_with_share};
/// assert_eq!(shapes_with_share(0.375, 1e-3)?, [Shape::Cube, Shape::TightAntiprism]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn shapes_with_share(share: f64, tolerance: f64) -> Result<Vec<Shape>, SuperpositionError> {
    require(share > 0.0 && share <= 1.0, "share", share, "above 0 and at most 1")?;
    require(tolerance >= 0.0, "tolerance", tolerance, "at least 0")?;
    let mut all = vec![Shape::Line, Shape::Digon];
    all.extend((3..=12).filter(|&k| k != 4).map(Shape::Polygon));
    all.extend((3..=8).map(Shape::Simplex));
    all.extend([Shape::Cube, Shape::TightAntiprism, Shape::EqualEdgeAntiprism, Shape::Square]);
    all.extend((3..=8).map(Shape::Orthoplex));
    let mut fitting = Vec::new();
    for shape in all {
        let shares = crate::geometry::feature_dimensionality(&shape.columns()?)?;
        if (shares[0] - share).abs() <= tolerance {
            fitting.push(shape);
        }
    }
    Ok(fitting)
}
