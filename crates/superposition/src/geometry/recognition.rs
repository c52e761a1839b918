//! Recognition of polytopes, with every name that fits.
//!
//! A dimensionality does not identify an arrangement: 1/2 fits a digon, a square and every cross-polytope, and 3/8 fits a
//! cube and a square antiprism. Recognition therefore compares angles, factor by factor, and names every arrangement with
//! these angles.

use super::blocks::orthogonal_factors;
use super::directions::{RANK_TOLERANCE, cosines, feature_dimensionality, feature_norms};
use super::polytope::{
    cube, equal_edge_half_height, orthogonal_sum, orthoplex, regular_polygon, simplex, square_antiprism,
    tight_half_height,
};
use super::spectrum::Spectrum;
use crate::error::{SuperpositionError, require_finite};
use collimate_measure::ensure;
use ndarray::{Array2, ArrayRef2, Axis};
use std::fmt;

/// An ideal arrangement of unit vectors: one that is no product of smaller arrangements, or a product with its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Polytope {
    /// One feature in one dimension.
    Line,
    /// Two opposite directions in one dimension.
    Digon,
    /// A regular polygon with this number of corners (not 4, since a square is two digons).
    Polygon(usize),
    /// A regular simplex in this number of dimensions, at least 3: a tetrahedron and so on.
    Simplex(usize),
    /// The cube.
    Cube,
    /// The square antiprism that is a tight frame.
    TightAntiprism,
    /// The square antiprism with equal edges.
    EqualEdgeAntiprism,
    /// A square: two digons at right angles.
    Square,
    /// A cross-polytope in this number of dimensions, at least 3: one digon per dimension, at right angles.
    Orthoplex(usize),
    /// A bipyramid over a polygon with this number of corners: the polygon and a digon at right angles.
    Bipyramid(usize),
}

impl fmt::Display for Polytope {
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

impl Polytope {
    /// Returns the corners as columns.
    ///
    /// # Shapes
    /// Result: `[d, n]`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for a polygon with fewer than three corners or a simplex without dimension.
    pub fn columns(self) -> Result<Array2<f64>, SuperpositionError> {
        match self {
            Self::Line => Ok(Array2::ones((1, 1))),
            Self::Digon => simplex(1),
            Self::Polygon(k) => regular_polygon(k),
            Self::Simplex(d) => simplex(d),
            Self::Cube => Ok(cube()),
            Self::TightAntiprism => square_antiprism(tight_half_height()),
            Self::EqualEdgeAntiprism => square_antiprism(equal_edge_half_height()),
            Self::Square => orthoplex(2),
            Self::Orthoplex(d) => orthoplex(d),
            Self::Bipyramid(k) => Ok(orthogonal_sum(&regular_polygon(k)?, &simplex(1)?)),
        }
    }

    /// Lists the irreducible polytopes with this number of corners in this number of dimensions.
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

/// One factor of an arrangement, with the polytopes that fit it.
#[derive(Clone, Debug, PartialEq)]
pub struct PolytopeFactor {
    /// The features, in ascending order.
    pub features: Vec<usize>,
    /// The number of dimensions that the features span.
    pub dimensions: usize,
    /// The length of the longest column divided by the length of the shortest.
    pub length_ratio: f64,
    /// The polytopes whose cosines differ from those of the factor by at most the tolerance, with the largest difference.
    /// The closest polytope is the first.
    pub candidates: Vec<(Polytope, f64)>,
}

impl PolytopeFactor {
    /// Returns the polytope that fits, if exactly one does.
    pub fn shape(&self) -> Option<Polytope> {
        match self.candidates[..] {
            [(shape, _)] => Some(shape),
            _ => None,
        }
    }
}

/// The factors of an arrangement with the polytopes that fit them.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognisedPolytopes {
    /// The factors, in the order of their first features.
    pub factors: Vec<PolytopeFactor>,
    /// The features without a direction.
    pub absent: Vec<usize>,
}

impl RecognisedPolytopes {
    /// Lists the polytopes that several factors form together, with the indices of these factors.
    ///
    /// Two digons are a square and three are an octahedron. A polygon and a digon are a bipyramid. Each reading covers all
    /// factors that it can.
    pub fn merged_readings(&self) -> Vec<(Polytope, Vec<usize>)> {
        let of = |shape: Polytope| -> Vec<usize> {
            let fits = |f: &&usize| self.factors[**f].candidates.iter().any(|(s, _)| *s == shape);
            (0..self.factors.len()).collect::<Vec<_>>().iter().filter(fits).copied().collect()
        };
        let digons = of(Polytope::Digon);
        let mut readings = Vec::new();
        match digons.len() {
            0 | 1 => {}
            2 => readings.push((Polytope::Square, digons.clone())),
            d => readings.push((Polytope::Orthoplex(d), digons.clone())),
        }
        if let Some(&digon) = digons.first() {
            for (i, factor) in self.factors.iter().enumerate() {
                for (shape, _) in &factor.candidates {
                    if let Polytope::Polygon(k) = shape {
                        readings.push((Polytope::Bipyramid(*k), vec![i, digon]));
                    }
                }
            }
        }
        readings
    }

