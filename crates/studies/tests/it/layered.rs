//! Transcoders of several layers in a model, against runs that are written out by hand.

use approx::assert_abs_diff_eq;
use collimate_sae::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
use collimate_stream::RngStream;
use collimate_studies::latents::{Encoder, TopOptions, top_firings};
use collimate_studies::splicing::{LayersOptions, Splice, recovered_by_layers};
use collimate_studies::{LeaveOut, RowRule, Sequence, StudyError, rows_at};
use collimate_transformer::{Capture, Description, Model, Run, Site};
use ndarray::{Array1, Array2, Array3, s};

/// Makes a model of two layers.
fn two_layers() -> Model<f32> {
    let mut description = Description::small();
    description.layers.truncate(2);
    Model::random(description, &RngStream::new(6, 0))
}

fn random(stream: &mut RngStream, shape: (usize, usize, usize), scale: f32) -> Array3<f32> {
    Array3::from_shape_simple_fn(shape, || scale * stream.normal() as f32)
}

/// Makes a transcoder of random numbers for every layer of a model. Set layers have skips.
fn transcoder(model: &Model<f32>, reach: Reach) -> LayeredTranscoder<f32> {
    let mut stream = RngStream::new(3, 0);
    let (count, d, n) = (model.description().layers.len(), model.description().width, 9);
    let layer = |layer: usize| {
        let outputs = if reach == Reach::OwnLayer { 1 } else { count - layer };
        TranscoderLayer {
            w_enc: random(&mut stream, (1, n, d), 0.3).index_axis_move(ndarray::Axis(0), 0),
            b_enc: Array1::from_elem(n, 0.1),
            activation: LayerActivation::Relu,
            w_dec: random(&mut stream, (n, outputs, d), 0.2),
            b_dec: Array1::from_elem(d, 0.05),
            w_skip: (reach == Reach::OwnLayer)
                .then(|| random(&mut stream, (1, d, d), 0.1).index_axis_move(ndarray::Axis(0), 0)),
        }
    };
    LayeredTranscoder::new((0..count).map(layer).collect(), reach).unwrap()
}

fn sequences() -> Vec<Sequence> {
    let mut stream = RngStream::new(5, 0);
    let tokens =
        |length: usize, stream: &mut RngStream| (0..length).map(|_| stream.below(61) as u32).collect();
    (0..2).map(|document| Sequence { document, tokens: tokens(9 + document as usize, &mut stream) }).collect()
}

/// Computes the mean loss of the predictions after position 0, with the outputs of the layers replaced one after the other: each layer reads
/// a run in which all earlier layers are replaced already.
fn by_hand(model: &Model<f32>, transcoder: &LayeredTranscoder<f32>, sequences: &[Sequence]) -> f64 {
    let (mut sum, mut predictions) = (0.0, 0);
    for Sequence { tokens, .. } in sequences {
        let write = |layer| Site::MlpAdded.of_layer(layer);
        let (read_0, read_1) = (Site::MlpInput.of_layer(0), Site::MlpInput.of_layer(1));
        let x_0 = rows_at(model, tokens, read_0).unwrap().slice(s![1.., ..]).to_owned();
        let d = model.description().width;
        let mut x = Array3::zeros((2, x_0.nrows(), d));
        x.index_axis_mut(ndarray::Axis(0), 0).assign(&x_0);
        // The first output does not depend on the input of the second layer.
        let first = transcoder.reconstruct(&x).unwrap().index_axis_move(ndarray::Axis(0), 0);
        let mut hooks = (Splice::rows(write(0), first.view()), Capture::at([read_1]));
        model.logits(Run::of(tokens), &mut hooks).unwrap();
        let x_1 = hooks.1.get(read_1).unwrap().index_axis(ndarray::Axis(0), 0).slice(s![1.., ..]).to_owned();
        x.index_axis_mut(ndarray::Axis(0), 1).assign(&x_1);
        let second = transcoder.reconstruct(&x).unwrap().index_axis_move(ndarray::Axis(0), 1);
        let mut hooks = (Splice::rows(write(0), first.view()), Splice::rows(write(1), second.view()));
        let losses = model.losses(Run::of(tokens), &mut hooks).unwrap();
        sum += losses[0].nll[1..].iter().sum::<f64>();
        predictions += losses[0].nll.len() - 1;
    }
    sum / predictions as f64
}

fn options<'a>(means: &'a Array2<f32>, rule: RowRule) -> LayersOptions<'a> {
    LayersOptions { reads: Site::MlpInput, writes: Site::MlpAdded, means, rule }
}

