//! Inputs and results of other libraries: see `tests/conformance/README.md`.

use collimate_attention::{
    Attention, HeadMap, Mask, Offset, RotaryLayout, RotaryTable, Scale, split_heads, split_heads_mut,
};
use collimate_tensor::files::Npz;
use ndarray::{Array2, Array3, ArrayD, Axis, Ix2, Ix3};
use serde_json::Value;

/// The arrays of one case.
pub(crate) struct Arrays(Npz);

impl Arrays {
    pub(crate) fn open(folder: &str, name: &str) -> Self {
        Self(Npz::open(path(folder, &format!("{name}.npz"))).unwrap())
    }

    pub(crate) fn get(&self, name: &str) -> ArrayD<f64> {
        self.0.read(name).unwrap().to_f64()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.names().any(|n| n == name)
    }
}

pub(crate) fn path(folder: &str, file: &str) -> String {
    format!("{}/tests/conformance/{folder}/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &str) -> Vec<Value> {
    cases(folder, "manifest.json")
}

/// Reads the cases in the list of a folder.
pub(crate) fn cases(folder: &str, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path(folder, file)).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    manifest["cases"].as_array().unwrap().clone()
}

/// Returns one item of a batch.
pub(crate) fn item(x: &ArrayD<f64>, batch: usize) -> ArrayD<f64> {
    x.index_axis(Axis(0), batch).to_owned()
}

/// Returns the largest difference beyond `atol + rtol·|expected|`, where NaN counts as infinite.
pub(crate) fn excess(given: &ArrayD<f64>, expected: &ArrayD<f64>, rtol: f64, atol: f64) -> f64 {
    assert_eq!(given.shape(), expected.shape());
    given.iter().zip(expected).fold(f64::NEG_INFINITY, |worst, (a, b)| {
        let over = (a - b).abs() - (atol + rtol * b.abs());
        if over.is_nan() { f64::INFINITY } else { worst.max(over) }
    })
}

fn attention(attrs: &Value, heads: HeadMap) -> Attention {
    let causal = attrs["is_causal"] == 1 || attrs["is_causal"] == true || attrs["causal"] == true;
    // PyTorch's and ONNX's flag count the first query as the first key.
    let mask = if causal { Mask::causal(Offset::zero()) } else { Mask::none() };
    let scale = attrs["scale"].as_f64().map_or(Scale::InverseSqrtDim, Scale::Fixed);
    Attention::scaled_dot_product().heads(heads).mask(mask).scale(scale)
}

#[test]
fn outputs_and_gradients_of_other_libraries() {
    let cases = manifest("gradients");
    assert_eq!(cases.len(), 8);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let arrays = Arrays::open("gradients", name);
        // fla has the heads after the positions and computes in f32.
        let fla = name.starts_with("fla");
        let read = |key: &str, batch| {
            let x = item(&arrays.get(key), batch).into_dimensionality::<Ix3>().unwrap();
            if fla { x.permuted_axes([1, 0, 2]) } else { x }
        };
        // x-transformers computes its softmax in f32 for all inputs.
        let tolerance = if name.starts_with("torch") { 1e-12 } else { 2e-6 };
        for batch in 0..arrays.get("in.q").shape()[0] {
            let (q, k, v) = (read("in.q", batch), read("in.k", batch), read("in.v", batch));
            let (h, g) = (q.dim().0, k.dim().0);
            let heads = if name == "xt_attend_gqa_interleaved" {
                HeadMap::grouped_by_modulo(h, g)
            } else {
                HeadMap::grouped_by_floor(h, g)
            };
            let mut attention = attention(&case["attrs"], heads);
            if fla {
                attention = attention.mask(Mask::causal(Offset::zero()));
            }
            let (out, saved) = attention.forward(&q, &k, &v).unwrap();
            let near = |given: &Array3<f64>, key| {
                let expected = read(key, batch);
                let over = excess(&given.clone().into_dyn(), &expected.into_dyn(), tolerance, tolerance);
                assert!(over <= 0.0, "{name}, batch {batch}, {key}: {over:e} too far");
            };
            near(&out, "out.0");
            let gradients = attention.backward(&saved, &read("dout.0", batch)).unwrap();
            near(&gradients.q, "grad.q");
            near(&gradients.k, "grad.k");
            near(&gradients.v, "grad.v");
        }
    }
}

