use crate::error::StudyError;
use crate::leave_out::RowRule;
use crate::rows::{flat, put_back};
use collimate_measure::ensure;
use collimate_sae::{Dictionary, SaeError, Target};
use collimate_tensor::{SparseRows, axpy};
use collimate_transformer::{HookPoint, Hooks};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMutD, Axis};

/// The treatment of the part of an activation that the dictionary does not reconstruct.
///
/// ```text
/// Dropped:  x ← x̂(f')                        Kept:  x ← x̂(f') + (x − x̂(f))
/// ```
/// With the error kept and no change of the codes, the model computes what it computes without the dictionary. The effect of a
/// change is then the effect of that change alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorTerm {
    /// The error is added to the reconstruction.
    Kept,
    /// The reconstruction replaces the activation.
    Dropped,
}

/// A change of the codes before they are decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// The latent is set to zero.
    Ablate(u32),
    /// The latent is set to a value, whether it was active or not.
    Set(u32, f32),
    /// The value is added to the latent, whether it was active or not: a step along its decoder row, times the scale of the
    /// row for a dictionary that normalises its rows.
    Add(u32, f32),
}

impl Change {
    fn latent(self) -> u32 {
        match self {
            Self::Ablate(latent) | Self::Set(latent, _) | Self::Add(latent, _) => latent,
        }
    }

    /// Returns the difference that the change makes to a code.
    fn difference(self, code: f32) -> f32 {
        match self {
            Self::Ablate(_) => -code,
            Self::Set(_, value) => value - code,
            Self::Add(_, value) => value,
        }
    }
}

/// A replacement of the activation at one point of a model, as the hooks of a run: by given rows, by one row, or by a dictionary.
///
/// The activations of several heads are replaced as rows of heads × width. Position 0 stays as it is: its residual is a hundred
/// times as long as the others, and no dictionary is trained on it.
///
/// # Examples
/// ```
/// use collimate_sae::{Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// use collimate_studies::splicing::{Change, ErrorTerm, Splice};
/// use collimate_transformer::{Description, Model, Run, Site};
/// let mut stream = RngStream::new(1, 0);
/// let decoder = Model::<f32>::random(Description::small(), &stream);
/// let size = Size { d_model: decoder.description().width, n_latents: 64 };
/// let dictionary = Sae::<f32>::new(TopK::new(4), size, &mut stream)?.into_dictionary();
/// let tokens = [7, 3, 9, 3];
/// let clean = decoder.logits(&Run::of(&tokens), &mut ())?;
/// let mut hooks = Splice::dictionary(Site::ResidualPost.of_layer(0), &dictionary, ErrorTerm::Kept)?;
/// let same = decoder.logits(&Run::of(&tokens), &mut hooks)?;
/// assert!((&clean - &same).iter().all(|v| v.abs() < 1e-3)); // the error term restores the activation
/// let mut steered = hooks.with(Change::Add(5, 8.0))?;
/// let other = decoder.logits(&Run::of(&tokens), &mut steered)?;
/// assert!((&clean - &other).iter().any(|v| v.abs() > 0.1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Splice<'a> {
    point: HookPoint,
    replacement: Replacement<'a>,
    changes: Vec<Change>,
    codes: Option<SparseRows<f32>>,
    failed: Option<StudyError>,
    left_out: Option<(&'a RowRule, &'a [u32])>,
}

