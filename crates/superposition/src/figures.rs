//! Figures of toy models, as SVG.

use crate::error::SuperpositionError;
use crate::exact::{PhaseDiagram, PhaseRegion};
use crate::geometry::{dimensions_per_feature, feature_dimensionality};
use crate::models::ToyModel;
use collimate_figures::{Chart, HeatMap, RegionMap, Series};
use ndarray::{ArrayRef2, s};

#[doc(no_inline)]
pub use collimate_figures::Figure;

/// Draws `WᵀW` as a grid of colours.
///
/// # Shapes
/// `w`: `[m, n]`.
///
/// # Examples
/// ```
/// use collimate_superposition::{figures, regular_polygon};
/// let figure = figures::gram(&regular_polygon(5)?);
/// assert!(figure.svg.starts_with("<svg") && figure.svg.matches("<rect").count() >= 25);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn gram(w: &ArrayRef2<f64>) -> Figure {
    HeatMap::new(
        "Weight of each feature in each output",
        "The matrix of inner products of all directions: represented features on the diagonal, interference beside it.",
        w.t().dot(w),
    )
    .axes("feature", "output")
    .figure()
}

/// Returns spokes from the origin to the first two coordinates of each column, with a gap after each. Without gaps a dashed line would
/// be drawn twice and look solid.
fn spokes(w: &ArrayRef2<f64>) -> Vec<(f64, f64)> {
    let second = |v: &ndarray::ArrayView1<f64>| if v.len() > 1 { v[1] } else { 0.0 };
    w.columns().into_iter().flat_map(|v| [(0.0, 0.0), (v[0], second(&v)), (f64::NAN, f64::NAN)]).collect()
}

