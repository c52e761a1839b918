use crate::error::StudyError;
use collimate_sae::SaeError;
use collimate_stream::RngStream;
use collimate_superposition::{Source, World, WorldConfig};
use ndarray::{Array2, ArrayRef2, Axis};

/// The number of rows that are made at once.
const BLOCK: usize = 4096;

/// Activations that are sums of known features along known directions.
///
/// ```text
/// x = Σ_i a_i u_i        a drawn from a source of features, u_i unit rows
/// ```
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_studies::synthetic::SyntheticRows;
/// use collimate_superposition::SparseFeatures;
/// let features = SparseFeatures::uniform(3, 0.5)?;
/// let synthetic = SyntheticRows::of(&features, SyntheticRows::orthogonal(3, 3), 10, 20, &RngStream::new(1, 0))?;
/// // With orthogonal directions the activations are the features.
/// assert_eq!(synthetic.held_out.mapv(f64::from), synthetic.truth.mapv(|a| f64::from(a as f32)));
/// # Ok::<(), collimate_studies::StudyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticRows {
    /// The direction of each feature `[n, d]`, usually a unit row.
    pub directions: Array2<f64>,
    /// The activations to train on, `[b, d]`.
    pub rows: Array2<f32>,
    /// Other activations `[b, d]`, to measure on.
    pub held_out: Array2<f32>,
    /// The features of the held-out rows, `[b, n]`.
    pub truth: Array2<f64>,
}

impl SyntheticRows {
    /// Draws features from a source and places them along these directions.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] unless there is one direction for each feature.
    ///
    /// # Determinism
    /// Training rows are drawn from `stream.child(0)`, held-out rows from `stream.child(1)`.
    pub fn of(
        source: &dyn Source,
        directions: Array2<f64>,
        rows: usize,
        held_out: usize,
        stream: &RngStream,
    ) -> Result<Self, StudyError> {
        if directions.nrows() != source.features() {
            let [expected, given] = [source.features(), directions.nrows()].map(|n| vec![n]);
            return Err(SaeError::Mismatch { argument: "directions", expected, given }.into());
        }
        let embed = |a: &Array2<f64>| a.dot(&directions).mapv(|x| x as f32);
        // Block by block: the features of all rows at once may take more memory than the rows.
        let (mut train, mut draw) = (Array2::zeros((rows, directions.ncols())), stream.child(0));
        for mut block in train.axis_chunks_iter_mut(Axis(0), BLOCK) {
            let features = source.rows(block.nrows(), &mut draw);
            block.assign(&embed(&features));
        }
        let truth = source.rows(held_out, &mut stream.child(1));
        Ok(Self { rows: train, held_out: embed(&truth), truth, directions })
    }

    /// Draws rows from a [`World`], which has directions of its own.
    ///
    /// # Errors
    /// [`StudyError::Features`] for a configuration out of range.
    ///
    /// # Determinism
    /// The world is drawn from `stream.child(2)`, the rows as in [`SyntheticRows::of`].
    pub fn of_world(
        config: WorldConfig,
        rows: usize,
        held_out: usize,
        stream: &RngStream,
    ) -> Result<Self, StudyError> {
        let world = World::new(config, &stream.child(2))?;
        let train = world.batch(0..rows as u64, &stream.child(0));
        let other = world.batch(0..held_out as u64, &stream.child(1));
        Ok(Self {
            directions: world.directions().mapv(f64::from),
            rows: train.activations,
            held_out: other.activations,
            truth: other.active.to_dense().mapv(f64::from),
        })
    }

    /// Returns `features` axes of a space of `width ≥ features` dimensions, as rows.
    pub fn orthogonal(features: usize, width: usize) -> Array2<f64> {
        Array2::from_shape_fn((features, width), |(i, k)| f64::from(u8::from(i == k)))
    }

    /// Draws random unit directions.
    pub fn random(features: usize, width: usize, stream: &mut RngStream) -> Array2<f64> {
        let mut directions = Array2::from_shape_simple_fn((features, width), || stream.normal());
        for mut row in directions.rows_mut() {
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
        directions
    }

    /// Returns the indices of the held-out rows whose features fulfil `condition`.
    pub fn rows_where(&self, condition: impl Fn(&ArrayRef2<f64>, usize) -> bool) -> Vec<usize> {
        (0..self.truth.nrows()).filter(|&row| condition(&self.truth, row)).collect()
    }
}
