use super::{Laboratory, Sequence, StudyError};
use collimate_measure::Fingerprint;
use collimate_sae::shards::{ShardWriter, Shards};
use collimate_transformer::Run;
use ndarray::Array1;
use std::fs;

/// The layer whose outgoing residual stream is studied.
pub const LAYER: usize = 9;

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
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<Shards, StudyError> {
        let source = self.source(sequences);
        let parent = self.cache.derived().join("activations");
        let folder = parent.join(source.to_string());
        if let Some(shards) = Shards::open(&folder).ok().filter(|shards| shards.source() == source) {
            return Ok(shards);
        }
        let partial = parent.join(format!("{source}.partial-{}", std::process::id()));
        let mut writer = ShardWriter::create(&partial, self.decoder.config().d_model, 1 << 14, source)?;
        for (done, sequence) in sequences.iter().enumerate() {
            if !progress(done) {
                // What was captured is of no use without the rest; removing it is tidiness, not correctness.
                let _ = fs::remove_dir_all(&partial);
                return Err(StudyError::Interrupted);
            }
            let residual = self.decoder.residual(Run::of(&sequence.tokens), LAYER + 1, &mut ())?;
            writer.push_document(sequence.document, 0, &residual)?;
        }
        writer.finish()?;
        if let Err(error) = fs::rename(&partial, &folder) {
            // Another process may have been faster; then its folder serves as well as ours.
            let _ = fs::remove_dir_all(&partial);
            if !folder.is_dir() {
                return Err(StudyError::Io { path: folder, source: error });
            }
        }
        Ok(Shards::open(&folder)?)
    }

    fn source(&self, sequences: &[Sequence]) -> Fingerprint {
        let start =
            Fingerprint::of(format!("residual stream behind layer {LAYER}, position 0 dropped").as_bytes())
                .and(&self.decoder.fingerprint().0.to_le_bytes());
        sequences.iter().fold(start, |f, sequence| {
            let bytes: Vec<u8> = sequence.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
            f.and(&sequence.document.to_le_bytes()).and(&bytes)
        })
    }
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
