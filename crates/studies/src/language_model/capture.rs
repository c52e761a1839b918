use crate::error::StudyError;
use crate::leave_out::LeaveOut;
use crate::rows::{flat, width_at};
use crate::sequence::Sequence;
use collimate_measure::Fingerprint;
use collimate_output::{NewFolder, OutputError, is_free};
use collimate_sae::shards::{INDEX, ShardWriter, Shards};
use collimate_transformer::{Capture, HookPoint, Model, Run, Site};
use ndarray::Array1;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
pub fn source_of(model: &Model<f32>, sequences: &[Sequence], point: HookPoint) -> Fingerprint {
    source_named(&point.to_string(), model, sequences)
}

/// Returns the fingerprint of a source whose point has this name.
fn source_named(point: &str, model: &Model<f32>, sequences: &[Sequence]) -> Fingerprint {
    let start = Fingerprint::of(format!("{point}, position 0 dropped").as_bytes())
        .and(&model.fingerprint().0.to_le_bytes());
    sequences.iter().fold(start, |f, sequence| {
        let bytes: Vec<u8> = sequence.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        f.and(&sequence.document.to_le_bytes()).and(&bytes)
    })
}

/// A set of shards to capture: the place in the model, and the folder that the set appears in.
#[derive(Debug)]
pub struct CaptureTarget {
    /// The place in the model.
    pub point: HookPoint,
    /// The folder, which was begun before the model was loaded.
    pub folder: NewFolder,
    /// The path of the folder.
    pub path: PathBuf,
    /// The files of an earlier set that the new one replaces.
    pub obsolete: Vec<String>,
    /// The facts about the rows, key by key, which are stored with them.
    pub about: BTreeMap<String, String>,
}

impl CaptureTarget {
    /// Begins a folder that must be empty or not exist.
    ///
    /// # Errors
    /// [`StudyError::Output`] for a folder that is not empty, cannot be written to, or is being filled by another process.
    pub fn begin(point: HookPoint, path: &Path) -> Result<Self, StudyError> {
        if !is_free(path)? {
            return Err(OutputError::Exists { path: path.to_owned() }.into());
        }
        let folder = NewFolder::begin(path)?;
        let (path, obsolete, about) = (path.to_owned(), Vec::new(), BTreeMap::new());
        Ok(Self { point, folder, path, obsolete, about })
    }
}

