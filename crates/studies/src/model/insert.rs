use crate::real::StudyError;
use collimate_sae::SaeError;
use collimate_sae::formats::{Dictionary, Target};
use collimate_tensor::{SparseRows, axpy};
use collimate_transformer::{HookPoint, Hooks};
use ndarray::{Array2, ArrayViewMutD, s};

/// Whether what the dictionary does not reconstruct stays in the model.
///
/// ```text
/// Dropped:  x ← x̂(f')                        Kept:  x ← x̂(f') + (x − x̂(f))
/// ```
/// With the error kept and nothing changed the model is as it was; a change then acts alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorTerm {
    /// The error is added back.
    Kept,
    /// The reconstruction takes the place of the activation.
    Dropped,
}

/// A change of the codes before they are decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// The latent is set to zero.
    Ablate(u32),
    /// The latent is set to a value, whether it was active or not.
    Set(u32, f32),
    /// The value is added to the latent, whether it was active or not: a step along its decoder row.
    Add(u32, f32),
}

impl Change {
    fn latent(self) -> u32 {
        match self {
            Self::Ablate(latent) | Self::Set(latent, _) | Self::Add(latent, _) => latent,
        }
    }

    /// By how much it changes a code.
    fn difference(self, code: f32) -> f32 {
        match self {
            Self::Ablate(_) => -code,
            Self::Set(_, value) => value - code,
            Self::Add(_, value) => value,
        }
    }
}

/// A dictionary put into a model at one point, as hooks of a run.
///
/// Activations of several heads are flattened to rows of heads × width. Position 0 is left as it is: its residual is a
/// hundred times as long as the others, and no dictionary is trained on it.
///
/// # Examples
/// ```
/// use collimate_sae::formats::Dictionary;
/// use collimate_sae::{Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// use collimate_studies::model::{Change, ErrorTerm, Inserted};
/// use collimate_transformer::{Config, Decoder, Run, Site};
/// let mut stream = RngStream::new(1, 0);
/// let decoder = Decoder::random(Config::small(), &mut stream)?;
/// let size = Size { d_model: decoder.config().d_model, n_latents: 64 };
/// let dictionary = Dictionary::try_from(&Sae::<f32>::new(TopK::new(4), size, &mut stream)?)?;
/// let tokens = [7, 3, 9, 3];
/// let clean = decoder.logits(Run::of(&tokens), &mut ())?;
/// let mut hooks = Inserted::new(&dictionary, Site::ResidualPost.of_layer(0), ErrorTerm::Kept)?;
/// let same = decoder.logits(Run::of(&tokens), &mut hooks)?;
/// assert!((&clean - &same).iter().all(|v| v.abs() < 1e-3)); // the error term makes up for everything
/// let mut steered = hooks.with(Change::Add(5, 8.0))?;
/// let other = decoder.logits(Run::of(&tokens), &mut steered)?;
/// assert!((&clean - &other).iter().any(|v| v.abs() > 0.1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Inserted<'a> {
    dictionary: &'a Dictionary<f32>,
    point: HookPoint,
    error: ErrorTerm,
    changes: Vec<Change>,
    codes: Option<SparseRows<f32>>,
    failed: Option<StudyError>,
}

impl<'a> Inserted<'a> {
    /// A dictionary at a point of the model.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] for a transcoder, which reads at one point and writes at another.
    pub fn new(
        dictionary: &'a Dictionary<f32>,
        point: HookPoint,
        error: ErrorTerm,
    ) -> Result<Self, StudyError> {
        if dictionary.target() == Target::Other {
            let operation = "insertion at one point of a model";
            return Err(SaeError::Unsupported { operation, architecture: "transcoder" }.into());
        }
        Ok(Self { dictionary, point, error, changes: Vec::new(), codes: None, failed: None })
    }

    /// The same with one more change, made after those before it.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] for a latent that does not exist or a value that is not finite.
    pub fn with(mut self, change: Change) -> Result<Self, StudyError> {
        let n = self.dictionary.size().n_latents;
        let out = |name, expected, given| Err(SaeError::OutOfRange { name, expected, given }.into());
        if change.latent() as usize >= n {
            return out("latent", "below the number of latents", f64::from(change.latent()));
        }
        if let Change::Set(_, value) | Change::Add(_, value) = change
            && !value.is_finite()
        {
            return out("the value of a latent", "finite", f64::from(value));
        }
        self.changes.push(change);
        Ok(self)
    }

    /// The codes of the last run before any change, a row a position from position 1 on.
    ///
    /// # Errors
    /// Whatever went wrong at the point; [`StudyError::Dictionary`] when the run did not pass it.
    pub fn codes(&mut self) -> Result<SparseRows<f32>, StudyError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let missing = SaeError::Exhausted { expected: 1, given: 0 };
        self.codes.take().ok_or_else(|| missing.into())
    }

    /// What stands at the point afterwards, for rows `[t, d]`.
    fn rows(&mut self, rows: &Array2<f32>) -> Result<Array2<f32>, StudyError> {
        let out = self.dictionary.forward(rows)?;
        let mut changed = match self.error {
            ErrorTerm::Kept => rows.clone(),
            ErrorTerm::Dropped => out.reconstruction,
        };
        let decoder = self.dictionary.decoder();
        for (i, (latents, values)) in out.codes.rows().enumerate() {
            let row = changed.row_mut(i);
            let row = row.into_slice().expect("rows of a fresh array");
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
                axpy(difference, atom.as_slice().expect("standard layout"), row);
            }
        }
        self.codes = Some(out.codes);
        Ok(changed)
    }
}

impl Hooks for Inserted<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        point == self.point
    }

    fn at(&mut self, _: HookPoint, mut activation: ArrayViewMutD<'_, f32>) {
        let rows = super::capture::flat(&activation.view());
        if rows.nrows() < 2 {
            return;
        }
        match self.rows(&rows.slice(s![1.., ..]).to_owned()) {
            Ok(changed) => {
                let mut all = rows;
                all.slice_mut(s![1.., ..]).assign(&changed);
                super::capture::put_back(&all, &mut activation);
            }
            // A hook cannot fail: the activation stays, and whoever asks for the codes is told.
            Err(error) => self.failed = Some(error),
        }
    }
}