enum Replacement<'a> {
    Rows(ArrayView2<'a, f32>),
    Constant(ArrayView1<'a, f32>),
    Dictionary(&'a Dictionary<f32>, ErrorTerm),
}

impl<'a> Splice<'a> {
    fn new(point: HookPoint, replacement: Replacement<'a>) -> Self {
        Self { point, replacement, changes: Vec::new(), codes: None, failed: None, left_out: None }
    }

    /// Puts given rows `[t − 1, d]` at the positions from 1 on.
    pub fn rows(point: HookPoint, rows: ArrayView2<'a, f32>) -> Self {
        Self::new(point, Replacement::Rows(rows))
    }

    /// Puts one row `[d]` at every position from 1 on: zeros, or a mean activation, for an ablation.
    pub fn constant(point: HookPoint, row: ArrayView1<'a, f32>) -> Self {
        Self::new(point, Replacement::Constant(row))
    }

    /// Puts the reconstructions of a dictionary at the positions from 1 on.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] for a transcoder, which reads at one point and writes at another.
    pub fn dictionary(
        point: HookPoint,
        dictionary: &'a Dictionary<f32>,
        error: ErrorTerm,
    ) -> Result<Self, StudyError> {
        if dictionary.target() == Target::Other {
            let operation = "insertion at one point of a model";
            return Err(SaeError::Unsupported { operation, architecture: "transcoder" }.into());
        }
        Ok(Self::new(point, Replacement::Dictionary(dictionary, error)))
    }

    /// Returns this splice with one more change of the codes, made after the changes before it.
    ///
    /// # Errors
    /// [`StudyError::NoDictionary`] when the splice has no dictionary; [`StudyError::Dictionary`] for a latent that does not exist,
    /// or for a value that is not finite.
    pub fn with(mut self, change: Change) -> Result<Self, StudyError> {
        let Replacement::Dictionary(dictionary, _) = self.replacement else {
            return Err(StudyError::NoDictionary);
        };
        let n = dictionary.size().n_latents;
        let latent = change.latent();
        ensure((latent as usize) < n, "latent", "below the number of latents", f64::from(latent))
            .map_err(SaeError::from)?;
        if let Change::Set(_, value) | Change::Add(_, value) = change {
            ensure(value.is_finite(), "the value of a latent", "finite", f64::from(value))
                .map_err(SaeError::from)?;
        }
        self.changes.push(change);
        Ok(self)
    }

    /// Returns this splice for a run of these tokens in which the rows that a rule leaves out stay as they are, like position 0.
    #[must_use]
    pub fn leaving_out(mut self, rule: &'a RowRule, tokens: &'a [u32]) -> Self {
        self.left_out = Some((rule, tokens));
        self
    }

    /// Returns the error of the last run, if there was one. A hook cannot fail: it leaves the activation as it is, and the error
    /// is kept for this call.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] when the rows do not fit the point.
    pub fn check(&mut self) -> Result<(), StudyError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Takes the codes of the last run before any change, a row a position from position 1 on.
    ///
    /// # Errors
    /// As [`Splice::check`]; [`StudyError::NoDictionary`] when the splice has no dictionary; [`StudyError::NotReached`] when the run
    /// did not pass the point.
    pub fn codes(&mut self) -> Result<SparseRows<f32>, StudyError> {
        self.check()?;
        match self.replacement {
            Replacement::Dictionary(..) => {
                self.codes.take().ok_or(StudyError::NotReached { point: self.point })
            }
            Replacement::Rows(_) | Replacement::Constant(_) => Err(StudyError::NoDictionary),
        }
    }

    /// Computes the rows that replace `rows` `[t − 1, d]`.
    fn replaced(&mut self, rows: &Array2<f32>) -> Result<Array2<f32>, StudyError> {
        let fits = |argument, given: &[usize], expected: &[usize]| {
            let (expected, given) = (expected.to_vec(), given.to_vec());
            if expected == given {
                Ok(())
            } else {
                Err(StudyError::from(SaeError::Mismatch { argument, expected, given }))
            }
        };
        match self.replacement {
            Replacement::Rows(replacement) => {
                fits("rows", replacement.shape(), rows.shape())?;
                Ok(replacement.to_owned())
            }
            Replacement::Constant(row) => {
                fits("row", row.shape(), &rows.shape()[1..])?;
                Ok(row.broadcast(rows.dim()).expect("the widths agree").to_owned())
            }
            Replacement::Dictionary(dictionary, error) => self.decoded(dictionary, error, rows),
        }
    }

    fn decoded(
        &mut self,
        dictionary: &Dictionary<f32>,
        error: ErrorTerm,
        rows: &Array2<f32>,
    ) -> Result<Array2<f32>, StudyError> {
        let out = dictionary.forward(rows)?;
        let scales = dictionary.output_scales(rows)?;
        let mut decoded = match error {
            ErrorTerm::Kept => rows.clone(),
            ErrorTerm::Dropped => out.reconstruction,
        };
        let decoder = dictionary.decoder();
        for (i, ((latents, values), (scale, _))) in out.codes.rows().zip(scales).enumerate() {
            let row = decoded.row_mut(i);
            let row = row.into_slice().expect("rows of a fresh array");
            // The changed latents of this row with their codes so far.
            let mut held: Vec<(u32, f32)> = Vec::new();
            for change in &self.changes {
                let latent = change.latent();
                let at = held.iter().position(|&(held, _)| held == latent).unwrap_or_else(|| {
                    let code = latents.binary_search(&latent).map_or(0.0, |place| values[place]);
                    held.push((latent, code));
                    held.len() - 1
                });
                let difference = change.difference(held[at].1);
                held[at].1 += difference;
                let atom = decoder.row(latent as usize);
                axpy(difference * scale, atom.as_slice().expect("standard layout"), row);
            }
        }
        self.codes = Some(out.codes);
        Ok(decoded)
    }
}

impl Hooks for Splice<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        point == self.point
    }

    fn points(&self) -> Vec<HookPoint> {
        vec![self.point]
    }

    fn at(&mut self, _: HookPoint, mut activation: ArrayViewMutD<'_, f32>) {
        let mut rows = flat(&activation.view());
        if rows.nrows() < 2 {
            return;
        }
        let positions: Vec<usize> = match self.left_out {
            Some((rule, tokens)) => rule.kept(tokens, &rows),
            None => (1..rows.nrows()).collect(),
        };
        if positions.is_empty() {
            if let Replacement::Dictionary(dictionary, _) = self.replacement {
                self.codes = Some(SparseRows::new(dictionary.size().n_latents));
            }
            return;
        }
        match self.replaced(&rows.select(Axis(0), &positions)) {
            Ok(replaced) => {
                for (row, &position) in replaced.rows().into_iter().zip(&positions) {
                    rows.row_mut(position).assign(&row);
                }
                put_back(&rows, &mut activation);
            }
            Err(error) => self.failed = Some(error),
        }
    }
}