#[test]
fn each_layer_reads_what_the_replaced_layers_before_it_lead_to() {
    let model = two_layers();
    let (sequences, d) = (sequences(), model.description().width);
    let means = Array2::from_elem((2, d), 0.2);
    for reach in [Reach::OwnLayer, Reach::LaterLayers] {
        let transcoder = transcoder(&model, reach);
        let null = transcoder.null(1);
        let options = options(&means, RowRule::default());
        let [found, of_null] =
            recovered_by_layers(&model, [&transcoder, &null], &options, &sequences, &mut |_| true).unwrap();
        // Losses of about 4 nats in f32, over chains of products that are added in the same order.
        assert_abs_diff_eq!(
            found.loss.reconstructed,
            by_hand(&model, &transcoder, &sequences),
            epsilon = 1e-4
        );
        assert_abs_diff_eq!(of_null.loss.reconstructed, by_hand(&model, &null, &sequences), epsilon = 1e-4);
        assert!((found.loss.reconstructed - of_null.loss.reconstructed).abs() > 1e-3);
        assert_eq!((found.loss.clean, found.predictions), (of_null.loss.clean, 7 + 8));
    }
}

#[test]
fn constant_predictions_are_the_ablations_and_rows_that_are_left_out_stay() {
    let model = two_layers();
    let (sequences, d) = (sequences(), model.description().width);
    let silent = |bias: f32| {
        let layer = |_| TranscoderLayer {
            w_enc: Array2::zeros((3, d)),
            b_enc: Array1::zeros(3),
            activation: LayerActivation::Relu,
            w_dec: Array3::zeros((3, 1, d)),
            b_dec: Array1::from_elem(d, bias),
            w_skip: None,
        };
        LayeredTranscoder::new((0..2).map(layer).collect(), Reach::OwnLayer).unwrap()
    };
    let means = Array2::from_elem((2, d), 0.2);
    let both = [&silent(0.0), &silent(0.2)];
    let all = options(&means, RowRule::default());
    let [zeros, mean] = recovered_by_layers(&model, both, &all, &sequences, &mut |_| true).unwrap();
    assert_eq!(zeros.loss.reconstructed, zeros.loss.zero_ablated);
    assert_eq!(mean.loss.reconstructed, mean.loss.mean_ablated);
    assert!(zeros.loss.zero_ablated != zeros.loss.clean && mean.loss.mean_ablated != zeros.loss.zero_ablated);
    // Where every token is left out, every run is the unchanged one.
    let tokens = sequences.iter().flat_map(|sequence| sequence.tokens.clone()).collect();
    let rule = LeaveOut { tokens, max_norm: None };
    let rule = rule.at(&model, &sequences, Site::MlpInput.of_layer(0)).unwrap();
    let none = options(&means, rule);
    let [found, _] = recovered_by_layers(&model, both, &none, &sequences, &mut |_| true).unwrap();
    assert_eq!(
        [found.loss.reconstructed, found.loss.zero_ablated, found.loss.mean_ablated],
        [found.loss.clean; 3]
    );
    // Sizes of another model, and an end on request.
    let narrow = Array2::zeros((2, d - 1));
    let wrong = options(&narrow, RowRule::default());
    let refused = recovered_by_layers(&model, both, &wrong, &sequences, &mut |_| true);
    assert!(matches!(refused, Err(StudyError::Dictionary(_))), "{refused:?}");
    let stopped = recovered_by_layers(&model, both, &all, &sequences, &mut |done| done < 1);
    assert!(matches!(stopped, Err(StudyError::Interrupted)));
}

#[test]
fn the_latents_of_a_layer_fire_where_its_codes_are_largest() {
    let model = two_layers();
    let (sequences, transcoder) = (sequences(), transcoder(&model, Reach::LaterLayers));
    for layer in 0..2 {
        let point = Site::MlpInput.of_layer(layer);
        let options = TopOptions { latents: &[4], most: 5, ..TopOptions::default() };
        let encoder = Encoder::Layer(&transcoder, layer);
        let found = top_firings(&model, encoder, point, &sequences, &options, &mut |_| true).unwrap();
        let (mut largest, mut fired) = (0.0_f32, 0);
        for Sequence { tokens, .. } in &sequences {
            let x = rows_at(&model, tokens, point).unwrap().slice(s![1.., ..]).to_owned();
            let own = &transcoder.layers()[layer];
            for code in x.dot(&own.w_enc.row(4)).iter().map(|z| z + own.b_enc[4]).filter(|code| *code > 0.0) {
                (largest, fired) = (largest.max(code), fired + 1);
            }
        }
        assert_eq!((found.fired.len(), found.fired[4]), (9, fired));
        assert!(fired > 0);
        // A dot product of 32 numbers near 1 in f32.
        assert_abs_diff_eq!(found.tops[0].firings[0].code, largest, epsilon = 1e-5);
    }
}
