//! The measurement in the language model: the loss and the KL divergence that a dictionary or a transcoder recovers.

use super::layers::outputs;
use super::plan::Plan;
use crate::sae::dictionary::{check_origin, read_site};
use crate::session::Steps;
use crate::texts::{Source, has_point};
use anyhow::ensure;
use collimate_circuits::check_predicted;
use collimate_measure::Fingerprint;
use collimate_sae::formats::Checkpoint;
use collimate_sae::{LayeredTranscoder, WithNull};
use collimate_studies::splicing::{LayersOptions, RecoveredOptions, recovered, recovered_by_layers};
use collimate_studies::{LeaveOut, Provenance, width_at};
use collimate_transformer::Site;
use ndarray::{Axis, s, stack};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// The site whose activation a transcoder of several layers predicts.
const WRITES: Site = Site::MlpAdded;

/// Inserts a dictionary and its null model into the language model, and returns the recovered loss and KL divergence.
pub(super) fn measure(
    plan: &Plan<'_>,
    source: &Source,
    checkpoint: &Checkpoint<f32>,
    allow_mismatch: bool,
) -> anyhow::Result<Vec<WithNull>> {
    let dictionary = &checkpoint.dictionary;
    let setup = source.setup()?;
    let (model, point) = (&setup.model, source.point(&setup)?);
    let (given, needed) = (width_at(model, point)?, dictionary.size().d_model);
    ensure!(given == needed, "{point} has width {given}, but the dictionary takes rows of width {needed}");
    let leave_out = source.leave_out(&setup)?;
    check_origin(&checkpoint.about, &source.provenance(&setup, point, &leave_out), allow_mismatch)?;
    let sequences = source.sequences(&setup)?;
    let rule = leave_out.at(model, &sequences, point)?;
    let both = [dictionary, &dictionary.null(plan.seed)];
    let place = RecoveredOptions { point, mean: plan.mean, rule };
    let [found, null] = with_progress(plan, sequences.len(), |going_on| {
        Ok(recovered(model, both, &place, &sequences, going_on)?)
    })?;
    Ok(found.with_null(&null, dictionary.fingerprint()))
}

/// Puts all layers of a transcoder, or of its null model, in the places of the MLPs of the language model, and returns the recovered loss and
/// KL divergence.
pub(super) fn measure_layers(
    plan: &Plan<'_>,
    source: &Source,
    (transcoder, object): (&LayeredTranscoder<f32>, Fingerprint),
    about: &BTreeMap<String, String>,
    allow_mismatch: bool,
) -> anyhow::Result<Vec<WithNull>> {
    let (layer, site) = source.given_place();
    ensure!(
        layer.is_none(),
        "--layer is for dictionaries of one layer; this one replaces the MLPs of all layers"
    );
    ensure!(
        source.max_norm().is_none(),
        "--max-norm chooses other rows in each layer, but --in-model replaces all layers at the same positions; leave one of them out"
    );
    check_predicted(about.get("feature_output_hook").map(String::as_str))?;
    let reads = read_site(site, about)?;
    let setup = source.setup()?;
    let (model, layers) = (&setup.model, transcoder.layers().len());
    let in_model = model.description().layers.len();
    ensure!(
        layers == in_model,
        "the transcoder has {layers} layers, but the model has {in_model}; take the transcoder of this model"
    );
    for (site, needed, verb) in
        [(reads, transcoder.d_in(), "takes"), (WRITES, transcoder.d_out(), "predicts")]
    {
        for point in (0..layers).map(|layer| site.of_layer(layer)) {
            has_point(&setup, point)?;
            let given = width_at(model, point)?;
            ensure!(
                given == needed,
                "{point} has width {given}, but the transcoder {verb} rows of width {needed}"
            );
        }
    }
    let leave_out = source.leave_out(&setup)?;
    let places: Vec<Provenance> =
        (0..layers).map(|layer| source.provenance(&setup, reads.of_layer(layer), &leave_out)).collect();
    check_origin(about, &Provenance::side_by_side(&places), allow_mismatch)?;
    let sequences = source.sequences(&setup)?;
    let means: Vec<_> = (0..layers).map(|layer| plan.mean.slice(s![outputs(transcoder, layer)])).collect();
    let means = stack(Axis(0), &means)?;
    let rule = LeaveOut { max_norm: None, ..leave_out }.at(model, &sequences, reads.of_layer(0))?;
    let options = LayersOptions { reads, writes: WRITES, means: &means, rule };
    let both = [transcoder, &transcoder.null(plan.seed)];
    let [found, null] = with_progress(plan, sequences.len(), |going_on| {
        Ok(recovered_by_layers(model, both, &options, &sequences, going_on)?)
    })?;
    Ok(found.with_null(&null, object))
}

/// Calls a measurement with a function that shows its progress, and that returns false as soon as the user wants it to end.
fn with_progress<T>(
    plan: &Plan<'_>,
    sequences: usize,
    measure: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut steps = Steps::new(plan.session, "sequences", sequences as u64);
    let found = measure(&mut |done| {
        steps.at(done as u64, "");
        !plan.stop.load(Ordering::SeqCst)
    })?;
    steps.finish();
    Ok(found)
}
