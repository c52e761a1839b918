//! Batches in which rows and latents have many entries, so that they are taken in another order.

use collimate_sae::{
    AuxCodes, AuxK, AuxScale, Gated, GatedDecoder, Path, Relu, Sae, Settings, Size, TopK, Variant, Weights,
    Workspace,
};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, Axis};

/// Two blocks of latents.
const SIZE: Size = Size { d_model: 6, n_latents: 300 };
/// More rows than latents gather from at a time, and no multiple of that.
const ROWS: usize = 600;

fn random(variant: Variant, stream: &mut RngStream) -> (Sae<f64>, Array2<f64>) {
    let Size { d_model: d, n_latents: n } = SIZE;
    let mut normal = |rows, columns| Array2::from_shape_fn((rows, columns), |_| 0.5 * stream.normal());
    let weights = Weights {
        w_enc: normal(n, d),
        w_dec: normal(n, d),
        b_dec: normal(1, d).row(0).to_owned(),
        per_latent: variant.per_latent_names().iter().map(|_| normal(1, n).row(0).to_owned()).collect(),
    };
    let x = normal(ROWS, d);
    (Sae::from_weights(variant, weights).unwrap(), x)
}

fn flat(weights: &Weights<f64>) -> Array1<f64> {
    let vectors = weights.b_dec.iter().chain(weights.per_latent.iter().flatten());
    weights.w_enc.iter().chain(&weights.w_dec).chain(vectors).copied().collect()
}

fn close(a: &Array1<f64>, b: &Array1<f64>) -> bool {
    let scale = 1.0 + b.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    a.len() == b.len() && (a - b).iter().all(|difference| difference.abs() < 1e-11 * scale)
}

#[test]
fn both_paths_agree_on_crowded_batches() {
    let mut stream = RngStream::new(5, 0);
    let gated = Gated::with_decoder(GatedDecoder::NormWeightedTrained);
    for variant in [Relu::norm_weighted().into(), Relu::unit_norm().into(), Variant::from(gated)] {
        let (sae, x) = random(variant, &mut stream);
        let run = |path| {
            let settings = Settings { penalty: 0.3, path, ..Settings::default() };
            sae.gradient(&x, &settings, &mut Workspace::default()).unwrap()
        };
        let ((sparse, of_sparse), (dense, of_dense)) = (run(Path::Sparse), run(Path::Dense));
        assert!(sparse.l0 > 100.0 && sparse.l0 == dense.l0);
        assert!((sparse.total / dense.total - 1.0).abs() < 1e-12, "{variant:?}");
        assert!(close(&flat(&of_sparse), &flat(&of_dense)), "{variant:?}");
    }
}

#[test]
fn a_crowded_batch_is_the_mean_of_its_parts() {
    // Parts of a few rows are gathered at once. With this scale the auxiliary loss is a mean over rows too.
    let aux = AuxK { scale: AuxScale::FewDead, codes: AuxCodes::Positive, ..AuxK::new(60, 0.5) };
    let variant = TopK { aux: Some(aux), ..TopK::new(64) };
    let (sae, x) = random(variant.into(), &mut RngStream::new(6, 0));
    let dead: Vec<u32> = (0..SIZE.n_latents as u32).step_by(2).collect();
    let settings = Settings { dead: &dead, ..Settings::default() };
    let (losses, whole) = sae.gradient(&x, &settings, &mut Workspace::default()).unwrap();
    assert!(losses.l0 > 60.0 && losses.auxiliary > 0.0);
    let mut workspace = Workspace::default();
    let parts = x.axis_chunks_iter(Axis(0), 100).map(|part| {
        let (losses, gradient) = sae.gradient(&part, &settings, &mut workspace).unwrap();
        (losses.total, flat(&gradient))
    });
    let (totals, gradients): (Vec<f64>, Vec<Array1<f64>>) = parts.unzip();
    let count = totals.len() as f64;
    assert!((totals.iter().sum::<f64>() / count / losses.total - 1.0).abs() < 1e-12);
    let mean = gradients.iter().fold(Array1::zeros(flat(&whole).len()), |sum, g| sum + g) / count;
    assert!(close(&flat(&whole), &mean));
}
