//! Dictionaries in a model: a splice has the effect of its definition.

use collimate_sae::formats::{read, write_saelens};
use collimate_sae::{Dictionary, Sae, Size, TopK};
use collimate_stream::RngStream;
use collimate_studies::latents::{LogitEffect, direct_attribution, direct_effect};
use collimate_studies::splicing::{Change, ErrorTerm, Splice};
use collimate_studies::{StudyError, width_at};
use collimate_transformer::{Description, HookPoint, Hooks, Model, Run, Site};
use ndarray::{Array2, Array3, Axis, s};

const TOKENS: [u32; 6] = [7, 3, 9, 3, 11, 2];

fn model_at(site: Site) -> (Model<f32>, Dictionary<f32>) {
    let mut stream = RngStream::new(2, 0);
    let model = Model::<f32>::random(Description::small(), &stream);
    let size = Size { d_model: width_at(&model, site.of_layer(1)).unwrap(), n_latents: 96 };
    let sae = Sae::<f32>::new(TopK::new(5), size, &mut stream).unwrap();
    (model, sae.into_dictionary())
}

/// Computes the residual stream that enters a layer, as rows.
fn residual_rows(model: &Model<f32>, layer: usize, hooks: &mut dyn Hooks) -> Array2<f32> {
    model.residual(Run::of(&TOKENS), layer, hooks).unwrap().index_axis_move(Axis(0), 0)
}

fn apart(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    (a - b).fold(0.0, |m: f32, v| m.max(v.abs()))
}

#[test]
fn with_the_error_term_the_model_is_unchanged_at_every_site() {
    for site in
        [Site::ResidualPre, Site::AttentionOutput, Site::MlpNeurons, Site::HeadOutput, Site::ResidualPost]
    {
        let (model, dictionary) = model_at(site);
        let point = site.of_layer(1);
        let clean = model.logits(Run::of(&TOKENS), &mut ()).unwrap();
        let run = |error| {
            let mut hooks = Splice::dictionary(point, &dictionary, error).unwrap();
            let logits = model.logits(Run::of(&TOKENS), &mut hooks).unwrap();
            assert_eq!(hooks.codes().unwrap().n_rows(), TOKENS.len() - 1, "{point}");
            logits
        };
        assert_eq!(apart(&clean, &run(ErrorTerm::Kept)), 0.0, "{point}");
        assert!(apart(&clean, &run(ErrorTerm::Dropped)) > 1e-3, "{point}");
    }
}

#[test]
fn a_change_moves_the_residual_along_the_decoder_row() {
    let (model, dictionary) = model_at(Site::ResidualPost);
    let point = HookPoint { layer: 0, site: Site::ResidualPost };
    let residual = residual_rows(&model, 1, &mut ());
    let codes = dictionary.forward(&residual.slice(s![1.., ..])).unwrap().codes.to_dense();
    let active = (0..96).find(|&i| codes[[2, i]] > 0.0).unwrap();
    let row = dictionary.decoder().row(active);
    let steered = |change| {
        let mut hooks =
            Splice::dictionary(point, &dictionary, ErrorTerm::Kept).unwrap().with(change).unwrap();
        residual_rows(&model, 1, &mut hooks)
    };
    let latent = active as u32;
    for (change, by) in [
        (Change::Ablate(latent), -codes[[2, active]]),
        (Change::Add(latent, 2.5), 2.5),
        (Change::Set(latent, 4.0), 4.0 - codes[[2, active]]),
    ] {
        let after = steered(change);
        // Row 2 of the codes is position 3; position 0 is never touched.
        let expected = &residual.row(3) + &(&row * by);
        assert!((&after.row(3) - &expected).iter().all(|v| v.abs() < 1e-5), "{change:?}");
        assert_eq!(after.row(0), residual.row(0));
    }
    assert!(
        Splice::dictionary(point, &dictionary, ErrorTerm::Kept).unwrap().with(Change::Ablate(96)).is_err()
    );
    // At a point that the run does not pass there are no codes.
    let mut late = Splice::dictionary(Site::ResidualPost.of_layer(1), &dictionary, ErrorTerm::Kept).unwrap();
    residual_rows(&model, 1, &mut late);
    assert!(matches!(late.codes(), Err(StudyError::NotReached { point }) if point.layer == 1));
    // Rows and constants have no codes.
    let zeros = ndarray::Array1::zeros(model.description().width);
    let mut constant = Splice::constant(point, zeros.view());
    residual_rows(&model, 1, &mut constant);
    constant.check().unwrap();
    assert!(matches!(constant.codes(), Err(StudyError::NoDictionary)));
    assert!(matches!(constant.with(Change::Ablate(0)), Err(StudyError::NoDictionary)));
}

