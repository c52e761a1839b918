//! Metric values computed elsewhere, and the ways sums may be split.

use crate::cases::{Case, TIGHT, folder};
use collimate_sae::{DocumentSums, Evaluation, Sae, Size, Sums, TopK, mmcs};
use collimate_stream::Stream;
use ndarray::Array2;

fn sums(x: &Array2<f64>, x_hat: &Array2<f64>, acts: &Array2<f64>) -> Sums {
    let mut sums = Sums::new(x.ncols());
    for ((x, y), a) in x.rows().into_iter().zip(x_hat.rows()).zip(acts.rows()) {
        sums.push(
            x.as_slice().unwrap(),
            y.as_slice().unwrap(),
            a.iter().filter(|v| **v != 0.0).count() as u64,
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
        let pairs = [
            ("l0", sums.l0()),
            ("mse_sum_over_d", sums.mse()),
            ("ev_global", sums.explained_variance()),
            ("gamma", sums.gamma()),
            ("cosine", sums.mean_cosine()),
            ("l2_ratio", sums.mean_norm_ratio()),
            ("mmcs_dictionary_to_truth", mmcs(&dictionary, &truth)),
            ("mmcs_truth_to_dictionary", mmcs(&truth, &dictionary)),
        ];
        for (name, ours) in pairs {
            TIGHT.check(&format!("triple {i} {name}"), ours, triple["values"][name].as_f64().unwrap());
        }
    }
}

#[test]
fn blocks_merge_and_documents_resample() {
    let mut stream = Stream::new(3, 0);
    let sae = Sae::<f64>::new(TopK::new(3), Size { d_model: 5, n_latents: 12 }, &mut stream).unwrap();
    let x = Array2::from_shape_fn((60, 5), |_| stream.normal());
    let documents: Vec<u32> = (0..60).map(|i| i / 10).collect();
    let mut whole = Evaluation::of(&sae);
    whole.push_documents(&sae, &x, &documents).unwrap();
    let mut parts = Evaluation::of(&sae);
    for start in (0..60).step_by(7) {
        let end = (start + 7).min(60);
        let mut part = Evaluation::of(&sae);
        let rows = x.slice(ndarray::s![start..end, ..]);
        part.push_documents(&sae, &rows, &documents[start..end]).unwrap();
        parts.merge(&part).unwrap();
    }
    assert_eq!((whole.sums.rows, whole.documents.len(), &whole.fired), (60, 6, &parts.fired));
    assert!((whole.sums.gamma() - parts.sums.gamma()).abs() < 1e-12);
    let measured = whole.measurements();
    assert_eq!(measured.len(), 7);
    assert!(measured.iter().take(6).all(|m| m.standard_error.is_some() && m.n == 6));
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