/// Captures the activations at some points in one pass over the sequences, and writes each as shards into its folder.
///
/// Position 0 is dropped. The rows of several heads stand side by side. A set appears in its folder when it is whole, so that a
/// folder never holds half of a set; an empty folder that is already there is filled.
///
/// `progress` is called with the number of sequences done so far; the capture stops when it returns false.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`]; [`StudyError::Dictionary`] when there is no sequence or a shard cannot be
/// written; [`StudyError::Output`] when a folder is not empty. Nothing is left behind after an error.
pub fn capture(
    model: &Model<f32>,
    sequences: &[Sequence],
    targets: &[(HookPoint, PathBuf)],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Shards>, StudyError> {
    let begin = |(point, path): &(HookPoint, PathBuf)| CaptureTarget::begin(*point, path);
    let targets = targets.iter().map(begin).collect::<Result<_, _>>()?;
    capture_into(model, sequences, targets, &LeaveOut::default(), progress)
}

/// Captures like [`capture`] into folders that were begun before, and leaves out the rows that a rule names.
///
/// # Errors
/// As [`capture`]; [`StudyError::NoRows`] if no row is left.
pub fn capture_into(
    model: &Model<f32>,
    sequences: &[Sequence],
    targets: Vec<CaptureTarget>,
    leave_out: &LeaveOut,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Shards>, StudyError> {
    let mut sets = Vec::new();
    for target in targets {
        let rule = leave_out.at(model, sequences, target.point)?;
        let width = width_at(model, target.point)?;
        let source = rule.source(source_of(model, sequences, target.point));
        let mut writer = ShardWriter::create(target.folder.path(), width, SHARD_ROWS, source)?;
        for (key, value) in &target.about {
            writer = writer.about(key, value);
        }
        sets.push((target, rule, writer));
    }
    for (done, sequence) in sequences.iter().enumerate() {
        if !progress(done) {
            return Err(StudyError::Interrupted);
        }
        let mut captured = Capture::at(sets.iter().map(|(target, ..)| target.point));
        model.visit(Run::of(&sequence.tokens), &mut captured)?;
        for (target, rule, writer) in &mut sets {
            let rows = flat(&captured.get(target.point)?.view());
            for position in rule.kept(&sequence.tokens, &rows) {
                let row = rows.row(position);
                writer.push_row(
                    sequence.document,
                    position as u32,
                    row.as_slice().expect("standard layout"),
                )?;
            }
        }
    }
    sets.into_iter().map(|(target, _, writer)| finish(target, writer)).collect()
}

/// Completes a set, and opens it under its name.
fn finish(target: CaptureTarget, writer: ShardWriter) -> Result<Shards, StudyError> {
    if writer.finish()? == 0 {
        return Err(StudyError::NoRows);
    }
    let CaptureTarget { folder, path, obsolete, .. } = target;
    let source = Shards::open(folder.path())?.source();
    match folder.finish(INDEX, &obsolete) {
        // Another process may have captured the same rows meanwhile; then its folder serves as well.
        Err(OutputError::Exists { .. }) if Shards::open(&path).is_ok_and(|set| set.source() == source) => {}
        result => result?,
    }
    Ok(Shards::open(&path)?)
}

/// Returns the activations at some points from a folder of captured sets, and captures the missing sets in one pass.
///
/// The name of the folder of a set is the fingerprint of its source.
pub(super) fn cached_or_captured(
    model: &Model<f32>,
    sequences: &[Sequence],
    points: &[HookPoint],
    folder: &Path,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Shards>, StudyError> {
    let cached = |source: Fingerprint| {
        Shards::open(folder.join(source.to_string())).ok().filter(|shards| shards.source() == source)
    };
    loop {
        let mut sets: Vec<Option<Shards>> = Vec::new();
        let mut missing: Vec<(HookPoint, PathBuf)> = Vec::new();
        for &point in points {
            let source = source_of(model, sequences, point);
            let mut found = cached(source);
            if found.is_none() && point == RESIDUAL {
                found = cached(source_named(RESIDUAL_OF_VERSION_0_1, model, sequences));
            }
            if found.is_none() {
                missing.push((point, folder.join(source.to_string())));
            }
            sets.push(found);
        }
        if missing.is_empty() {
            return Ok(sets.into_iter().flatten().collect());
        }
        let captured = match capture(model, sequences, &missing, progress) {
            // Another process captures one of the sets. This one waits for it.
            Err(StudyError::Output(OutputError::Busy { .. })) => {
                std::thread::sleep(Duration::from_millis(200));
                if !progress(0) {
                    return Err(StudyError::Interrupted);
                }
                continue;
            }
            captured => captured?,
        };
        let mut captured = captured.into_iter();
        let sets = sets.into_iter().map(|found| found.or_else(|| captured.next()));
        return Ok(sets.map(|set| set.expect("every missing set was captured")).collect());
    }
}

/// Computes the mean row of a set of shards, summed in f64.
///
/// # Errors
/// [`StudyError::Dictionary`] when a shard cannot be read or is damaged.
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
    use collimate_transformer::Description;

    #[test]
    fn captured_sets_are_found_by_the_fingerprint_of_their_source() {
        let mut small = Description::small();
        small.layers = vec![small.layers[0].clone(); LAYER + 1];
        let model = Model::<f32>::random(small, &RngStream::new(7, 0));
        let text = [Sequence { document: 4, tokens: vec![0, 5, 9, 2, 5] }];
        let folder = tempfile::tempdir().unwrap();
        let points = [Site::MlpOutput.of_layer(2), RESIDUAL];
        // One set by a call of `capture`, as the command line makes it, and one with the fingerprint of version 0.1.
        let place = |source: Fingerprint| folder.path().join(source.to_string());
        let of_command = place(source_of(&model, &text, points[0]));
        capture(&model, &text, &[(points[0], of_command)], &mut |_| true).unwrap();
        let old = source_named(RESIDUAL_OF_VERSION_0_1, &model, &text);
        let mut writer = ShardWriter::create(place(old), 32, SHARD_ROWS, old).unwrap();
        writer
            .push_document(4, 0, &crate::rows::rows_at(&model, &text[0].tokens, RESIDUAL).unwrap())
            .unwrap();
        writer.finish().unwrap();
        let mut never = |_| panic!("both sets are there");
        let found = cached_or_captured(&model, &text, &points, folder.path(), &mut never).unwrap();
        assert_eq!([found[0].source(), found[1].source()], [source_of(&model, &text, points[0]), old]);
        // Without the old set the point is captured under its present fingerprint.
        std::fs::remove_dir_all(place(old)).unwrap();
        let again = cached_or_captured(&model, &text, &points, folder.path(), &mut |_| true).unwrap();
        assert_eq!(again[1].source(), source_of(&model, &text, RESIDUAL));
        assert_eq!((again[1].rows(), mean_row(&again[1]).unwrap().len()), (4, 32));
    }
}
