//! Temporal dictionaries, compared with plain loops and with automatic differentiation.

use crate::arranged::{case, change, close, copy, normal, refused, tensor};
use collimate_sae::formats::read_any;
use collimate_sae::{
    Affine, AnyDictionary, ContextLayer, NovelCodes, TemporalDictionary, TemporalForward, TemporalParts,
};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, FileData};
use ndarray::{Array1, Array2, Array3, Axis, s};
use std::fs;

/// Draws the parameters of a dictionary.
fn random(
    stream: &mut RngStream,
    [d, n, heads, bottleneck, layers]: [usize; 5],
    novel: NovelCodes,
) -> TemporalParts<f64> {
    let mut affine = |output: usize| Affine {
        weight: normal(stream, (output, n)).mapv(|w| w / (n as f64).sqrt()),
        bias: normal(stream, output),
    };
    let context_layers = (0..layers).map(|_| ContextLayer {
        query: affine(n / bottleneck),
        key: affine(n / bottleneck),
        value: affine(n),
        output: affine(n),
    });
    let context_layers = context_layers.collect();
    TemporalParts {
        w_enc: normal(stream, (n, d)),
        w_dec: normal(stream, (n, d)),
        b_dec: normal(stream, d),
        context_layers,
        heads,
        novel,
        input_scale: 0.3,
        subtracts_bias: true,
    }
}