/// Returns a dictionary as a file of another library gives it: with a normalisation of its rows.
fn normalised(dictionary: &Dictionary<f32>, normalisation: &str) -> Dictionary<f32> {
    let folder = tempfile::tempdir().unwrap();
    write_saelens(dictionary, folder.path(), &[]).unwrap();
    let path = folder.path().join("cfg.json");
    let config = std::fs::read_to_string(&path).unwrap();
    let changed = config.replace(
        "\"normalize_activations\": \"none\"",
        &format!("\"normalize_activations\": \"{normalisation}\""),
    );
    assert_ne!(config, changed);
    std::fs::write(&path, changed).unwrap();
    read(folder.path()).unwrap().dictionary
}

#[test]
fn a_change_counts_by_the_scale_of_a_row_that_is_normalised() {
    let (model, plain) = model_at(Site::ResidualPost);
    let point = HookPoint { layer: 0, site: Site::ResidualPost };
    let residual = residual_rows(&model, 1, &mut ());
    let rows = residual.slice(s![1.., ..]).to_owned();
    for normalisation in ["layer_norm", "constant_norm_rescale"] {
        let dictionary = normalised(&plain, normalisation);
        let clean = dictionary.forward(&rows).unwrap();
        let codes = clean.codes.to_dense();
        let active = (0..96).find(|&i| codes[[2, i]] > 0.0).unwrap();
        for (change, difference) in [
            (Change::Ablate(active as u32), -codes[[2, active]]),
            (Change::Add(active as u32, 2.5), 2.5),
            (Change::Set(active as u32, 4.0), 4.0 - codes[[2, active]]),
        ] {
            // The definition: the reconstruction from changed codes less that from the codes. Decoding is linear, so the
            // difference of decoded rows counts by the factor that the whole reconstruction has.
            let mut changed = codes.clone();
            changed[[2, active]] += difference;
            let decoded = |codes: &Array2<f32>| codes.dot(dictionary.decoder()) + dictionary.decoder_bias();
            let (before, after) = (decoded(&codes), decoded(&changed));
            let spread = |row: ndarray::ArrayView1<'_, f32>| row.std(0.0);
            let scale = spread(clean.reconstruction.row(2)) / spread(before.row(2));
            let mut hooks =
                Splice::dictionary(point, &dictionary, ErrorTerm::Kept).unwrap().with(change).unwrap();
            let moved = residual_rows(&model, 1, &mut hooks);
            let expected = &residual.row(3) + &((&after.row(2) - &before.row(2)) * scale);
            let length = expected.dot(&expected).sqrt();
            assert!((scale - 1.0).abs() > 0.01, "{scale}");
            assert!(
                (&moved.row(3) - &expected).iter().all(|v| v.abs() < 1e-4 * length),
                "{normalisation} {change:?}"
            );
        }
    }
}

#[test]
fn the_parts_of_a_normalised_row_sum_to_the_difference() {
    let (model, plain) = model_at(Site::ResidualPost);
    let point = Site::ResidualPost.of_layer(model.description().layers.len() - 1);
    for normalisation in ["layer_norm", "constant_norm_rescale"] {
        let dictionary = normalised(&plain, normalisation);
        let found = direct_attribution(&model, &dictionary, point, &TOKENS, [5, 17]).unwrap();
        assert!(
            found.shares.len() > 2 && found.rest.abs() < 1e-3 * (1.0 + found.difference.abs()),
            "{found:?}"
        );
    }
}

#[test]
fn the_direct_effect_is_linear_and_exact_when_the_scale_is_held() {
    let (model, dictionary) = model_at(Site::ResidualPost);
    let last = model.description().layers.len();
    let residual = residual_rows(&model, last, &mut ());
    let rms = |row: ndarray::ArrayView1<'_, f32>| (row.dot(&row) / row.len() as f32).sqrt();
    // The final residual is a direction too: its effect at its own scale is the logits (except for the epsilon of the norm).
    let end = residual.slice(s![5..6, ..]);
    let effect = direct_effect(&model, &end, rms(end.row(0))).unwrap();
    let logits = model.last_logits(Run::of(&TOKENS), &mut ()).unwrap();
    assert!(effect.iter().zip(&logits).all(|(a, b)| (a - b).abs() < 1e-3 * (1.0 + b.abs())));
    let directions = dictionary.decoder().slice(s![..3, ..]);
    let one = direct_effect(&model, &directions, 1.0).unwrap();
    let sum = (&directions.row(0) + &directions.row(1)).insert_axis(ndarray::Axis(0)).to_owned();
    let both = direct_effect(&model, &sum, 2.0).unwrap();
    assert!((&one.row(0) + &one.row(1) - &both.row(0) * 2.0).iter().all(|v| v.abs() < 1e-4));
    let (raised, lowered) = LogitEffect::extremes(&one.row(2).to_vec(), 2);
    assert!(
        raised[0].effect >= raised[1].effect
            && lowered[0].effect <= lowered[1].effect
            && raised[1].effect > lowered[1].effect
    );
}