/// Turns `[h, t, d]` or `[t, h·d]` into `[h, t, d]`.
pub(crate) fn with_heads(x: ArrayD<f64>, heads: Option<usize>) -> Array3<f64> {
    match heads {
        None => x.into_dimensionality::<Ix3>().unwrap(),
        Some(heads) => {
            let flat: Array2<f64> = x.into_dimensionality::<Ix2>().unwrap();
            split_heads(&flat, flat.ncols() / heads).unwrap().to_owned()
        }
    }
}

/// Inverts [`with_heads`].
pub(crate) fn without_heads(x: Array3<f64>, flat: bool) -> ArrayD<f64> {
    if !flat {
        return x.into_dyn();
    }
    let (heads, t, d) = x.dim();
    let mut y = Array2::zeros((t, heads * d));
    split_heads_mut(&mut y, d).unwrap().assign(&x);
    y.into_dyn()
}

#[test]
fn onnx_attention() {
    let cases = manifest("onnx");
    let cases: Vec<_> = cases.iter().filter(|case| case["op"] == "Attention").collect();
    assert_eq!(cases.len(), 22);
    for case in cases {
        let (name, attrs) = (case["name"].as_str().unwrap(), &case["attrs"]);
        let arrays = Arrays::open("onnx", name);
        let count = |key: &str| attrs[key].as_u64().map(|n| n as usize);
        // The errors of f32 results are far below the suite's own tolerance of 1e-3. f16 results are rounded to eleven bits.
        let rtol = if case["dtype"] == "float16" { 1e-3 } else { 3e-6 };
        for batch in 0..arrays.get("in.Q").shape()[0] {
            let read = |key: &str, heads| with_heads(item(&arrays.get(key), batch), heads);
            let (q, k, v) = (
                read("in.Q", count("q_num_heads")),
                read("in.K", count("kv_num_heads")),
                read("in.V", count("kv_num_heads")),
            );
            let attention = attention(attrs, HeadMap::grouped_by_floor(q.dim().0, k.dim().0));
            let (out, saved) = attention.forward(&q, &k, &v).unwrap();
            let out = without_heads(out, count("q_num_heads").is_some());
            let over = excess(&out, &item(&arrays.get("out.Y"), batch), rtol, 1e-7);
            assert!(over <= 0.0, "{name}, batch {batch}: {over:e} too far");
            if arrays.has("out.qk_matmul_output") {
                let expected = item(&arrays.get("out.qk_matmul_output"), batch);
                for head in 0..q.dim().0 {
                    let scores = saved.scores(head).unwrap().into_dyn();
                    assert!(excess(&scores, &item(&expected, head), rtol, 1e-7) <= 0.0, "{name}");
                }
            }
        }
    }
}

#[test]
fn onnx_rotary_embedding() {
    let cases = manifest("onnx");
    let cases: Vec<_> = cases.iter().filter(|case| case["op"] == "RotaryEmbedding").collect();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let (name, attrs) = (case["name"].as_str().unwrap(), &case["attrs"]);
        let arrays = Arrays::open("onnx", name);
        let layout =
            if attrs["interleaved"] == 1 { RotaryLayout::Interleaved } else { RotaryLayout::HalfSplit };
        for batch in 0..arrays.get("in.input").shape()[0] {
            // With position ids the caches are `[positions, w/2]` and rows are selected. Without, they are `[batch, t, w/2]`.
            let cache = |key: &str| {
                let cache = arrays.get(key);
                if !arrays.has("in.position_ids") {
                    return item(&cache, batch).into_dimensionality::<Ix2>().unwrap();
                }
                let ids = item(&arrays.get("in.position_ids"), batch);
                let rows: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
                cache.select(Axis(0), &rows).into_dimensionality::<Ix2>().unwrap()
            };
            let table =
                RotaryTable::from_cos_sin(layout, cache("in.cos_cache"), cache("in.sin_cache")).unwrap();
            let heads = attrs["num_heads"].as_u64().map(|n| n as usize);
            let mut x = with_heads(item(&arrays.get("in.input"), batch), heads);
            table.apply(&mut x).unwrap();
            let expected = item(&arrays.get("out.output"), batch);
            let over = excess(&without_heads(x, heads.is_some()), &expected, 1e-6, 1e-6);
            assert!(over <= 0.0, "{name}, batch {batch}: {over:e} too far");
        }
    }
}
