//! Outputs, gradients and conventions of other libraries: see `tests/conformance/README.md`.

use super::cases::plain;
use crate::conformance::{Arrays, cases, excess, item, path, with_heads, without_heads};
use collimate_attention::algebra::{
    Arguments, Buckets, Direction, Distance, Gain, LogitChange, MaskRule, Mixing, Normaliser, PairKeys,
    Pairing, Parameter, Parameters, PatternChange, Polarity, RowChange, Slopes, Ties, Variant, Window,
    alibi_slopes,
};
use collimate_attention::{HeadMap, Offset, Rotary, RotaryScaling, Scale, YarnAmplitude, YarnRamp};
use collimate_tensor::files::Npz;
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, Ix3, concatenate};
use serde_json::Value;

fn close(given: ArrayD<f64>, expected: &ArrayD<f64>, rtol: f64, atol: f64, what: &str) {
    let over = excess(&given, expected, rtol, atol);
    assert!(over <= 0.0, "{what}: {over:e} too far");
}

/// Returns the mask of one batch item with three axes, as long as the keys. Missing entries at the end are masked.
fn mask_of(mask: &ArrayD<f64>, batch: usize, keys: usize, masked: f64) -> Array3<f64> {
    let mut mask = mask.clone();
    if mask.ndim() == 4 {
        mask = item(&mask, if mask.shape()[0] == 1 { 0 } else { batch });
    }
    while mask.ndim() < 3 {
        mask = mask.insert_axis(Axis(0));
    }
    let mask = mask.into_dimensionality::<Ix3>().unwrap();
    let (h, t, given) = mask.dim();
    let full = if given == 1 { 1 } else { keys };
    Array3::from_shape_fn((h, t, full), |(h, t, s)| if s < given { mask[[h, t, s]] } else { masked })
}

/// Returns one batch item of an ONNX Attention case, as a variant with its arguments.
fn onnx_item(case: &Value, arrays: &Arrays, batch: usize) -> (Variant, Arguments<f64>) {
    let attrs = &case["attrs"];
    let count = |key: &str| attrs[key].as_u64().map(|n| n as usize);
    let read = |key: &str, heads| with_heads(item(&arrays.get(key), batch), heads);
    let q = read("in.Q", count("q_num_heads"));
    let (mut k, mut v) = (read("in.K", count("kv_num_heads")), read("in.V", count("kv_num_heads")));
    let (queries, mut past) = (q.dim().1, 0);
    if arrays.has("in.past_key") {
        let before = |key: &str| read(key, None);
        past = before("in.past_key").dim().1;
        k = concatenate(Axis(1), &[before("in.past_key").view(), k.view()]).unwrap();
        v = concatenate(Axis(1), &[before("in.past_value").view(), v.view()]).unwrap();
        close(
            without_heads(k.clone(), false),
            &item(&arrays.get("out.present_key"), batch),
            0.0,
            0.0,
            "present key",
        );
        close(
            without_heads(v.clone(), false),
            &item(&arrays.get("out.present_value"), batch),
            0.0,
            0.0,
            "present value",
        );
    }
    let keys = k.dim().1;
    let real = arrays.has("in.nonpad_kv_seqlen").then(|| arrays.get("in.nonpad_kv_seqlen")[[batch]] as usize);
    let offset = real.map_or(past as isize, |real| real as isize - queries as isize);
    let mut variant = Variant::scaled_dot_product(Offset::fixed(offset))
        .heads(HeadMap::grouped_by_floor(q.dim().0, k.dim().0))
        .scale(attrs["scale"].as_f64().map_or(Scale::InverseSqrtDim, Scale::Fixed));
    let mut arguments = Arguments::new(&q, &k, &v);
    if let Some(cap) = attrs["softcap"].as_f64().filter(|&cap| cap != 0.0) {
        variant = variant.logit(LogitChange::Softcap(cap));
    }
    if attrs["is_causal"] == 1 {
        variant = variant.mask(MaskRule::Causal);
    }
    let side = |key: &str| attrs[key].as_i64().unwrap_or(-1);
    let window = Window::from_signed(side("left_window_size"), side("right_window_size")).unwrap();
    variant = variant.mask(MaskRule::Window(window));
    if let Some(real) = real {
        variant = variant.mask(MaskRule::first_keys(real, keys));
    }
    if arrays.has("in.attn_mask") {
        let mask = arrays.get("in.attn_mask");
        if case["mask"] == "bool" {
            let pairs = mask_of(&mask, batch, keys, 0.0).mapv(|x| x != 0.0);
            variant = variant.mask(MaskRule::pairs(&pairs.into_dyn(), Polarity::TrueAttends).unwrap());
        } else {
            variant = variant.logit(LogitChange::Bias);
            arguments = arguments.with(Parameter::Bias, mask_of(&mask, batch, keys, f64::NEG_INFINITY));
        }
    }
    // The modifiers of FlexAttention are graphs. The closures here compute the same numbers.
    match case["name"].as_str().unwrap() {
        "test_flexattention_score_mod" => {
            variant = variant.logit(LogitChange::Bias);
            arguments = arguments.with(Parameter::Bias, Array3::from_elem((1, 1, 1), 0.5));
        }
        "test_flexattention_prob_mod" => variant = variant.pattern(PatternChange::Scale(0.5)),
        "test_flexattention_causal_mask" => variant = variant.mask(MaskRule::Causal),
        "test_flexattention_soft_cap" => variant = variant.logit(LogitChange::Softcap(20.0)),
        "test_flexattention_relative_positional" => {
            variant = variant.logit(LogitChange::Alibi(Slopes::Learned, Distance::Signed));
            arguments = arguments.with(Parameter::Slopes, Array1::from_elem(q.dim().0, -1.0));
        }
        _ => assert!(attrs["score_mod"].is_null() && attrs["prob_mod"].is_null()),
    }
    (variant, arguments)
}