    /// Returns true if one factor fits several polytopes, or if several factors form a polytope together.
    pub fn is_ambiguous(&self) -> bool {
        self.factors.iter().any(|f| f.candidates.len() > 1) || !self.merged_readings().is_empty()
    }
}

/// Names the polytopes that the columns of `w` may form, by their cosines alone.
///
/// Columns of length at most `tolerance` times the longest count as absent. The other columns are split into orthogonal
/// factors, where a cosine up to `tolerance` counts as zero. Each factor is compared with every known polytope of its number
/// of corners and dimensions. A polytope with two corners whose cosine is within `tolerance` of 1 is never named: any dense
/// set of directions in the plane would fit a polygon with that number of corners.
///
/// # Shapes
/// `w`: `[m, n]`.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite, [`SuperpositionError::OutOfRange`] for a
/// tolerance outside `(0, 1/2]`.
///
/// # Examples
/// ```
/// use collimate_superposition::{Polytope, cube, recognise_polytopes, regular_polygon};
/// let square = recognise_polytopes(&regular_polygon(4)?, 1e-6)?;
/// // Two digons, which together are also a square: the angles do not distinguish them.
/// assert_eq!(square.factors.len(), 2);
/// assert_eq!(square.merged_readings(), [(Polytope::Square, vec![0, 1])]);
/// // A cube and a tight antiprism have equal dimensionalities, but different angles.
/// assert_eq!(recognise_polytopes(&cube(), 1e-6)?.factors[0].shape(), Some(Polytope::Cube));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn recognise_polytopes(
    w: &ArrayRef2<f64>,
    tolerance: f64,
) -> Result<RecognisedPolytopes, SuperpositionError> {
    ensure(tolerance > 0.0 && tolerance <= 0.5, "tolerance", "above 0 and at most 1/2", tolerance)?;
    require_finite("w", w.iter())?;
    let norms = feature_norms(w);
    let longest = norms.iter().copied().fold(0.0, f64::max);
    let (present, absent): (Vec<usize>, Vec<usize>) =
        (0..w.ncols()).partition(|&i| norms[i] > tolerance * longest);
    let kept = w.select(Axis(1), &present);
    let mut factors = Vec::new();
    for factor in orthogonal_factors(&kept, tolerance)? {
        let features: Vec<usize> = factor.iter().map(|&i| present[i]).collect();
        let columns = w.select(Axis(1), &features);
        let lengths: Vec<f64> = features.iter().map(|&i| norms[i]).collect();
        let length_ratio = lengths.iter().copied().fold(0.0, f64::max)
            / lengths.iter().copied().fold(f64::INFINITY, f64::min);
        let dimensions = spanned(&columns, tolerance);
        let own = sorted_cosines(&columns);
        let mut candidates = Vec::new();
        for shape in Polytope::with(features.len(), dimensions) {
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
        factors.push(PolytopeFactor { features, dimensions, length_ratio, candidates });
    }
    Ok(RecognisedPolytopes { factors, absent })
}

/// Returns the number of dimensions that the columns, scaled to unit length, span up to a tolerance on the singular values.
fn spanned(columns: &Array2<f64>, tolerance: f64) -> usize {
    let norms = feature_norms(columns);
    let unit = Array2::from_shape_fn(columns.raw_dim(), |(k, i)| columns[[k, i]] / norms[i]);
    Spectrum::of(&unit.t()).rank(tolerance.max(RANK_TOLERANCE))
}

fn sorted_cosines(columns: &Array2<f64>) -> Vec<f64> {
    let all = cosines(columns);
    let mut list: Vec<f64> = all.indexed_iter().filter(|((i, j), _)| i < j).map(|(_, c)| *c).collect();
    list.sort_by(f64::total_cmp);
    list
}

/// Lists the known polytopes whose corners have this dimensionality, up to a tolerance.
///
/// It tries polygons up to 12 corners, simplices and cross-polytopes up to 8 dimensions, the cube and both antiprisms.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for a share outside `(0, 1]` or a negative tolerance.
///
/// # Examples
/// ```
/// use collimate_superposition::{Polytope, polytopes_with_share};
/// assert_eq!(polytopes_with_share(0.375, 1e-3)?, [Polytope::Cube, Polytope::TightAntiprism]);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn polytopes_with_share(share: f64, tolerance: f64) -> Result<Vec<Polytope>, SuperpositionError> {
    ensure(share > 0.0 && share <= 1.0, "share", "above 0 and at most 1", share)?;
    ensure(tolerance >= 0.0, "tolerance", "at least 0", tolerance)?;
    let mut all = vec![Polytope::Line, Polytope::Digon];
    all.extend((3..=12).filter(|&k| k != 4).map(Polytope::Polygon));
    all.extend((3..=8).map(Polytope::Simplex));
    all.extend([Polytope::Cube, Polytope::TightAntiprism, Polytope::EqualEdgeAntiprism, Polytope::Square]);
    all.extend((3..=8).map(Polytope::Orthoplex));
    let mut fitting = Vec::new();
    for shape in all {
        let shares = feature_dimensionality(&shape.columns()?)?;
        if (shares[0] - share).abs() <= tolerance {
            fitting.push(shape);
        }
    }
    Ok(fitting)
}
