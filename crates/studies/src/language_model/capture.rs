use crate::error::StudyError;
use crate::rows::flat;
use crate::sequence::Sequence;
use collimate_measure::Fingerprint;
use collimate_sae::SaeError;
use collimate_sae::shards::{ShardWriter, Shards};
use collimate_transformer::{Capture, Decoder, HookPoint, Run};
use ndarray::Array1;
use std::fs;
use std::path::{Path, PathBuf};

/// The number of rows in one shard.
const SHARD_ROWS: usize = 1 << 14;

/// Returns the fingerprint of the source of captured rows: the model, the point, and the tokens with their documents.
///
/// It is stored with the shards as [`Shards::source`]. A command and a claim store the same fingerprint.
pub fn source_of(decoder: &Decoder, sequences: &[Sequence], point: HookPoint) -> Fingerprint {
    source_named(&point.to_string(), decoder, sequences)
}

/// Returns the fingerprint of a source whose point has this name.
pub(super) fn source_named(point: &str, decoder: &Decoder, sequences: &[Sequence]) -> Fingerprint {
    let start = Fingerprint::of(format!("{point}, position 0 dropped").as_bytes())
        .and(&decoder.fingerprint().0.to_le_bytes());
    sequences.iter().fold(start, |f, sequence| {
        let bytes: Vec<u8> = sequence.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        f.and(&sequence.document.to_le_bytes()).and(&bytes)
    })
}

/// Captures the activations at some points in one pass over the sequences, and writes each as shards into its folder.
///
/// Position 0 is dropped. The rows of several heads stand side by side. A set is written beside its folder and renamed when it is
/// whole, so that a folder never holds half of a set; an empty folder that is already there is replaced.
///
/// `progress` is called with the number of sequences done so far; the capture stops when it returns false.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`]; [`StudyError::Dictionary`] when there is no sequence or a shard cannot be
/// written; [`StudyError::Io`] when a folder is not empty. Nothing is left behind after an error.
pub fn capture(
    decoder: &Decoder,
    sequences: &[Sequence],
    targets: &[(HookPoint, PathBuf)],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Shards>, StudyError> {
    let mut sets: Vec<UnfinishedSet> = targets.iter().map(UnfinishedSet::new).collect();
    for (done, sequence) in sequences.iter().enumerate() {
        if !progress(done) {
            return Err(StudyError::Interrupted);
        }
        let mut captured = Capture::at(targets.iter().map(|(point, _)| *point));
        decoder.visit(Run::of(&sequence.tokens), &mut captured)?;
        for set in &mut sets {
            let rows = flat(&captured.get(set.point)?.view());
            let writer = match &mut set.writer {
                Some(writer) => writer,
                None => {
                    let source = source_of(decoder, sequences, set.point);
                    set.writer.insert(ShardWriter::create(&set.partial, rows.ncols(), SHARD_ROWS, source)?)
                }
            };
            writer.push_document(sequence.document, 0, &rows)?;
        }
    }
    sets.into_iter().map(UnfinishedSet::finish).collect()
}

/// A set of shards that is being written beside its folder. Dropped before it is finished, it removes what was written.
struct UnfinishedSet {
    point: HookPoint,
    folder: PathBuf,
    partial: PathBuf,
    writer: Option<ShardWriter>,
}

impl UnfinishedSet {
    fn new((point, folder): &(HookPoint, PathBuf)) -> Self {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let partial = folder.with_file_name(format!("{name}.partial-{}", std::process::id()));
        Self { point: *point, folder: folder.clone(), partial, writer: None }
    }

    fn finish(mut self) -> Result<Shards, StudyError> {
        let Some(writer) = self.writer.take() else {
            return Err(SaeError::Exhausted { expected: 1, given: 0 }.into());
        };
        writer.finish()?;
        rename_whole(&self.partial, &self.folder)?;
        Ok(Shards::open(&self.folder)?)
    }
}

impl Drop for UnfinishedSet {
    fn drop(&mut self) {
        // After a rename there is nothing to remove, and this fails as it should.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Gives a finished folder its name.
fn rename_whole(partial: &Path, folder: &Path) -> Result<(), StudyError> {
    // Some systems rename onto an empty folder only when it is gone; a folder that is not empty stays.
    let _ = fs::remove_dir(folder);
    match fs::rename(partial, folder) {
        Ok(()) => Ok(()),
        // Another process may have captured the same rows meanwhile; then its folder serves as well.
        Err(_) if same_source(partial, folder) => Ok(()),
        Err(source) => Err(StudyError::Io { path: folder.to_owned(), source }),
    }
}

fn same_source(one: &Path, other: &Path) -> bool {
    matches!((Shards::open(one), Shards::open(other)), (Ok(one), Ok(other)) if one.source() == other.source())
}

/// Computes the mean row of a set of shards, summed in f64.
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