#[test]
fn onnx_attention_and_flex_attention() {
    let all = cases("onnx", "attention.json");
    let of = |op: &str| all.iter().filter(|case| case["op"] == op).count();
    assert_eq!((of("Attention"), of("FlexAttention")), (93, 11));
    for case in &all {
        let name = case["name"].as_str().unwrap();
        let arrays = Arrays::open("onnx", name);
        // Results in f16 and bf16 are rounded to eleven and eight bits.
        let (rtol, atol) = match case["dtype"].as_str().unwrap() {
            "float16" => (1e-3, 1e-4),
            "bfloat16" => (1e-2, 1e-3),
            _ => (4e-6, 2e-7),
        };
        for batch in 0..arrays.get("in.Q").shape()[0] {
            let (variant, arguments) = onnx_item(case, &arrays, batch);
            let flat = case["attrs"]["q_num_heads"].is_u64();
            let expected = item(&arrays.get("out.Y"), batch);
            let (tiled, trace) = variant.forward(&arguments).unwrap();
            let (out, plain_trace) = variant.forward_plain(&arguments).unwrap();
            close(without_heads(tiled, flat), &expected, rtol, atol, name);
            close(without_heads(out, flat), &expected, rtol, atol, name);
            if !arrays.has("out.qk_matmul_output") {
                continue;
            }
            let expected = item(&arrays.get("out.qk_matmul_output"), batch);
            let changes =
                |keep: fn(&LogitChange) -> bool| variant.logits.iter().take_while(|c| keep(c)).count();
            for (trace, head) in
                [&trace, &plain_trace].into_iter().flat_map(|t| (0..expected.shape()[0]).map(move |h| (t, h)))
            {
                let given = match case["attrs"]["qk_matmul_output_mode"].as_u64().unwrap_or(0) {
                    0 => trace.logits(head, 0),
                    1 => trace.logits(head, changes(|c| matches!(c, LogitChange::Softcap(_)))),
                    2 => trace.logits(head, variant.logits.len()),
                    _ => trace.pattern(head),
                };
                // −∞ marks a masked pair on both sides. The difference would be NaN.
                let finite = |x: ArrayD<f64>| x.mapv(|x| if x == f64::NEG_INFINITY { -1e30 } else { x });
                close(finite(given.unwrap().into_dyn()), &finite(item(&expected, head)), rtol, atol, name);
            }
        }
    }
}

