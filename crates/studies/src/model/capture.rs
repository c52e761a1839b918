use crate::real::{Sequence, StudyError};
use collimate_measure::Fingerprint;
use collimate_sae::shards::{ShardWriter, Shards};
use collimate_transformer::{Capture, Decoder, HookPoint, Run};
use ndarray::{Array2, ArrayViewD, ArrayViewMutD, Ix2, Ix3};
use std::path::Path;

/// An activation as rows, a row a position: heads side by side, `(h, t, e)` becoming `(t, h·e)`.
pub(crate) fn flat(activation: &ArrayViewD<'_, f32>) -> Array2<f32> {
    match activation.clone().into_dimensionality::<Ix3>() {
        Ok(heads) => {
            let (h, t, e) = heads.dim();
            Array2::from_shape_fn((t, h * e), |(i, j)| heads[[j / e, i, j % e]])
        }
        Err(_) => {
            let rows =
                activation.clone().into_dimensionality::<Ix2>().expect("an activation has two or three axes");
            rows.as_standard_layout().into_owned()
        }
    }
}

/// The way back of [`flat`].
pub(super) fn put_back(rows: &Array2<f32>, activation: &mut ArrayViewMutD<'_, f32>) {
    if activation.ndim() == 3 {
        let mut heads = activation.view_mut().into_dimensionality::<Ix3>().expect("three axes");
        let e = heads.dim().2;
        heads.indexed_iter_mut().for_each(|((head, t, i), v)| *v = rows[[t, head * e + i]]);
    } else {
        activation.assign(rows);
    }
}

/// The activation at a point on one run of tokens, a row a position.
///
/// # Errors
/// [`StudyError::Model`].
pub fn rows_at(decoder: &Decoder, tokens: &[u32], point: HookPoint) -> Result<Array2<f32>, StudyError> {
    let mut capture = Capture::at([point]);
    decoder.visit(Run::of(tokens), &mut capture)?;
    Ok(flat(&capture.get(point)?.view()))
}

/// The activations at a point on these sequences, position 0 dropped, written as shards into a folder.
///
/// `progress` hears how many of the sequences are done and stops the capture by answering `false`.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`] when a shard cannot be written.
pub fn capture(
    decoder: &Decoder,
    sequences: &[Sequence],
    point: HookPoint,
    folder: &Path,
    mut progress: impl FnMut(usize) -> bool,
) -> Result<Shards, StudyError> {
    let start = Fingerprint::of(format!("{point}, position 0 dropped").as_bytes())
        .and(&decoder.fingerprint().0.to_le_bytes());
    let source = sequences.iter().fold(start, |f, sequence| {
        let bytes: Vec<u8> = sequence.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        f.and(&sequence.document.to_le_bytes()).and(&bytes)
    });
    let mut writer: Option<ShardWriter> = None;
    for (done, sequence) in sequences.iter().enumerate() {
        if !progress(done) {
            return Err(StudyError::Interrupted);
        }
        let rows = rows_at(decoder, &sequence.tokens, point)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(ShardWriter::create(folder, rows.ncols(), 1 << 14, source)?),
        };
        writer.push_document(sequence.document, 0, &rows)?;
    }
    match writer {
        Some(writer) => drop(writer.finish()?),
        None => return Err(collimate_sae::SaeError::Exhausted { expected: 1, given: 0 }.into()),
    }
    Ok(Shards::open(folder)?)
}
