use super::{Laboratory, Sequence, StudyError};
use crate::model::flat;
use collimate_measure::Fingerprint;
use collimate_sae::shards::{ShardWriter, Shards};
use collimate_transformer::{Capture, HookPoint, Run, Site};
use ndarray::Array1;
use std::fs;
use std::path::{Path, PathBuf};

/// The layer whose activations are studied.
pub const LAYER: usize = 9;

/// The residual stream behind layer [`LAYER`].
pub const RESIDUAL: HookPoint = HookPoint { layer: LAYER, site: Site::ResidualPost };

impl Laboratory {
    /// The residual stream behind layer [`LAYER`] on these sequences, position 0 dropped, as shards in the cache.
    ///
    /// They are captured once; the folder's name is a fingerprint of the model, the site and the tokens. `progress` hears
    /// how many of the sequences are done and stops the capture by answering `false`.
    ///
    /// # Errors
    /// [`StudyError::Interrupted`], or whatever the model or the disk reports.
    pub fn activations(
        &self,
        sequences: &[Sequence],
        progress: impl FnMut(usize) -> bool,
    ) -> Result<Shards, StudyError> {
        Ok(self.activations_at(sequences, &[RESIDUAL], progress)?.remove(0))
    }

    /// The activations at some points, each as [`Laboratory::activations`]; those that are not in the cache yet are captured
    /// in one pass over the sequences.
    ///
    /// # Errors
    /// As [`Laboratory::activations`].
    pub fn activations_at(
        &self,
        sequences: &[Sequence],
        points: &[HookPoint],
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<Vec<Shards>, StudyError> {
        let parent = self.cache.derived().join("activations");
        let sources: Vec<Fingerprint> = points.iter().map(|&point| self.source(sequences, point)).collect();
        let folder = |source: Fingerprint| parent.join(source.to_string());
        let kept = |source| Shards::open(folder(source)).ok().filter(|shards| shards.source() == source);
        let mut missing: Vec<Partial> = Vec::new();
        for (&point, &source) in points.iter().zip(&sources).filter(|(_, source)| kept(**source).is_none()) {
            let at = parent.join(format!("{source}.partial-{}", std::process::id()));
            let writer = ShardWriter::create(&at, self.width(point), 1 << 14, source)?;
            missing.push(Partial { point, at, writer, folder: folder(source) });
        }
        if !missing.is_empty() {
            for (done, sequence) in sequences.iter().enumerate() {
                if !progress(done) {
                    // What was captured is of no use without the rest; removing it is tidiness, not correctness.
                    missing.iter().for_each(|partial| drop(fs::remove_dir_all(&partial.at)));
                    return Err(StudyError::Interrupted);
                }
                let mut capture = Capture::at(missing.iter().map(|partial| partial.point));
                self.decoder.visit(Run::of(&sequence.tokens), &mut capture)?;
                for partial in &mut missing {
                    let rows = flat(&capture.get(partial.point)?.view());
                    partial.writer.push_document(sequence.document, 0, &rows)?;
                }
            }
        }
        for Partial { at, writer, folder, .. } in missing {
            writer.finish()?;
            keep(&at, &folder)?;
        }
        sources.into_iter().map(|source| Ok(Shards::open(folder(source))?)).collect()
    }

    /// The width of the rows at a point, heads side by side.
    pub fn width(&self, point: HookPoint) -> usize {
        let config = self.decoder.config();
        match point.site {
            Site::MlpNeurons => config.d_ff,
            Site::HeadOutput => config.n_heads * config.d_head,
            _ => config.d_model,
        }
    }

    fn source(&self, sequences: &[Sequence], point: HookPoint) -> Fingerprint {
        // The first point that was studied keeps the name it has in caches.
        let what = if point == RESIDUAL {
            format!("residual stream behind layer {LAYER}, position 0 dropped")
        } else {
            format!("{point}, position 0 dropped")
        };
        let start = Fingerprint::of(what.as_bytes()).and(&self.decoder.fingerprint().0.to_le_bytes());
        sequences.iter().fold(start, |f, sequence| {
            let bytes: Vec<u8> = sequence.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
            f.and(&sequence.document.to_le_bytes()).and(&bytes)
        })
    }
}

/// Shards that are being written.
struct Partial {
    point: HookPoint,
    at: PathBuf,
    writer: ShardWriter,
    folder: PathBuf,
}

/// Gives a finished folder its name.
fn keep(partial: &Path, folder: &Path) -> Result<(), StudyError> {
    if let Err(source) = fs::rename(partial, folder) {
        // Another process may have been faster; then its folder serves as well as ours.
        let _ = fs::remove_dir_all(partial);
        if !folder.is_dir() {
            return Err(StudyError::Io { path: folder.to_owned(), source });
        }
    }
    Ok(())
}

/// The mean row of a set of shards, summed in f64.
///
/// # Errors
/// [`StudyError::Dictionary`] when a shard cannot be read.
pub fn mean_row(shards: &Shards) -> Result<Array1<f32>, StudyError> {
    let mut sum = Array1::<f64>::zeros(shards.width());
    for block in shards.blocks(4096) {
        for row in block?.rows.rows() {
            sum.zip_mut_with(&row, |s, &x| *s += f64::from(x));
        }
    }
    Ok(sum.mapv(|s| (s / shards.rows() as f64) as f32))
}