/// Draws a line at each level with its name above it. Levels that are too close for separate names share one name.
///
/// `height` maps a number to its position on the axis, and `shown` are the numbers of the curves.
pub(crate) fn with_levels(
    mut chart: Chart,
    named: &[(f64, &str)],
    height: fn(f64) -> f64,
    shown: impl Iterator<Item = f64>,
) -> Chart {
    let mut levels = named.to_vec();
    levels.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (low, high) = shown
        .chain(levels.iter().map(|level| level.0))
        .map(height)
        .filter(|at| at.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
    // A line of text needs about a fourteenth of the axis.
    let room = (high - low) / 14.0;
    let mut groups: Vec<Vec<(f64, &str)>> = Vec::new();
    for level in levels {
        match groups.last_mut() {
            Some(group) if height(group[group.len() - 1].0) - height(level.0) < room => group.push(level),
            _ => groups.push(vec![level]),
        }
    }
    for group in groups {
        let mut name = match group[..] {
            [(_, one)] => one.to_owned(),
            [(_, one), (_, other)] => format!("{one}; below it {other}"),
            _ => format!("from {} down to {}", group[0].1, group[group.len() - 1].1),
        };
        for (loss, _) in group {
            chart = chart.reference(loss, std::mem::take(&mut name));
        }
    }
    chart
}

/// Draws the features of a model with two dimensions as the spokes of a star.
///
/// # Shapes
/// `w`: `[m, n]`. Only the first two dimensions are drawn.
pub fn star(w: &ArrayRef2<f64>) -> Figure {
    let features = w.ncols();
    Chart::new(
        format!("{features} features in two dimensions"),
        "Each spoke is the direction of one feature; its length is how far the feature is represented.",
    )
    .axes("first hidden dimension", "second hidden dimension")
    .with(Series::line("", spokes(w)))
    .equal_units()
    .figure()
}

/// Draws a star at several steps of a run, side by side at a distance of `3` in the first dimension.
///
/// # Shapes
/// Each moment is a step and a matrix `[m, n]`.
pub fn star_over_training(moments: &[(u64, ndarray::Array2<f64>)]) -> Figure {
    let mut chart = Chart::new(
        "A star over training",
        "The directions of all features at several steps, from left to right; each star is moved by three to the right of \
         the one before.",
    )
    // The axis is short: a longer name would not fit beside it.
    .axes("first hidden dimension, moved", "second dimension")
    .equal_units();
    for (place, (step, w)) in moments.iter().enumerate() {
        let moved = spokes(w).into_iter().map(|(x, y)| (x + 3.0 * place as f64, y));
        chart = chart.with(Series::line(format!("step {step}"), moved));
    }
    chart.figure()
}

/// Draws the dimensionality of each feature of several models, with the dimensions per feature. Each model comes with its density.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] if a weight is NaN or infinite.
pub fn dimensionality_strip(models: &[(f64, ToyModel)]) -> Result<Figure, SuperpositionError> {
    let (mut shares, mut means) = (Vec::new(), Vec::new());
    for (density, model) in models {
        let x = 1.0 / density;
        shares.extend(feature_dimensionality(&model.w)?.iter().map(|&d| (x, d)));
        means.push((x, dimensions_per_feature(&model.w)?));
    }
    let mut chart = Chart::new(
        "Shares of dimension over sparsity",
        "Each point is a feature of a trained model; the line is the number of dimensions per represented feature, D*.",
    )
    .axes("one over the on-probability", "dimensions")
    .log_x()
    .with(Series::points("features", shares))
    .with(Series::line("D*", means));
    for (share, name) in [
        (0.75, "tetrahedron"),
        (2.0 / 3.0, "triangle"),
        (0.5, "digon"),
        (0.4, "pentagon; below it 3/8"),
        (0.375, ""),
    ] {
        chart = chart.reference(share, name);
    }
    Ok(chart.figure())
}

/// Draws the boundaries of several phase diagrams in one picture.
pub fn phase_boundaries(diagrams: &[(&str, &PhaseDiagram)]) -> Figure {
    let mut chart = Chart::new(
        "Where two features share one dimension",
        "The largest density at which the features share the dimension, over the importance of the second. The canonical line \
         compares natural candidates; the optimum is over all weights and biases.",
    )
    .axes("importance of the second feature", "density")
    .log_x();
    for (name, diagram) in diagrams {
        chart = chart.with(Series::line(*name, diagram.boundary()));
    }
    chart.figure()
}

/// Draws a phase diagram as a grid of colours: orange where the features share the dimension.
pub fn phase_map(name: &str, diagram: &PhaseDiagram) -> Figure {
    let upside_down = diagram.sharing.slice(s![..;-1, ..]).to_owned();
    HeatMap::new(
        format!("How far two features share a dimension, {name}"),
        "1: two opposite features of equal length; 0: one feature alone; negative: two features of the same sign.",
        upside_down,
    )
    .axes("importance of the second feature", "density")
    .at(&diagram.importances, &diagram.densities)
    .figure()
}

/// Draws several phase diagrams side by side, each cell in the colour of its [`PhaseRegion`].
///
/// # Panics
/// Panics if the diagrams have different importances or densities.
///
/// # Examples
/// ```
/// use collimate_superposition::figures::phase_regions;
/// use collimate_superposition::canonical_diagram;
/// let diagram = canonical_diagram(&[0.5, 2.0], &[0.1, 0.9])?;
/// let figure = phase_regions(&[("canonical", &diagram)]);
/// assert!(figure.svg.contains("superposition, antipodal") && figure.svg.contains("dedicated dimension"));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn phase_regions(diagrams: &[(&str, &PhaseDiagram)]) -> Figure {
    let mut map = RegionMap::new(
        "Representation of the second of two features",
        "Canonical: the best of a few natural candidates. Optimum: over all weights and biases. Trained: the best of a few models.",
        &PhaseRegion::ALL.map(PhaseRegion::name),
    );
    if let Some((_, first)) = diagrams.first() {
        map = map
            .columns("importance of the second feature", &first.importances)
            .rows("density", &first.densities);
        for (name, diagram) in diagrams {
            let axes = |d: &PhaseDiagram| (d.importances.clone(), d.densities.clone());
            assert_eq!(axes(diagram), axes(first), "diagrams in one picture share their axes");
            map = map.panel(*name, diagram.region.mapv(|region| region as usize));
        }
    }
    map.figure()
}

/// Draws the features and the training points of a model that was trained on a finite data set, as two stars.
///
/// # Shapes
/// `w`: `[2, n]`; `points`: `[points, n]`.
pub fn memorisation(w: &ArrayRef2<f64>, points: &ArrayRef2<f64>) -> Figure {
    Chart::new(
        "Features and training points in two dimensions",
        "Directions of the features and hidden vectors of the training points. With few points it is the points that form a \
         polygon.",
    )
    .axes("first hidden dimension", "second hidden dimension")
    .with(Series::line("features", spokes(w)))
    .with(Series::line("training points", spokes(&w.dot(&points.t()))))
    .equal_units()
    .figure()
}

/// Draws the sorted losses at the end of many runs: a staircase whose steps are kinds of solutions.
pub fn loss_staircase(losses: &[f64], named: &[(f64, &str)]) -> Figure {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    let share = |i: usize| (i + 1) as f64 / sorted.len() as f64;
    let chart = Chart::new(
        "Where runs end",
        "The loss at the end of each run, sorted. Each step is a kind of solution.",
    )
    .axes("share of runs", "loss")
    .with(Series::line("", sorted.iter().enumerate().map(|(i, &loss)| (share(i), loss))));
    with_levels(chart, named, |loss| loss, sorted.iter().copied()).figure()
}

