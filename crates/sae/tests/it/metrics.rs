//! Metric values computed elsewhere, and the ways sums may be split.

use crate::cases::{Case, TIGHT, folder};
use collimate_sae::{
    AbsTopK, Absorption, Crosscoder, Dictionary, DocumentSums, Evaluation, Gated, Matching, MatchingPursuit,
    Recognition, Sae, Size, Sums, TopK, Usage, Variant, decoder_geometry_with_null, mmcs,
};
use collimate_stream::RngStream;
use ndarray::Array2;

fn sums(x: &Array2<f64>, x_hat: &Array2<f64>, acts: &Array2<f64>) -> Sums {
    let mut sums = Sums::new(x.ncols());
    let centre = x.mean_axis(ndarray::Axis(0)).unwrap();
    for ((x, y), a) in x.rows().into_iter().zip(x_hat.rows()).zip(acts.rows()) {
        sums.push_centred(
            x.as_slice().unwrap(),
            y.as_slice().unwrap(),
            a.iter().filter(|v| **v != 0.0).count() as u64,
            centre.as_slice().unwrap(),
        );
    }
    sums
}

#[test]
fn the_definitions_give_the_published_values() {
    let text = std::fs::read_to_string(folder().join("metrics.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let case = Case::open("metrics_inputs");
    let triples = expected["triples"].as_array().unwrap();
    assert_eq!(triples.len(), 6);
    for (i, triple) in triples.iter().enumerate() {
        let matrix = |name: &str| case.matrix(&format!("{i}.{name}"));
        let sums = sums(&matrix("x"), &matrix("x_hat"), &matrix("acts"));
        let (dictionary, truth) = (matrix("dictionary"), matrix("ground_truth"));
        let matching = Matching::new(&dictionary, &truth);
        let listed = triple["values"]["mcc_matching"].as_array().unwrap().iter();
        let listed: Vec<_> =
            listed.map(|p| (p[0].as_u64().unwrap() as usize, p[1].as_u64().unwrap() as usize)).collect();
        assert_eq!(matching.pairs, listed, "triple {i}");
        let acts = matrix("acts");
        let fired: Vec<u64> =
            acts.columns().into_iter().map(|c| c.iter().filter(|v| **v != 0.0).count() as u64).collect();
        let dead = fired.iter().filter(|&&count| count == 0).count() as f64 / fired.len() as f64;
        let usage = Usage::new(fired, acts.nrows() as u64).unwrap();
        let densities = triple["values"]["log10_feature_density"].as_array().unwrap();
        for (ours, theirs) in usage.log10_densities().into_iter().zip(densities) {
            TIGHT.check(&format!("triple {i} density"), ours, theirs.as_f64().unwrap());
        }
        let pairs = [
            ("mse_mean_over_elements", sums.mse_per_element()),
            ("ev_per_token", sums.explained_variance_per_row()),
            ("ev_variance", sums.explained_variance_centred()),
            ("fvu_batch", 1.0 - sums.explained_variance()),
            ("nmse", 1.0 - sums.explained_power()),
            ("mcc", matching.mcc()),
            ("dead_fraction", dead),
            ("l0", sums.l0()),
            ("mse_sum_over_d", sums.mse()),
            ("ev_global", sums.explained_variance()),
            ("gamma", sums.gamma()),
            ("cosine", sums.mean_cosine()),
            ("l2_ratio", sums.mean_norm_ratio()),
            ("mmcs_dictionary_to_truth", mmcs(&dictionary, &truth).unwrap()),
            ("mmcs_truth_to_dictionary", mmcs(&truth, &dictionary).unwrap()),
        ];
        for (name, ours) in pairs {
            TIGHT.check(&format!("triple {i} {name}"), ours, triple["values"][name].as_f64().unwrap());
        }
    }
}

#[test]
fn blocks_merge_and_documents_resample() {
    let mut stream = RngStream::new(3, 0);
    let sae = Sae::<f64>::new(TopK::new(3), Size { d_model: 5, n_latents: 12 }, &mut stream).unwrap();
    let x = Array2::from_shape_fn((60, 5), |_| stream.normal());
    let documents: Vec<u32> = (0..60).map(|i| i / 10).collect();
    let mut whole = Evaluation::of(sae.dictionary());
    whole.push_documents(sae.dictionary(), &x, &documents).unwrap();
    let mut parts = Evaluation::of(sae.dictionary());
    for start in (0..60).step_by(7) {
        let end = (start + 7).min(60);
        let mut part = Evaluation::of(sae.dictionary());
        let rows = x.slice(ndarray::s![start..end, ..]);
        part.push_documents(sae.dictionary(), &rows, &documents[start..end]).unwrap();
        parts.merge(&part).unwrap();
    }
    assert_eq!((whole.sums.rows, whole.documents.len(), &whole.fired), (60, 6, &parts.fired));
    assert!((whole.sums.gamma() - parts.sums.gamma()).abs() < 1e-12);
    let measured = whole.measurements();
    assert_eq!(measured.len(), 11);
    assert!(measured.iter().take(9).all(|m| m.standard_error.is_some() && m.n == 6));
    // A bootstrap of sums keeps the number of documents; its mean is near the value.
    let resampled: Vec<f64> = (0..400).map(|_| whole.documents.resample(&mut stream).l0()).collect();
    assert!((resampled.iter().sum::<f64>() / 400.0 - whole.sums.l0()).abs() < 0.1);
    // For a mean over documents of equal size the jackknife is the classical standard error.
    let per_document: Vec<f64> = whole.documents.iter().map(|(_, s)| s.mse()).collect();
    let mean = per_document.iter().sum::<f64>() / 6.0;
    let classical = (per_document.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 5.0 / 6.0).sqrt();
    assert!((whole.documents.jackknife(Sums::mse).unwrap() / classical - 1.0).abs() < 1e-10);
    assert!(DocumentSums::default().jackknife(Sums::mse).is_none());
}

#[test]
fn a_dictionary_stands_above_its_null_and_chance_does_not() {
    let mut stream = RngStream::new(5, 0);
    let truth = Array2::from_shape_fn((8, 12), |_| stream.normal());
    let found = Matching::new(&truth, &truth).with_null(1);
    assert!(found.iter().all(|m| m.measured.value > 0.999 && m.null.value < 0.95), "{found:?}");
    assert!(found[0].to_string().contains("null (random directions)"));
    let random = Array2::from_shape_fn((8, 12), |_| stream.normal());
    let chance = Matching::new(&random, &truth).with_null(2);
    assert!((chance[2].measured.value - chance[2].null.value).abs() < 0.15);
    for geometry in decoder_geometry_with_null(&truth, &truth, 3) {
        assert!(geometry.measured.value.is_finite() && geometry.null.value.is_finite());
    }
    // Reconstructions: an untrained tied dictionary explains something, its dealt-out decoder nothing.
    let sae = Sae::<f64>::new(TopK::new(4), Size { d_model: 6, n_latents: 24 }, &mut stream).unwrap();
    let x = Array2::from_shape_fn((200, 6), |_| stream.normal());
    let (mut ours, mut null) = (Evaluation::of(sae.dictionary()), Evaluation::of(sae.dictionary()));
    ours.push(sae.dictionary(), &x).unwrap();
    null.push(&sae.dictionary().null(4), &x).unwrap();
    let cosine = ours.with_null(&null).into_iter().find(|m| m.measured.quantity.name == "cosine").unwrap();
    assert!(cosine.measured.value > cosine.null.value + 0.3, "{cosine}");
    // Firings of equally likely latents are as uneven as chance; those of a few favourites are more so.
    let usage = ours.usage().unwrap().with_null(5).unwrap();
    assert!((usage[0].measured.value - usage[0].null.value).abs() < 0.1, "{}", usage[0]);
    let skewed = Usage::new((1..=24).map(|i| 200 / (i * i)).collect(), 200).unwrap().with_null(5).unwrap();
    assert!(skewed[0].measured.value > skewed[0].null.value + 0.3, "{}", skewed[0]);
    assert!(skewed[2].measured.value < 0.5 * skewed[2].null.value, "{}", skewed[2]);
}

#[test]
fn five_explained_variances_disagree_on_a_constant_error() {
    let mut stream = RngStream::new(6, 0);
    let x = Array2::from_shape_fn((400, 5), |_| stream.normal());
    let x_hat = &x + 0.5;
    let codes = collimate_tensor::SparseRows::from_dense(&Array2::<f64>::ones((400, 3)));
    let size = Size { d_model: 5, n_latents: 3 };
    let object = collimate_measure::Fingerprint::of(b"shifted");
    let mut evaluation = Evaluation::sized(size, object).centred_at(vec![0.0; 5]).unwrap();
    evaluation.push_codes(&x, &codes, &x_hat, None).unwrap();
    let value = |part: &str| {
        let all = evaluation.measurements();
        all.iter().find(|m| m.quantity.name.contains(part)).unwrap_or_else(|| panic!("{part}")).value
    };
    assert!((value("global") - 0.75).abs() < 0.02);
    assert!((value("centred residual") - 1.0).abs() < 1e-12, "blind to it");
    assert!(value("per row") < value("global") - 0.05);
    assert!((value("FVU") - value("global")).abs() < 1e-12, "one batch");
    assert!((value("explained power") - value("per row")).abs() < 1e-12, "the centre is zero here");
    assert!(evaluation.push_codes(&x, &codes, &Array2::zeros((400, 4)), None).is_err());
}

#[test]
fn recognition_counts_in_any_blocks_and_its_null_is_chance() {
    let mut stream = RngStream::new(7, 0);
    let truth = Array2::from_shape_fn((500, 3), |_| stream.bernoulli(0.2));
    // Latent j fires on feature j nine times in ten, and now and then without it.
    let codes = Array2::from_shape_fn((500, 4), |(t, i)| {
        let on = i < 3 && truth[[t, i]];
        f64::from(u8::from(stream.bernoulli(if on { 0.9 } else { 0.02 })))
    });
    let of = |from: usize, to: usize| {
        let mut recognition = Recognition::new(4, 3);
        let part = collimate_tensor::SparseRows::from_dense(&codes.slice(ndarray::s![from..to, ..]));
        recognition.push(&part, &truth.slice(ndarray::s![from..to, ..]).to_owned()).unwrap();
        recognition
    };
    let whole = of(0, 500);
    let mut parts = of(0, 123);
    parts.merge(&of(123, 500)).unwrap();
    assert_eq!(whole.measurements()[2].value, parts.measurements()[2].value);
    for j in 0..3 {
        let (latent, precision, recall) = whole.best(j);
        assert!(latent == j && precision > 0.85 && recall > 0.8, "{latent} {precision} {recall}");
    }
    let f1 = &whole.with_null()[2];
    assert!(f1.measured.value > 0.85 && f1.null.value < 0.4, "{f1}");
}

#[test]
fn absorption_is_seen_where_it_was_planted() {
    use ndarray::array;
    // Latent 0 is the feature's own; latent 1 carries it too and takes its place on half of the rows.
    let decoder = array![[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
    let probe = array![2.0, 0.0, 0.0];
    let codes = array![[1.0, 0.0, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.5]];
    let codes = collimate_tensor::SparseRows::from_dense(&codes);
    let mut absorption = Absorption::new(&decoder, &probe, &[0]).unwrap();
    absorption.push(&codes).unwrap();
    let measured = absorption.measurements();
    assert_eq!((measured[0].value, measured[1].value, measured[0].n), (0.5, 0.5, 4));
    assert!(Absorption::new(&decoder, &array![0.0, 0.0, 0.0], &[0]).is_err());
    assert!(Absorption::new(&decoder, &probe, &[3]).is_err());
    let with_null = Absorption::with_null(&decoder, &probe, &[0], &codes, 1).unwrap();
    assert_eq!(with_null[0].measured.value, 0.5);
}

#[test]
fn a_null_keeps_the_codes_and_loses_their_meaning() {
    let mut stream = RngStream::new(8, 0);
    let size = Size { d_model: 6, n_latents: 24 };
    let x = Array2::from_shape_simple_fn((50, 6), || stream.normal());
    for variant in [
        Variant::from(TopK::new(3)),
        Gated::paper().into(),
        AbsTopK::new(3).into(),
        MatchingPursuit::new(3).into(),
        Crosscoder::l1(2).into(),
    ] {
        let sae = Sae::<f64>::new(variant, size, &mut stream).unwrap();
        let dictionary = sae.dictionary();
        let null = dictionary.null(1);
        assert_eq!(null.encode(&x).unwrap(), dictionary.encode(&x).unwrap(), "{variant}");
        // Codes of a tied start point along the rows.
        let along = |of: &Dictionary<f64>| (of.reconstruct(&x).unwrap() * &x).sum();
        assert!(
            along(dictionary) > 2.0 * along(&null).abs(),
            "{variant}: {} {}",
            along(dictionary),
            along(&null)
        );
    }
}

#[test]
fn shares_of_nothing_are_undefined() {
    use collimate_sae::Sums;
    // Rows that are all equal, of a value whose sums round, and a centre in single precision.
    for (row, copies) in [([0.1_f32, -3.3, 7.7], 500), ([1e6, 1e-3, 0.3], 4099), ([0.0; 3], 10)] {
        let row = row.map(f64::from);
        let centre = row.map(|v| f64::from((v * (1.0 + 1e-8)) as f32));
        let mut sums = Sums::new(3);
        for _ in 0..copies {
            sums.push_centred(&row, &[0.5, 0.25, 1.0], 1, &centre);
        }
        assert!(sums.explained_variance().is_nan(), "{}", sums.explained_variance());
        assert!(sums.explained_variance_centred().is_nan(), "{}", sums.explained_variance_centred());
        assert!(sums.explained_variance_per_row().is_nan(), "{}", sums.explained_variance_per_row());
    }
    // A dictionary whose reconstructions are zero has no best rescaling.
    let mut sums = Sums::new(2);
    sums.push(&[1.0, 2.0], &[0.0, 0.0], 0);
    sums.push(&[-1.0, 2.0], &[0.0, 0.0], 0);
    assert!(sums.gamma().is_nan() && sums.explained_variance() < 0.0);
    // A small variance beside a large mean is a variance.
    let mut sums = Sums::new(1);
    (0..1000).for_each(|i| sums.push(&[1e4 + f64::from(i % 2)], &[1e4 + 0.5], 1));
    assert!(sums.explained_variance().abs() < 1e-5, "{}", sums.explained_variance());
}

#[test]
fn directions_of_different_widths_are_an_error_with_both() {
    let error = mmcs(&Array2::zeros((2, 3)), &Array2::zeros((4, 5))).unwrap_err();
    assert_eq!((error.expected, error.given), (3, 5));
}
