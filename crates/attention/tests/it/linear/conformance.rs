//! Outputs, states and gradients of other libraries: see `tests/conformance/README.md`.

use collimate_attention::linear::{
    Denominator, FeatureMap, Form, LogDecay, Pass, Setting, delta_net, gated_delta_net, gla,
    linear_attention, simple_gla,
};
use collimate_attention::{HeadMap, Scale};
use collimate_tensor::files::Npz;
use ndarray::{Array2, Array3, ArrayD, Axis, Ix2, Ix3};
use serde_json::Value;

const FORMS: [Form; 4] =
    [Form::Recurrent, Form::Chunked { size: 1 }, Form::Chunked { size: 5 }, Form::Parallel];

/// The arrays of one case, item by item of the batch.
struct Arrays(Npz);

impl Arrays {
    fn open(name: &str) -> Self {
        Self(
            Npz::open(format!("{}/tests/conformance/linear/{name}.npz", env!("CARGO_MANIFEST_DIR"))).unwrap(),
        )
    }

    fn has(&self, name: &str) -> bool {
        self.0.names().any(|n| n == name)
    }

    fn get(&self, name: &str, batch: usize) -> ArrayD<f64> {
        self.0.read(name).unwrap().to_f64().index_axis_move(Axis(0), batch)
    }

    fn three(&self, name: &str, batch: usize) -> Array3<f64> {
        self.get(name, batch).into_dimensionality::<Ix3>().unwrap()
    }

    fn two(&self, name: &str, batch: usize) -> Array2<f64> {
        self.get(name, batch).into_dimensionality::<Ix2>().unwrap()
    }

    fn batches(&self, name: &str) -> usize {
        self.0.read(name).unwrap().to_f64().shape()[0]
    }
}

fn manifest(start: &str) -> Vec<Value> {
    let path = format!("{}/tests/conformance/linear/manifest.json", env!("CARGO_MANIFEST_DIR"));
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = manifest["cases"].as_array().unwrap();
    cases.iter().filter(|case| case["name"].as_str().unwrap().starts_with(start)).cloned().collect()
}

#[track_caller]
fn near(given: &ArrayD<f64>, expected: &ArrayD<f64>, tolerance: f64, what: &str) {
    assert_eq!(given.shape(), expected.shape(), "{what}");
    for (a, b) in given.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}: {a} against {b}");
    }
}

#[test]
fn flash_linear_attention_outputs_and_gradients() {
    let cases = manifest("fla_");
    assert_eq!(cases.len(), 5);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let arrays = Arrays::open(name);
        // Most of its functions have the heads after the positions.
        let heads_last = !name.contains("delta");
        let read = |key: &str, batch| {
            let x = arrays.three(key, batch);
            if heads_last { x.permuted_axes([1, 0, 2]) } else { x }
        };
        for batch in 0..arrays.batches("in.q") {
            let (q, k, v) = (read("in.q", batch), read("in.k", batch), read("in.v", batch));
            for form in FORMS {
                let setting = Setting { scale: Scale::InverseSqrtDim, heads: HeadMap::MultiHead, form };
                let pass: Pass<f64> = if name.contains("delta") {
                    delta_net(&setting, &q, &k, &v, &arrays.two("in.beta", batch), None)
                } else if name.contains("simple_gla") {
                    simple_gla(&setting, &q, &k, &v, &arrays.two("in.g", batch).t(), None)
                } else if name.contains("gla") {
                    gla(&setting, &q, &k, &v, &read("in.gk", batch), None)
                } else {
                    linear_attention(&setting, FeatureMap::Identity, Denominator::One, &q, &k, &v, None)
                }
                .unwrap();
                // They were computed in f32.
                let same = |given: &Array3<f64>, key: &str| {
                    near(
                        &given.clone().into_dyn(),
                        &read(key, batch).into_dyn(),
                        3e-6,
                        &format!("{name}, {key}"),
                    );
                };
                same(&pass.out, "out.0");
                if arrays.has("out.1") {
                    near(&pass.state.clone().into_dyn(), &arrays.get("out.1", batch), 3e-6, name);
                }
                let g = pass.backward(&read("dout.0", batch), None).unwrap();
                same(&g.q, "grad.q");
                same(&g.k, "grad.k");
                same(&g.v, "grad.v");
                if arrays.has("grad.beta") {
                    near(&g.beta.unwrap().into_dyn(), &arrays.get("grad.beta", batch), 3e-6, name);
                } else if arrays.has("grad.g") {
                    let g = g.log_decay.unwrap().index_axis_move(Axis(2), 0).reversed_axes();
                    near(&g.into_dyn(), &arrays.get("grad.g", batch), 3e-6, name);
                } else if arrays.has("grad.gk") {
                    same(&g.log_decay.unwrap(), "grad.gk");
                }
            }
        }
    }
}