/// The highest loss in the picture of a staircase. The loss of a model whose outputs are 0 is 1/3.
pub const TOP_STEP: f64 = 0.34;

/// The lowest loss in the picture of a staircase, below every level except 0. Only models with four features or fewer have a level at 0.
pub const BOTTOM_STEP: f64 = 0.01;

/// Draws the loss over training of several runs, with the levels of the staircase.
///
/// Steps are counted from 1, for a logarithmic axis. Losses above [`TOP_STEP`] are left out, because the start would compress the
/// levels. Losses below [`BOTTOM_STEP`] are left out too.
pub fn staircase(runs: &[Vec<(u64, f64)>], named: &[(f64, String)]) -> Figure {
    let mut chart = Chart::new(
        "A staircase of polygons",
        "The loss of each run over its steps; it stays near levels, each of them a regular polygon of features. A run that leaves the \
         picture at the bottom goes to 0.",
    )
    .axes("step", "loss")
    .log_x()
    .log_y();
    let inside = |loss: f64| (BOTTOM_STEP..=TOP_STEP).contains(&loss);
    let low = |(_, loss): &&(u64, f64)| inside(*loss);
    for run in runs {
        chart = chart.with(
            Series::line("", run.iter().filter(low).map(|&(step, loss)| (step as f64 + 1.0, loss))).plain(),
        );
    }
    let named: Vec<(f64, &str)> =
        named.iter().filter(|level| inside(level.0)).map(|(loss, name)| (*loss, name.as_str())).collect();
    let shown = runs.iter().flatten().filter(low).map(|&(_, loss)| loss);
    with_levels(chart, &named, f64::ln, shown).figure()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::regular_polygon;

    #[test]
    fn each_spoke_is_drawn_once() {
        let star = star(&regular_polygon(5).unwrap()).svg;
        assert_eq!((star.matches("<path").count(), star.matches("NaN").count()), (5, 0));
    }

    #[test]
    fn close_levels_share_a_name() {
        let losses: Vec<f64> = (0..50).map(|i| 0.05 + 0.001 * f64::from(i)).collect();
        let named = [(0.05, "hexagon"), (0.098, "square +1"), (0.099, "square"), (0.097, "square +2")];
        let svg = loss_staircase(&losses, &named).svg;
        assert!(svg.contains(">from square down to square +2<") && svg.contains(">hexagon<"), "{svg}");
        // Each level still has its own line.
        assert_eq!(svg.matches("stroke-opacity=\"0.8\"").count(), 4);
        let apart = loss_staircase(&losses, &[(0.06, "one"), (0.09, "other")]).svg;
        assert!(apart.contains(">one<") && apart.contains(">other<"));
        // On a logarithmic axis the same gap is wider at the bottom.
        let run: Vec<(u64, f64)> = (0..50).map(|i| (i, 0.3 * 0.9_f64.powi(i as i32))).collect();
        let named =
            [(0.3, "a"), (0.28, "b"), (0.04, "c"), (0.02, "d")].map(|(loss, name)| (loss, name.to_owned()));
        let log = staircase(&[run], &named).svg;
        assert!(log.contains(">a; below it b<") && log.contains(">c<") && log.contains(">d<"), "{log}");
    }

    #[test]
    fn a_loss_that_goes_to_zero_does_not_stretch_the_picture() {
        let run: Vec<(u64, f64)> = (0..400).map(|i| (i, 0.3 * 0.8_f64.powi(i as i32))).collect();
        let named = [(1.0 / 12.0, "triangle".to_owned()), (0.0, "square".to_owned())];
        let svg = staircase(&[run], &named).svg;
        assert!(svg.contains(">triangle<") && svg.contains(">0.1<") && !svg.contains("1e-"), "{svg}");
        // A level that a logarithmic axis cannot show does not join the others.
        let chart = Chart::new("", "").log_y().with(Series::line("", [(0.0, 0.1), (1.0, 1.0)]));
        let levels =
            with_levels(chart, &[(0.8, "a"), (0.2, "b"), (0.0, "c")], f64::ln, [0.1, 1.0].into_iter());
        let svg = levels.figure().svg;
        assert!(svg.contains(">a<") && svg.contains(">b<") && !svg.contains(">c<"), "{svg}");
    }
}