/// One case of gradients: how to read an item of its batch, and what a parameter is called there.
struct GradientCase {
    variant: Variant,
    parameters: Vec<(Parameter, &'static str, Vec<usize>)>,
}

fn gradient_case(case: &Value, h: usize, g: usize) -> GradientCase {
    let (name, attrs) = (case["name"].as_str().unwrap(), &case["attrs"]);
    // PyTorch's and x-transformers' flags count the first query as the first key.
    let mut variant = Variant::scaled_dot_product(Offset::zero()).heads(HeadMap::grouped_by_floor(h, g));
    let mut parameters = Vec::new();
    if attrs["causal"] == true || attrs["is_causal"] == true {
        variant = variant.mask(MaskRule::Causal);
    }
    if let Some(scale) = attrs["scale"].as_f64() {
        variant = variant.scale(Scale::Fixed(scale));
    }
    variant = match name {
        "xt_attend_gqa_interleaved" => variant.heads(HeadMap::grouped_by_modulo(h, g)),
        "xt_attend_softclamp" => variant.logit(LogitChange::Softcap(2.0)),
        "xt_attend_cog_signed" => variant.normaliser(Normaliser::SignedSoftmax),
        "xt_attend_zero_kv" => variant.normaliser(Normaliser::SoftmaxPlusOne),
        "xt_attend_sparse_topk" => variant.normaliser(Normaliser::TopK { k: 3, ties: Ties::KeepAll }),
        "xt_attend_talking_pre" => {
            parameters.push((Parameter::MixLogits, "pre_softmax_talking_heads.weight", vec![h, h]));
            variant.logit(LogitChange::MixHeads(Mixing::Add))
        }
        "hf_gpt_oss_sink" => {
            parameters.push((Parameter::Sink, "sinks", vec![h]));
            variant.normaliser(Normaliser::LearnedSink)
        }
        _ => variant,
    };
    GradientCase { variant, parameters }
}

/// Adds up gradients by parameters over a batch.
fn add(into: &mut Parameters<f64>, from: &Parameters<f64>) {
    for (name, x) in from.iter() {
        let sum = into.get(name).map_or(x.clone(), |sum| sum + x);
        into.insert(name, sum);
    }
}

#[test]
fn outputs_and_gradients_of_other_libraries() {
    let all = cases("gradients", "algebra.json");
    let all: Vec<_> = all.iter().filter(|case| case["name"].as_str().unwrap() != "").collect();
    assert_eq!(all.len(), 18);
    let mut checked = 0;
    for case in all {
        let name = case["name"].as_str().unwrap();
        if name.starts_with("hf_diff") || name.starts_with("entmax") {
            continue; // below
        }
        checked += 1;
        let arrays = Arrays::open("gradients", name);
        // x-transformers computes its softmax in f32 for all inputs.
        let tolerance = if name.starts_with("xt") { 2e-6 } else { 1e-12 };
        for plain_way in [false, true] {
            let mut by_parameters = Parameters::new();
            for batch in 0..arrays.get("in.q").shape()[0] {
                let read = |key: &str| item(&arrays.get(key), batch).into_dimensionality::<Ix3>().unwrap();
                let mut arguments = Arguments::new(&read("in.q"), &read("in.k"), &read("in.v"));
                let GradientCase { mut variant, parameters } =
                    gradient_case(case, arguments.q.dim().0, arguments.k.dim().0);
                for (parameter, key, shape) in &parameters {
                    let x = arrays.get(&format!("param.{key}"));
                    arguments.parameters.insert(*parameter, x.into_shape_with_order(shape.clone()).unwrap());
                }
                if arrays.has("in.attn_mask") {
                    let mask = item(&arrays.get("in.attn_mask"), batch).mapv(|x| x != 0.0);
                    variant = variant.mask(MaskRule::pairs(&mask, Polarity::TrueAttends).unwrap());
                }
                let (out, trace) = match plain_way {
                    true => variant.forward_plain(&arguments).unwrap(),
                    false => variant.forward(&arguments).unwrap(),
                };
                let gradient = variant.backward(&trace, &read("dout.0")).unwrap();
                let pairs =
                    [(out, "out.0"), (gradient.q, "grad.q"), (gradient.k, "grad.k"), (gradient.v, "grad.v")];
                for (given, key) in pairs {
                    close(
                        given.into_dyn(),
                        &read(key).into_dyn(),
                        tolerance,
                        tolerance,
                        &format!("{name}, {key}"),
                    );
                }
                add(&mut by_parameters, &gradient.parameters);
                if batch + 1 == arrays.get("in.q").shape()[0] {
                    for (parameter, key, shape) in parameters {
                        let expected =
                            arrays.get(&format!("pgrad.{key}")).into_shape_with_order(shape).unwrap();
                        let given = by_parameters.get(parameter).unwrap().clone();
                        close(given, &expected, tolerance, tolerance, &format!("{name}, {key}"));
                    }
                }
            }
        }
    }
    assert_eq!(checked, 14);
}

const LAMBDAS: [(Parameter, &str); 4] = [
    (Parameter::LambdaQuery1, "lambda_q1"),
    (Parameter::LambdaKey1, "lambda_k1"),
    (Parameter::LambdaQuery2, "lambda_q2"),
    (Parameter::LambdaKey2, "lambda_k2"),
];

#[test]
fn differential_v1_with_its_parameters_is_that_of_diff_llama() {
    for case in cases("gradients", "algebra.json") {
        let name = case["name"].as_str().unwrap();
        if !name.starts_with("hf_diff") {
            continue;
        }
        let arrays = Arrays::open("gradients", name);
        let number = |key: &str| case["attrs"][key].as_u64().unwrap() as usize;
        let (heads, key_heads) = (number("heads"), number("key_heads"));
        let read = |key: &str, heads| with_heads(item(&arrays.get(key), 0), Some(heads));
        // A value row of a pair is the value rows of its two key heads side by side.
        let joined = |x: Array3<f64>| {
            let (first, second) = x.view().split_at(Axis(0), key_heads / 2);
            concatenate(Axis(2), &[first, second]).unwrap()
        };
        let width = read("in.q", heads).dim().2;
        let variant = Variant::differential_v1(
            Offset::zero(),
            Pairing::Halves,
            PairKeys::Paired,
            number("depth"),
            Gain::None,
        )
        .heads(HeadMap::grouped_by_floor(heads / 2, key_heads / 2))
        .row(RowChange::Rotary(Rotary::half_split(width, 10_000.0)))
        .mask(MaskRule::Causal);
        let mut arguments =
            Arguments::new(&read("in.q", heads), &read("in.k", key_heads), &joined(read("in.v", key_heads)));
        for (parameter, key) in LAMBDAS {
            arguments.parameters.insert(parameter, arrays.get(&format!("param.{key}")));
        }
        for (out, trace) in [variant.forward(&arguments).unwrap(), variant.forward_plain(&arguments).unwrap()]
        {
            let near = |given: Array3<f64>, expected: Array3<f64>, what: &str| {
                // The weight λ is computed in f32 there.
                close(given.into_dyn(), &expected.into_dyn(), 2e-6, 2e-6, &format!("{name}, {what}"));
            };
            near(out, read("out.0", heads / 2), "out");
            let gradient = variant.backward(&trace, &read("dout.0", heads / 2)).unwrap();
            near(gradient.q, read("grad.q", heads), "q");
            near(gradient.k, read("grad.k", key_heads), "k");
            near(gradient.v, joined(read("grad.v", key_heads)), "v");
            for (parameter, key) in LAMBDAS {
                let expected = arrays.get(&format!("pgrad.{key}"));
                close(gradient.parameters.get(parameter).unwrap().clone(), &expected, 2e-6, 2e-6, key);
            }
        }
    }
}

#[test]
fn sparse_normalisers_are_those_of_the_entmax_package() {
    for (name, normaliser) in [("sparsemax", Normaliser::Sparsemax), ("entmax15", Normaliser::Entmax15)] {
        let arrays = Arrays::open("gradients", &format!("entmax_{name}"));
        let z = arrays.get("in.z");
        let (rows, keys) = (z.shape()[0], z.shape()[1]);
        let zeros = |n| Array3::zeros((1, n, 1));
        // With rows of zeros the logits equal the bias, and with unit vectors as values the output equals the pattern.
        let eye = Array2::eye(keys).insert_axis(Axis(0));
        let arguments =
            Arguments::new(&zeros(rows), &zeros(keys), &eye).with(Parameter::Bias, z.insert_axis(Axis(0)));
        let variant = plain().logit(LogitChange::Bias).normaliser(normaliser);
        let (out, trace) = variant.forward(&arguments).unwrap();
        close(out.into_dyn(), &arrays.get("out.0").insert_axis(Axis(0)), 1e-12, 1e-12, name);
        let d_out = arrays.get("dout.0").insert_axis(Axis(0)).into_dimensionality::<Ix3>().unwrap();
        let gradient = variant.backward(&trace, &d_out).unwrap();
        let by_z = gradient.parameters.get(Parameter::Bias).unwrap().clone();
        close(by_z, &arrays.get("grad.z").insert_axis(Axis(0)), 1e-10, 1e-10, name);
    }
}

#[test]
fn positions_are_those_of_hugging_face() {
    let arrays = Npz::open(path(".", "positions.npz")).unwrap();
    let get = |key: &str| arrays.read(key).unwrap().to_f64();
    let yarn = |factor, original_length, ramp, amplitude| RotaryScaling::Yarn {
        factor,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_length,
        ramp,
        amplitude,
    };
    let llama = RotaryScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_length: 8192.0 };
    let (whole, exact) = (YarnRamp::WholePairs, YarnRamp::Exact);
    for (name, width, base, scaling) in [
        ("llama3", 128, 5e5, llama),
        ("yarn", 64, 1e4, yarn(4.0, 4096.0, whole, YarnAmplitude::Paper)),
        ("yarn_exact", 64, 1.5e5, yarn(32.0, 4096.0, exact, YarnAmplitude::Paper)),
        ("yarn_fixed", 64, 1e4, yarn(40.0, 4096.0, whole, YarnAmplitude::Fixed(1.25))),
        ("linear", 16, 1e4, RotaryScaling::Linear { factor: 3.0 }),
    ] {
        let rotary = Rotary::half_split(width, base).scaling(scaling);
        let given = Array1::from(rotary.frequencies()).into_dyn();
        // They are computed in f32 there.
        close(given, &get(&format!("{name}.inv")), 3e-6, 0.0, name);
        let amplitude = get(&format!("{name}.amplitude")).iter().copied().next().unwrap();
        assert!((scaling.amplitude() - amplitude).abs() < 1e-6, "{name}");
    }
    for (name, count, farthest, direction) in [
        ("both", 32, 128, Direction::Bidirectional),
        ("causal", 32, 128, Direction::Causal),
        ("small", 20, 50, Direction::Bidirectional),
    ] {
        let buckets = Buckets { count, farthest, direction };
        for (n, &expected) in get(&format!("t5.{name}")).iter().enumerate() {
            assert_eq!(buckets.of(n as isize - 300) as f64, expected, "{name}, step {}", n as isize - 300);
        }
    }
    for heads in [1, 2, 3, 6, 8, 12, 14, 16, 20] {
        let given = Array1::from(alibi_slopes(Slopes::Geometric, heads).unwrap()).into_dyn();
        close(given, &get(&format!("alibi.{heads}")), 1e-6, 0.0, "alibi");
    }
}