/// Computes one sequence with plain loops, position by position: novel codes, predicted codes and reconstruction.
fn plain(parts: &TemporalParts<f64>, x: &Array2<f64>) -> [Array2<f64>; 3] {
    let (positions, d) = x.dim();
    let n = parts.w_dec.nrows();
    let lambda = 0.25 / d as f64;
    let bias = |j: usize| if parts.subtracts_bias { parts.b_dec[j] } else { 0.0 };
    let mut left = Array2::from_shape_fn((positions, d), |(t, j)| x[[t, j]] * parts.input_scale - bias(j));
    let encode = |left: &Array2<f64>| {
        Array2::from_shape_fn((positions, n), |(t, i)| {
            (0..d).map(|j| lambda * left[[t, j]] * parts.w_enc[[i, j]]).sum::<f64>().max(0.0)
        })
    };
    let map = |affine: &Affine<f64>, code: &[f64]| -> Vec<f64> {
        let rows = affine.weight.rows().into_iter().zip(&affine.bias);
        rows.map(|(row, b)| row.iter().zip(code).map(|(w, c)| w * c).sum::<f64>() + b).collect()
    };
    let mut predicted = Array2::<f64>::zeros((positions, n));
    for layer in &parts.context_layers {
        let z = encode(&left);
        let before = |t: usize| if t == 0 { vec![0.0; n] } else { z.row(t - 1).to_vec() };
        for t in 0..positions {
            let q = map(&layer.query, &z.row(t).to_vec());
            let (keys, values): (Vec<_>, Vec<_>) =
                (0..=t).map(|s| (map(&layer.key, &before(s)), map(&layer.value, &before(s)))).unzip();
            let (width, wide) = (q.len() / parts.heads, n / parts.heads);
            let mut mixed = vec![0.0; n];
            for head in 0..parts.heads {
                let part = head * width..(head + 1) * width;
                let score = |k: &Vec<f64>| {
                    let dot: f64 = q[part.clone()].iter().zip(&k[part.clone()]).map(|(a, b)| a * b).sum();
                    (dot / (width as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = keys.iter().map(score).collect();
                let total: f64 = scores.iter().sum();
                for i in head * wide..(head + 1) * wide {
                    mixed[i] = scores.iter().zip(&values).map(|(s, v)| s / total * v[i]).sum();
                }
            }
            let p: Vec<f64> = map(&layer.output, &mixed).into_iter().map(|v| v.max(0.0)).collect();
            let direction: Vec<f64> =
                (0..d).map(|j| (0..n).map(|i| p[i] * parts.w_dec[[i, j]]).sum()).collect();
            let length = direction.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-6;
            let along: f64 = (0..d).map(|j| direction[j] * left[[t, j]]).sum();
            let alpha = along / (length * length);
            (0..d).for_each(|j| left[[t, j]] -= alpha * direction[j]);
            (0..n).for_each(|i| predicted[[t, i]] += alpha * p[i]);
        }
    }
    let mut novel = encode(&left);
    for mut row in novel.rows_mut() {
        let mut sorted = row.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let least = match parts.novel {
            NovelCodes::Relu => 0.0,
            NovelCodes::TopK(k) => sorted[k - 1],
            NovelCodes::None => f64::INFINITY,
        };
        row.mapv_inplace(|code| if code >= least { code } else { 0.0 });
    }
    let recon = Array2::from_shape_fn((positions, d), |(t, j)| {
        let sum: f64 = (0..n).map(|i| (novel[[t, i]] + predicted[[t, i]]) * parts.w_dec[[i, j]]).sum();
        (sum + parts.b_dec[j]) / parts.input_scale
    });
    [novel, predicted, recon]
}

#[test]
fn heads_bottlenecks_and_layers_of_any_number_are_those_of_plain_loops() {
    let mut stream = RngStream::new(5, 0);
    let mut negative = 0;
    for (shape, novel, subtracts_bias) in [
        ([3, 12, 1, 1, 1], NovelCodes::Relu, true),
        ([3, 12, 3, 2, 2], NovelCodes::TopK(4), true),
        ([5, 24, 2, 12, 3], NovelCodes::TopK(1), false),
        ([4, 8, 4, 2, 1], NovelCodes::None, true),
        ([4, 8, 2, 1, 0], NovelCodes::Relu, true),
    ] {
        let parts = TemporalParts { subtracts_bias, ..random(&mut stream, shape, novel) };
        let dictionary = TemporalDictionary::new(parts.clone()).unwrap();
        let x: Array3<f64> = normal(&mut stream, (3, 7, shape[0]));
        let TemporalForward { codes, predicted, reconstruction } = dictionary.forward(&x).unwrap();
        let codes = codes.to_dense();
        for sequence in 0..3 {
            let [novel, before, recon] = plain(&parts, &x.index_axis(Axis(0), sequence).to_owned());
            // Sums of at most 24 products of about one, over three layers.
            let tolerance = [1e-11, 1e-11];
            let rows = codes.slice(s![sequence * 7..(sequence + 1) * 7, ..]).to_owned();
            close("codes", &rows, &novel, tolerance);
            close("predicted", &predicted.index_axis(Axis(0), sequence).to_owned(), &before, tolerance);
            close("recon", &reconstruction.index_axis(Axis(0), sequence).to_owned(), &recon, tolerance);
        }
        negative += predicted.iter().filter(|&&code| code < 0.0).count();
        // A later position changes nothing before it.
        let mut changed = x.clone();
        changed.slice_mut(s![.., 5.., ..]).fill(9.0);
        let after = dictionary.forward(&changed).unwrap();
        let early = s![.., ..5, ..];
        close(
            "the past",
            &after.reconstruction.slice(early).to_owned(),
            &reconstruction.slice(early).to_owned(),
            [1e-12, 1e-12],
        );
    }
    assert!(negative > 0, "predicted codes may be negative");
}

#[test]
fn the_reconstruction_is_that_of_automatic_differentiation() {
    let path = case("training").join("temporal_predictive.safetensors");
    let matrix = |name: &str| -> Array2<f64> { tensor(&path, name).into_dimensionality().unwrap() };
    let vector = |name: &str| -> Array1<f64> { tensor(&path, name).into_dimensionality().unwrap() };
    let affine = |name: &str| Affine {
        weight: matrix(&format!("w.attn_layers.0.{name}.weight")),
        bias: vector(&format!("w.attn_layers.0.{name}.bias")),
    };
    let context = ContextLayer {
        query: affine("q_target"),
        key: affine("k_ctx"),
        value: affine("v_ctx"),
        output: affine("c_proj"),
    };
    let dictionary = TemporalDictionary::new(TemporalParts {
        w_enc: matrix("w.W_dec"),
        w_dec: matrix("w.W_dec"),
        b_dec: vector("w.b_dec"),
        context_layers: vec![context],
        heads: 2,
        novel: NovelCodes::TopK(4),
        input_scale: 1.0,
        subtracts_bias: true,
    });
    let dictionary = dictionary.unwrap();
    let x: Array3<f64> = tensor(&path, "in.x").into_dimensionality().unwrap();
    let out = dictionary.forward(&x).unwrap();
    let tolerance = [1e-10, 1e-12];
    let codes = out.codes.to_dense().into_shape_with_order((2, 5, 16)).unwrap();
    close("codes", &codes.into_dyn(), &tensor(&path, "out.feature_acts"), tolerance);
    close("predicted", &out.predicted.into_dyn(), &tensor(&path, "out.predicted"), tolerance);
    close("recon", &out.reconstruction.into_dyn(), &tensor(&path, "out.recon"), tolerance);
}

#[test]
fn settings_of_temporal_files_are_used_or_refused() {
    let own = case("temporal_topk_tied").join("layer_4/temporal");
    let with = |from: &str, to: &str| {
        let files = copy(&own);
        let config = files.path().join("conf.yaml");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from));
        fs::write(&config, text.replace(from, to)).unwrap();
        files
    };
    for (from, to, words) in [
        ("sae_diff_type: topk", "sae_diff_type: batchtopk", &["batchtopk", "'nullify'"][..]),
        ("kval_topk: 3", "kval_topk: null", &["kval_topk"]),
        ("kval_topk: 3", "kval_topk: 33", &["kval_topk must be"]),
        ("exp_factor: 4.0", "exp_factor: 8.0", &["'D'", "[64, 8]", "[32, 8]"]),
        ("n_heads: 2", "n_heads: 3", &["bottleneck_factor × n_heads", "4 × 3"]),
        ("bottleneck_factor: 4", "bottleneck_factor: 8", &["attn_layers.0.q_target.weight", "[4, 32]"]),
        ("n_attn_layers: 1", "n_attn_layers: 2", &["attn_layers.1.q_target.weight", "missing"]),
        ("n_attn_layers: 1", "n_attn_layers: 0", &["attn_layers.0.", "not known"]),
        ("tied_weights: true", "tied_weights: false", &["'E' is missing"]),
        ("scaling_factor: 0.5", "scaling_factor: 0", &["input_scale"]),
    ] {
        refused(with(from, to).path(), words);
    }
    let files = copy(&own);
    fs::remove_file(files.path().join("conf.yaml")).unwrap();
    refused(files.path(), &["conf.yaml"]);
    refused(&files.path().join("latest_ckpt.safetensors"), &["conf.yaml"]);
    let parts = |path: &std::path::Path| match read_any::<f64>(path).unwrap().dictionary {
        AnyDictionary::Temporal(dictionary) => dictionary.parts().clone(),
        other => panic!("{}", other.name()),
    };
    assert_eq!(parts(with("kval_topk: 3", "kval_topk: 7").path()).novel, NovelCodes::TopK(7));
    assert_eq!(parts(with("sae_diff_type: topk", "sae_diff_type: relu").path()).novel, NovelCodes::Relu);
    assert_eq!(parts(with("sae_diff_type: topk", "sae_diff_type: nullify").path()).novel, NovelCodes::None);
    assert_eq!(parts(with("scaling_factor: 0.5", "scaling_factor: 1.5").path()).input_scale, 1.5);
    // One key of the configuration more, which is noted.
    let notes = read_any::<f32>(with("data:", "optimiser: adam\ndata:").path()).unwrap().notes.join(" ");
    assert!(notes.contains("optimiser"), "{notes}");
    // An encoder of its own, and the bias as a row.
    let files = with("tied_weights: true", "tied_weights: false");
    let encoder = normal(&mut RngStream::new(2, 0), (8, 32)).mapv(|v| f64::from(v as f32));
    change(&files.path().join("latest_ckpt.safetensors"), |tensors| {
        tensors.push(("E".into(), FileArray::from(encoder.clone().into_dyn())));
        let (_, bias) = tensors.iter_mut().find(|(name, _)| name == "b").unwrap();
        *bias = FileArray::new(vec![1, 8], FileData::F32(bias.to_f32().iter().copied().collect())).unwrap();
    });
    assert_eq!(parts(files.path()).w_enc, encoder.reversed_axes());
}

#[test]
fn settings_of_saelens_are_used_or_refused() {
    let with = |from: &str, to: &str| {
        let files = copy(&case("temporal_relu_untied_saelens"));
        let config = files.path().join("cfg.json");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&config, text.replace(from, to)).unwrap();
        files
    };
    for (from, to, words) in [
        ("constant_scalar_rescale", "layer_norm", &["layer_norm"][..]),
        ("\"reshape_activations\": \"none\"", "\"reshape_activations\": \"hook_z\"", &["hook_z"]),
        ("\"sae_diff_type\": \"relu\"", "\"sae_diff_type\": \"batchtopk\"", &["batchtopk"]),
        ("\"d_sae\": 32", "\"d_sae\": 64", &["'W_dec'", "[64, 8]"]),
        ("\"activation_normalization_factor\": 0.25", "\"other\": 1", &["activation_normalization_factor"]),
    ] {
        refused(with(from, to).path(), words);
    }
    let parts = |path: &std::path::Path| match read_any::<f64>(path).unwrap().dictionary {
        AnyDictionary::Temporal(dictionary) => dictionary.parts().clone(),
        other => panic!("{}", other.name()),
    };
    assert!(
        !parts(with("\"apply_b_dec_to_input\": true", "\"apply_b_dec_to_input\": false").path())
            .subtracts_bias
    );
    assert_eq!(parts(with("constant_scalar_rescale", "none").path()).input_scale, 1.0);
    assert_eq!(
        parts(with("\"sae_diff_type\": \"relu\"", "\"sae_diff_type\": \"topk\"").path()).novel,
        NovelCodes::Relu
    );
    let with_k = with(
        "\"sae_diff_type\": \"relu\", \"kval_topk\": null",
        "\"sae_diff_type\": \"topk\", \"kval_topk\": 5",
    );
    assert_eq!(parts(with_k.path()).novel, NovelCodes::TopK(5));
}
