use crate::error::StudyError;
use crate::rows::flat;
use crate::sequence::Sequence;
use collimate_measure::Fingerprint;
use collimate_sae::SaeError;
use collimate_sae::shards::{ShardWriter, Shards};
use collimate_transformer::{Capture, Decoder, HookPoint, Run, Site};
use ndarray::Array1;
use std::fs;
use std::path::{Path, PathBuf};

/// The layer whose activations are studied.
pub const LAYER: usize = 9;

/// The residual stream behind layer [`LAYER`].
pub const RESIDUAL: HookPoint = HookPoint { layer: LAYER, site: Site::ResidualPost };

/// The name of [`RESIDUAL`] in the fingerprints of version 0.1. Shards of that version are still found and read.
const RESIDUAL_OF_VERSION_0_1: &str = "residual stream behind layer 9";

/// The number of rows in one shard.
const SHARD_ROWS: usize = 1 << 14;

/// Returns the fingerprint of the source of captured rows: the model, the point, and the tokens with their documents.
///
/// It is stored with the shards as [`Shards::source`]. A command and a claim store the same fingerprint.
pub fn source_of(decoder: &Decoder, sequences: &[Sequence], point: HookPoint) -> Fingerprint {
    source_named(&point.to_string(), decoder, sequences)
}

/// Returns the fingerprint of a source whose point has this name.
fn source_named(point: &str, decoder: &Decoder, sequences: &[Sequence]) -> Fingerprint {
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

/// Returns the activations at some points from a folder of captured sets, and captures the missing sets in one pass.
///
/// The name of the folder of a set is the fingerprint of its source.
pub(super) fn cached_or_captured(
    decoder: &Decoder,
    sequences: &[Sequence],
    points: &[HookPoint],
    folder: &Path,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Shards>, StudyError> {
    let cached = |source: Fingerprint| {
        Shards::open(folder.join(source.to_string())).ok().filter(|shards| shards.source() == source)
    };
    let mut sets: Vec<Option<Shards>> = Vec::new();
    let mut missing: Vec<(HookPoint, PathBuf)> = Vec::new();
    for &point in points {
        let source = source_of(decoder, sequences, point);
        let mut found = cached(source);
        if found.is_none() && point == RESIDUAL {
            found = cached(source_named(RESIDUAL_OF_VERSION_0_1, decoder, sequences));
        }
        if found.is_none() {
            missing.push((point, folder.join(source.to_string())));
        }
        sets.push(found);
    }
    let captured =
        if missing.is_empty() { Vec::new() } else { capture(decoder, sequences, &missing, progress)? };
    let mut captured = captured.into_iter();
    let sets = sets.into_iter().map(|found| found.or_else(|| captured.next()));
    Ok(sets.map(|set| set.expect("every missing set was captured")).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_stream::RngStream;
    use collimate_transformer::Config;

    #[test]
    fn captured_sets_are_found_by_the_fingerprint_of_their_source() {
        let config = Config { n_layers: LAYER + 1, ..Config::small() };
        let decoder = Decoder::random(config, &mut RngStream::new(7, 0)).unwrap();
        let text = [Sequence { document: 4, tokens: vec![0, 5, 9, 2, 5] }];
        let folder = tempfile::tempdir().unwrap();
        let points = [Site::MlpOutput.of_layer(2), RESIDUAL];
        // One set by a call of `capture`, as the command line makes it, and one with the fingerprint of version 0.1.
        let place = |source: Fingerprint| folder.path().join(source.to_string());
        let of_command = place(source_of(&decoder, &text, points[0]));
        capture(&decoder, &text, &[(points[0], of_command)], &mut |_| true).unwrap();
        let old = source_named(RESIDUAL_OF_VERSION_0_1, &decoder, &text);
        let mut writer = ShardWriter::create(place(old), 32, SHARD_ROWS, old).unwrap();
        writer
            .push_document(4, 0, &crate::rows::rows_at(&decoder, &text[0].tokens, RESIDUAL).unwrap())
            .unwrap();
        writer.finish().unwrap();
        let mut never = |_| panic!("both sets are there");
        let found = cached_or_captured(&decoder, &text, &points, folder.path(), &mut never).unwrap();
        assert_eq!([found[0].source(), found[1].source()], [source_of(&decoder, &text, points[0]), old]);
        // Without the old set the point is captured under its present fingerprint.
        std::fs::remove_dir_all(place(old)).unwrap();
        let again = cached_or_captured(&decoder, &text, &points, folder.path(), &mut |_| true).unwrap();
        assert_eq!(again[1].source(), source_of(&decoder, &text, RESIDUAL));
        assert_eq!((again[1].rows(), mean_row(&again[1]).unwrap().len()), (4, 32));
    }
}
