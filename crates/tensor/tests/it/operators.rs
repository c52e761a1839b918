//! Operators against the node tests of ONNX: see `tests/conformance/README.md`.

use collimate_tensor::files::Npz;
use collimate_tensor::{
    Scalar, gelu_erf, gelu_tanh, layer_norm_into, log_softmax_in_place, rms_norm_into, silu, softmax_in_place,
};
use ndarray::{Array1, ArrayD, ArrayViewMut1, Axis};
use serde_json::Value;

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(path("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    manifest["cases"].as_array().unwrap().clone()
}

fn path(file: &str) -> String {
    format!("{}/tests/conformance/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn narrow<F: Scalar>(x: ArrayD<f64>) -> ArrayD<F> {
    x.mapv(F::from_f64)
}

/// Returns an axis counted from the front.
fn axis(attrs: &Value, rank: usize) -> usize {
    let given = attrs["axis"].as_i64().unwrap_or(-1);
    (if given < 0 { given + rank as i64 } else { given }) as usize
}

/// Runs a row function over the lanes of an axis.
fn over_lanes<F: Scalar>(mut x: ArrayD<F>, axis: usize, row: impl Fn(&mut [F])) -> ArrayD<F> {
    x.lanes_mut(Axis(axis)).into_iter().for_each(|mut lane: ArrayViewMut1<F>| {
        let mut copy = lane.to_vec();
        row(&mut copy);
        lane.assign(&Array1::from(copy));
    });
    x
}

/// Runs a norm over all axes from the given one on, which are flattened into one row.
fn over_rest<F: Scalar>(x: ArrayD<F>, axis: usize, row: impl Fn(&[F], &mut [F])) -> ArrayD<F> {
    let shape = x.shape().to_vec();
    let n: usize = shape[axis..].iter().product();
    let given = x.into_raw_vec_and_offset().0;
    let mut out = vec![F::zero(); given.len()];
    given.chunks(n).zip(out.chunks_mut(n)).for_each(|(x, out)| row(x, out));
    ArrayD::from_shape_vec(shape, out).unwrap()
}

fn run<F: Scalar>(case: &Value, arrays: &Npz) -> (ArrayD<F>, ArrayD<f64>) {
    let (attrs, op) = (&case["attrs"], case["op"].as_str().unwrap());
    let names = |upper: &str, lower: &str| {
        if op.ends_with("Normalization") { upper.to_owned() } else { lower.to_owned() }
    };
    let read = |name: &str| arrays.read(name).unwrap().to_f64();
    let x = narrow::<F>(read(&names("in.X", "in.x")));
    let rank = x.ndim();
    let epsilon = F::from_f64(attrs["epsilon"].as_f64().unwrap_or(1e-5));
    let weights = |name: &str| narrow::<F>(read(name)).into_raw_vec_and_offset().0;
    let out = match op {
        "Softmax" => over_lanes(x, axis(attrs, rank), softmax_in_place),
        "LogSoftmax" => over_lanes(x, axis(attrs, rank), log_softmax_in_place),
        "Gelu" if attrs["approximate"] == "tanh" => over_lanes(x, rank - 1, gelu_tanh),
        "Gelu" => over_lanes(x, rank - 1, gelu_erf),
        "Swish" => {
            assert_eq!(attrs["alpha"], 1.0);
            over_lanes(x, rank - 1, silu)
        }
        "LayerNormalization" => {
            let (gain, bias) = (weights("in.W"), weights("in.B"));
            over_rest(x, axis(attrs, rank), |x, out| layer_norm_into(x, &gain, &bias, epsilon, out))
        }
        "RMSNormalization" => {
            let gain = weights("in.W");
            over_rest(x, axis(attrs, rank), |x, out| rms_norm_into(x, &gain, epsilon, out))
        }
        other => panic!("{other}"),
    };
    (out, read(&names("out.Y", "out.y")))
}

#[test]
fn onnx_operators() {
    let cases = cases();
    let count = |op: &str| cases.iter().filter(|case| case["op"] == op).count();
    let counts =
        ["LayerNormalization", "RMSNormalization", "Softmax", "LogSoftmax", "Gelu", "Swish"].map(count);
    assert_eq!(counts, [19, 19, 7, 7, 4, 1]);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let arrays = Npz::open(path(&format!("{name}.npz"))).unwrap();
        let near = |given: ArrayD<f64>, expected: &ArrayD<f64>| {
            assert_eq!(given.shape(), expected.shape(), "{name}");
            for (a, b) in given.iter().zip(expected) {
                // The suite was computed in f32 and allows 1e-3.
                assert!((a - b).abs() <= 2e-6 * (1.0 + b.abs()), "{name}: {a} against {b}");
            }
        };
        let (wide, expected) = run::<f64>(case, &arrays);
        near(wide, &expected);
        let (narrow, expected) = run::<f32>(case, &arrays);
        near(narrow.mapv(f64::from), &expected);
    }
}

/// Checks the other outputs of LayerNormalization through the first: Y = (X − mean) · inverse deviation · W + B.
#[test]
fn onnx_means_and_deviations() {
    for case in cases().iter().filter(|case| case["op"] == "LayerNormalization") {
        let name = case["name"].as_str().unwrap();
        let arrays = Npz::open(path(&format!("{name}.npz"))).unwrap();
        let read = |key: &str| arrays.read(key).unwrap().to_f64();
        let (x, gain, bias) = (read("in.X"), read("in.W"), read("in.B"));
        let by_parts = (&x - &read("out.Mean")) * &read("out.InvStdDev") * &gain + &bias;
        let (ours, _) = run::<f64>(case, &arrays);
        assert!((by_parts - ours).iter().all(|x| x.abs() < 1e-5), "{name}");
    }
}