/// Turns `[t, h·d]` into `[h, t, d]`.
fn heads(x: Array2<f64>, heads: usize) -> Array3<f64> {
    let (t, width) = x.dim();
    x.into_shape_with_order((t, heads, width / heads)).unwrap().permuted_axes([1, 0, 2])
}

#[test]
fn onnx_linear_attention() {
    let cases = manifest("test_linear_attention_");
    assert_eq!(cases.len(), 14);
    for case in &cases {
        let (name, attrs) = (case["name"].as_str().unwrap(), &case["attrs"]);
        let arrays = Arrays::open(name);
        let count = |key: &str| attrs[key].as_u64().unwrap() as usize;
        let (h, g) = (count("q_num_heads"), count("kv_num_heads"));
        let rule = attrs["update_rule"].as_str().unwrap_or("gated_delta");
        let tolerance = if case["dtype"] == "float16" { 1e-3 } else { 2e-6 };
        for (batch, form) in (0..arrays.batches("in.query")).flat_map(|batch| FORMS.map(|form| (batch, form)))
        {
            let read = |key: &str, count| heads(arrays.two(key, batch), count);
            let (q, k, v) = (read("in.query", h), read("in.key", g), read("in.value", g));
            let scale = attrs["scale"].as_f64().map_or(Scale::InverseSqrtDim, Scale::Fixed);
            let setting = Setting { scale, heads: HeadMap::grouped_by_floor(h, g), form };
            let initial = arrays.has("in.past_state").then(|| arrays.three("in.past_state", batch));
            let initial = initial.as_deref();
            // A single column of beta serves all heads.
            let beta = || {
                let beta = arrays.two("in.beta", batch).reversed_axes();
                beta.broadcast((g, beta.ncols())).unwrap().to_owned()
            };
            let per_channel = || (arrays.two("in.decay", batch).ncols() > g).then(|| read("in.decay", g));
            let per_head = || arrays.two("in.decay", batch).reversed_axes();
            let pass: Pass<f64> = match rule {
                "linear" => {
                    linear_attention(&setting, FeatureMap::Identity, Denominator::One, &q, &k, &v, initial)
                }
                "gated" => match per_channel() {
                    Some(decay) => gla(&setting, &q, &k, &v, &decay, initial),
                    None => simple_gla(&setting, &q, &k, &v, &per_head(), initial),
                },
                "delta" => delta_net(&setting, &q, &k, &v, &beta(), initial),
                _ => match per_channel() {
                    Some(decay) => {
                        gated_delta_net(&setting, &q, &k, &v, LogDecay::PerChannel(&decay), &beta(), initial)
                    }
                    None => gated_delta_net(
                        &setting,
                        &q,
                        &k,
                        &v,
                        LogDecay::PerToken(&per_head()),
                        &beta(),
                        initial,
                    ),
                },
            }
            .unwrap();
            near(&pass.out.into_dyn(), &read("out.output", h).into_dyn(), tolerance, name);
            near(&pass.state.into_dyn(), &arrays.get("out.present_state", batch), tolerance, name);
        }
    }
}
