//! Models of random weights: derivatives, hook points, and the agreement of the two ways to compute attention.

use collimate_grad::{Batch, CheckConfig, Coordinates, Objective, Scratch, check_gradient};
use collimate_transformer::{
    Activation, Alibi, Arrangement, AttentionDescription, BoundedGate, Capture, Choice, Description,
    Differential, Edit, ExpertWeights, Experts, GainForm, Generation, HeadNorm, HeadNormOver, HookPoint,
    Input, LayerDescription, LearnedPositions, MlpDescription, Model, Norm, RngStream, Rotary, RotaryLayout,
    RunError, Sampling, SequenceObjective, Site, Targets,
};
use ndarray::{Array2, Axis, s};

/// Descriptions that together use every part.
fn descriptions() -> Vec<Description> {
    let mlp = |gated, activation| MlpDescription::new(10, gated, activation);
    let rms = Norm::root_mean_square(1e-5);
    let layer_norm = Norm::layer(1e-5);
    let make = |layer: LayerDescription| {
        let mut d = Description::new("random", 13, 12, 40);
        d.layers = vec![layer; 2];
        d.final_norm = Some(rms);
        d
    };
    let rotary = |layout| Some(Rotary::new(layout, 4, 100.0));
    let mut all = Vec::new();

    let mut a = AttentionDescription::new(4, 2, 6);
    (a.rotary, a.window, a.softcap, a.sinks) = (rotary(RotaryLayout::HalfSplit), Some(3), Some(2.0), true);
    a.head_norm = Some(HeadNorm::new(rms, HeadNormOver::SharedGain));
    let mut one = LayerDescription::new(a, mlp(true, Activation::Silu), rms);
    (one.attention_post_norm, one.mlp_post_norm, one.branch_scale) = (Some(rms), Some(rms), 0.7);
    let mut d = make(one);
    d.embedding.scale = 3.0;
    if let Some(head) = &mut d.head {
        (head.tied, head.softcap, head.scale) = (true, Some(4.0), 0.8);
    }
    all.push(d);

    let mut a = AttentionDescription::new(3, 3, 4);
    (a.input_bias, a.output_bias, a.alibi) = (true, true, Some(Alibi::new(3)));
    let mut m = mlp(false, Activation::GeluErf);
    m.bias = true;
    let mut two = LayerDescription::new(a, m, layer_norm);
    two.arrangement = Arrangement::ParallelTwoNorms;
    let mut d = make(two);
    d.embedding.norm = Some(layer_norm);
    d.final_norm = Some(layer_norm);
    all.push(d);

    let mut a = AttentionDescription::new(4, 4, 4);
    a.rotary = rotary(RotaryLayout::Interleaved);
    a.differential = Some(Differential::new(0.3, 1e-5));
    all.push(make(LayerDescription::new(a, mlp(true, Activation::GeluTanh), rms)));

    let mut a = AttentionDescription::new(2, 1, 6);
    a.causal = false;
    a.head_norm = Some(HeadNorm::new(layer_norm, HeadNormOver::AllHeads));
    let mut four = LayerDescription::new(a, mlp(false, Activation::Tanh), layer_norm);
    (four.attention_norm, four.mlp_norm, four.sum_norm) = (None, None, Some(layer_norm));
    let mut d = make(four);
    d.embedding.positions = Some(LearnedPositions::new(40));
    d.embedding.token_types = Some(2);
    d.embedding.projected_from = Some(8);
    d.final_norm = None;
    all.push(d);

    let mut a = AttentionDescription::new(2, 2, 6);
    a.head_norm = Some(HeadNorm::new(rms.with_gain(GainForm::PlusOne), HeadNormOver::OwnGain));
    let mut five = LayerDescription::new(a, mlp(true, Activation::GeluBloom), rms);
    (five.arrangement, five.mlp_norm, five.residual_is_normed) = (Arrangement::ParallelOneNorm, None, true);
    all.push(make(five));

    let mut m = mlp(true, Activation::Silu);
    m.experts = Some(Experts::new(4, 2));
    let mut six = LayerDescription::new(AttentionDescription::new(2, 1, 6), m, layer_norm);
    six.mlp.bias = true;
    six.mlp.experts.iter_mut().for_each(|experts| {
        experts.router_bias = true;
        experts.bounded_gate = Some(BoundedGate::new(0.7, 1.702));
    });
    let mut d = make(six);
    // Every kind of expert: with bounds and biases, and plain ones whose weights do not add up to 1.
    let mut plain = mlp(false, Activation::GeluErf);
    let mut experts = Experts::new(3, 2);
    experts.weights = ExpertWeights::SoftmaxOfAll;
    plain.experts = Some(experts);
    d.layers[1].mlp = plain;
    all.push(d);
    all
}

/// A batch of two sequences of which the second is padded on the left.
fn padded() -> Input {
    let ids = ndarray::array![[3, 1, 4, 1, 5, 9, 2], [0, 0, 6, 5, 3, 5, 8]];
    let mask = Array2::from_shape_fn((2, 7), |(b, t)| b == 0 || t > 1);
    Input::new(ids).with_mask(mask)
}

fn directions(model: &Model<f64>, seed: u64) -> Vec<Array2<f64>> {
    let mut stream = RngStream::new(seed, 5);
    model.parameters().map(|(_, x)| Array2::from_shape_simple_fn(x.dim(), || 0.1 * stream.normal())).collect()
}

fn dot(a: &[Array2<f64>], b: &[Array2<f64>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).sum()).sum()
}

#[test]
fn gradients_and_products_with_the_hessian_are_central_differences() {
    for (number, d) in descriptions().into_iter().enumerate() {
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 0));
        let (input, targets) = (padded(), Targets::next_tokens(&padded()));
        let (v, u) = (directions(&model, 1), directions(&model, 2));
        let at = |step: f64| {
            let moved = model.parameters().zip(&v).map(|((_, w), v)| w.to_owned() + v * step).collect();
            model.with_parameters(moved).unwrap().gradients(&input, &targets, &[], None).unwrap()
        };
        let g = model.gradients(&input, &targets, &[], Some(&v)).unwrap();
        let along = g.along.as_ref().unwrap();
        let step = 1e-5;
        let (plus, minus) = (at(step), at(-step));
        let difference = (plus.loss - minus.loss) / (2.0 * step);
        assert!(
            (along.loss - difference).abs() < 1e-7 * along.loss.abs().max(1.0),
            "{number}: {}",
            along.loss
        );
        assert!((dot(&g.by_parameter, &v) - along.loss).abs() < 1e-10, "{number}: the passes are adjoint");
        let logits = (&plus.logits - &minus.logits) / (2.0 * step) - &along.logits;
        let off = logits.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let most = along.logits.iter().fold(1.0f64, |most, x| most.max(x.abs()));
        assert!(off < 1e-7 * most, "{number}: the logits are off by {off:e} of {most}");
        for ((plus, minus), hv) in plus.by_parameter.iter().zip(&minus.by_parameter).zip(&along.by_parameter)
        {
            let off = (plus - minus) / (2.0 * step) - hv;
            assert!(off.iter().all(|x| x.abs() < 1e-6), "{number}: the product with the Hessian");
        }
        // The Hessian is symmetric.
        let hu = model.gradients(&input, &targets, &[], Some(&u)).unwrap().along.unwrap();
        let (one, two) = (dot(&u, &along.by_parameter), dot(&v, &hu.by_parameter));
        assert!((one - two).abs() < 1e-9 * one.abs().max(1.0), "{number}: {one} and {two}");
    }
}

#[test]
fn gradients_by_hook_points_are_central_differences_of_edits() {
    for (number, d) in descriptions().into_iter().enumerate() {
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 1));
        let (input, targets) = (padded(), Targets::next_tokens(&padded()));
        let points: Vec<HookPoint> = points(&model)
            .into_iter()
            .filter(|point| point.site != Site::HeadResult)
            .filter(|point| !point.name().ends_with("_scale") && !point.name().contains("_scale."))
            .collect();
        let g = model.gradients(&input, &targets, &points, None).unwrap();
        for point in points {
            let gradient = &g.by_point[&point];
            let mut stream = RngStream::new(7, 0);
            let v = gradient.mapv(|_| stream.normal());
            let loss = |step: f64| {
                let mut edit =
                    Edit::at_f64(point, |mut x: ndarray::ArrayViewMutD<'_, f64>| x.scaled_add(step, &v));
                model.mean_loss(&input, &targets, &mut edit).unwrap()
            };
            let difference = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            let given = (gradient * &v).sum();
            assert!(
                (given - difference).abs() < 1e-7 * given.abs().max(1.0),
                "{number} {point}: {given} for {difference}"
            );
        }
    }
}

#[test]
fn derivatives_along_activations_are_central_differences_of_edits() {
    let (mut tried, mut refused) = (0, 0);
    for (number, d) in descriptions().into_iter().enumerate() {
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 5));
        // Without padding: a row of zeros bends so much that no difference has enough digits.
        let input = Input::new(padded().ids().clone());
        let points = points(&model);
        let mut capture = Capture::at(points.iter().copied());
        model.run(&input, &mut capture).unwrap();
        let mut stream = RngStream::new(8, 0);
        for &point in &points {
            let v = capture.get(point).unwrap().mapv(|_| stream.normal());
            let derivative = match model.derivative_along(&input, &[(point, v.clone())]) {
                Ok(derivative) => derivative,
                Err(RunError::NoGradient { point: named }) => {
                    assert_eq!(named, point);
                    refused += 1;
                    continue;
                }
                Err(error) => panic!("{number} {point}: {error}"),
            };
            let logits = |step: f64| {
                let mut edit =
                    Edit::at_f64(point, |mut x: ndarray::ArrayViewMutD<'_, f64>| x.scaled_add(step, &v));
                model.logits(&input, &mut edit).unwrap()
            };
            // A difference of the fourth order.
            let step = 2e-5;
            let narrow = logits(step) - logits(-step);
            let wide = logits(2.0 * step) - logits(-2.0 * step);
            let difference = (narrow * 8.0 - wide) / (12.0 * step);
            let size = difference.iter().fold(1.0f64, |size, x| size.max(x.abs()));
            let off = (&difference - &derivative.along).iter().fold(0.0f64, |off, x| off.max(x.abs()));
            assert!(off < 1e-7 * size, "{number} {point}: {off:e} of {size}");
            tried += 1;
        }
        // Two directions add up, and one of another shape is refused.
        let moves: Vec<_> = [Site::Query, Site::Value]
            .map(|site| (site.of_layer(1), capture.get(site.of_layer(1)).unwrap().mapv(|_| stream.normal())))
            .into();
        let along = |moves: &[(HookPoint, ndarray::ArrayD<f64>)]| {
            model.derivative_along(&input, moves).unwrap().along
        };
        let sum = along(&moves[..1]) + along(&moves[1..]);
        assert!((along(&moves) - sum).iter().all(|x| x.abs() < 1e-10), "{number}");
        let twice = [moves[0].clone(), moves[0].clone()];
        assert!((along(&twice) - along(&moves[..1]) * 2.0).iter().all(|x| x.abs() < 1e-10), "{number}");
        let short = [(moves[0].0, ndarray::ArrayD::zeros(vec![1, 1]))];
        assert!(matches!(model.derivative_along(&input, &short), Err(RunError::Shape { .. })), "{number}");
    }
    assert!(tried > 100 && refused > 10, "{tried} {refused}");
}

#[test]
fn pulled_back_functions_of_the_logits_have_the_gradients_of_central_differences_in_an_edited_run() {
    for (number, d) in descriptions().into_iter().enumerate() {
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 4));
        let points: Vec<HookPoint> = [
            Site::Query,
            Site::Key,
            Site::Value,
            Site::Scores,
            Site::Pattern,
            Site::HeadOutput,
            Site::ResidualMid,
        ]
        .into_iter()
        .map(|site| site.of_layer(1))
        .chain([Site::Scores, Site::Pattern, Site::MlpInput].map(|site| site.of_layer(0)))
        .chain([Site::Embedding.of_layer(0), Site::ResidualPost.of_layer(1)])
        .filter(|point| model.has_point(*point))
        .collect();
        for start in [Site::Embedding, Site::Scores, Site::Pattern].map(|site| site.of_layer(0)) {
            edited_gradients(number, &model, start, &points);
        }
        let result = Site::HeadResult.of_layer(0);
        let refused = |points: &[HookPoint], hooks: &mut Capture<f64>| {
            model.pull_back(&padded(), points, hooks, Clone::clone).unwrap_err().to_string()
        };
        assert!(refused(&[result], &mut Capture::at([])).contains("head output"));
        assert!(refused(&[], &mut Capture::at([result])).contains("head output"));
        let gradients = model.gradients(&padded(), &Targets::next_tokens(&padded()), &[result], None);
        assert!(gradients.unwrap_err().to_string().contains("head output"));
        let other = model.pull_back(&padded(), &[], &mut (), |_| ndarray::Array3::zeros((1, 1, 1)));
        assert!(other.unwrap_err().to_string().contains("the cotangent"));
    }
}

/// Compares the gradients in a run that is edited at `start` with central differences.
fn edited_gradients(number: usize, model: &Model<f64>, start: HookPoint, points: &[HookPoint]) {
    // The edit adds a constant, so that the gradients before it are those of the run too.
    let shift = |mut x: ndarray::ArrayViewMutD<'_, f64>| {
        x.iter_mut().enumerate().for_each(|(index, x)| *x += 0.2 * (index as f64).sin());
    };
    // The function is the sum of the sines of the logits.
    let value = |logits: &ndarray::Array3<f64>| logits.iter().map(|x| x.sin()).sum::<f64>();
    let mut edit = Edit::at_f64(start, shift);
    let back = model.pull_back(&padded(), points, &mut edit, |logits| logits.mapv(f64::cos)).unwrap();
    for &point in points {
        let gradient = &back.by_point[&point];
        let mut stream = RngStream::new(8, 0);
        let mut v = gradient.mapv(|_| stream.normal());
        if matches!(point.site, Site::Scores | Site::Pattern) {
            // The results of padding are rows of zeros, where a norm after them bends too much for differences.
            let padding = v.indexed_iter_mut().filter(|(index, _)| index[0] == 1 && index[2] < 2);
            padding.for_each(|(_, v)| *v = 0.0);
        }
        let moved = |step: f64| {
            let first = Edit::at_f64(start, shift);
            let second = Edit::at_f64(point, |mut x: ndarray::ArrayViewMutD<'_, f64>| x.scaled_add(step, &v));
            value(&model.run(&padded(), &mut (first, second)).unwrap().logits.unwrap())
        };
        let central = |step: f64| (moved(step) - moved(-step)) / (2.0 * step);
        // A norm bends most at the zero rows of padding, where its ε of 1e-5 is all that it divides by: the error of a central difference is
        // then 1e-5 of the whole. Two steps together cancel it, and leave the fourth power of the step and rounding.
        let difference = (4.0 * central(5e-6) - central(1e-5)) / 3.0;
        let given = (gradient * &v).sum();
        assert!(
            (given - difference).abs() < 1e-7 * given.abs().max(1.0),
            "{number} {point}: {given} for {difference}"
        );
    }
}

/// Every hook point of a model.
fn points(model: &Model<f64>) -> Vec<HookPoint> {
    let layers = model.description().layers.len();
    let all = Site::every().flat_map(|site| (0..layers).map(move |layer| site.of_layer(layer)));
    all.filter(|point| model.has_point(*point)).collect()
}

#[test]
fn hooks_that_only_read_change_nothing_and_every_point_is_shown() {
    for (number, d) in descriptions().into_iter().enumerate() {
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 2));
        let plain = model.run(&padded(), &mut ()).unwrap().logits.unwrap();
        for point in points(&model) {
            let mut capture = Capture::at([point]);
            let logits = model.run(&padded(), &mut capture).unwrap().logits.unwrap();
            assert!(capture.get(point).is_ok(), "{number}: {point} is not shown");
            // Where a pattern is wanted, attention is computed another way.
            let off =
                (&logits - &plain).slice(s![.., 2.., ..]).iter().fold(0.0f64, |most, x| most.max(x.abs()));
            assert!(off < 1e-12, "{number}: reading {point} moves the logits by {off:e}");
            assert_eq!(point.name().parse::<HookPoint>().unwrap(), point);
            if let Some(alias) = point.transformer_lens_name() {
                assert_eq!(alias.parse::<HookPoint>().unwrap(), point);
            }
        }
    }
    assert!("blocks.1.attn.hook_zz".parse::<HookPoint>().unwrap_err().to_string().contains("model info"));
    assert!("residual_pre.+1".parse::<HookPoint>().is_err());
}

#[test]
fn the_results_of_the_heads_add_up_to_the_output_of_attention() {
    for (number, d) in descriptions().into_iter().enumerate() {
        let biased = d.layers[0].attention.output_bias;
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 3));
        let (results, output) = (Site::HeadResult.of_layer(1), Site::AttentionOutput.of_layer(1));
        let mut capture = Capture::at([results, output]);
        model.run(&padded(), &mut capture).unwrap();
        let sum = capture.get(results).unwrap().sum_axis(Axis(2));
        // The biases of a random model are zero.
        let off = (sum - capture.get(output).unwrap()).iter().fold(0.0f64, |most, x| most.max(x.abs()));
        assert!(off < 1e-12, "{number}, bias: {biased}: {off:e}");
    }
}

#[test]
fn padding_changes_nothing_for_the_other_tokens() {
    for (number, d) in descriptions().into_iter().enumerate() {
        if d.embedding.positions.is_some() {
            continue; // Learned positions count padding.
        }
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 4));
        let padded = model.run(&padded(), &mut ()).unwrap().logits.unwrap();
        let alone =
            model.run(&Input::new(ndarray::array![[6, 5, 3, 5, 8]]), &mut ()).unwrap().logits.unwrap();
        let off = &padded.slice(s![1, 2.., ..]) - &alone.slice(s![0, .., ..]);
        assert!(off.iter().all(|x| x.abs() < 1e-12), "{number}: positions count from the first token");
    }
}

#[test]
fn a_masked_future_gets_no_gradient() {
    for (number, d) in descriptions().into_iter().enumerate().filter(|(_, d)| d.is_causal()) {
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 6));
        let input = Input::new(ndarray::array![[3, 1, 4, 1, 5]]);
        // Only the token after position 2 counts.
        let targets = Targets::of(ndarray::array![[None, None, Some(1), None, None]]);
        let point = Site::Embedding.of_layer(0);
        let g = model.gradients(&input, &targets, &[point], None).unwrap();
        let by_position: Vec<bool> =
            g.by_point[&point].axis_iter(Axis(1)).map(|x| x.iter().any(|&x| x != 0.0)).collect();
        assert_eq!(by_position[2..], [true, false, false], "{number}");
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let results = descriptions().into_iter().map(|d| {
                let model = Model::<f32>::random(d, &RngStream::new(9, 0));
                let g = model.gradients(&padded(), &Targets::next_tokens(&padded()), &[], None).unwrap();
                (g.loss.to_bits(), g.by_parameter)
            });
            results.collect::<Vec<_>>()
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let model = Model::<f64>::random(descriptions().remove(3), &RngStream::new(1, 0));
    let refused = |input: Input| model.run(&input, &mut ()).unwrap_err().to_string();
    assert!(refused(Input::new(Array2::zeros((0, 3)))).contains("no tokens"));
    assert!(refused(Input::new(ndarray::array![[1, 13]])).contains("token 13 at position 1"));
    assert!(
        refused(Input::new(Array2::zeros((1, 41)))).contains("41 tokens do not fit into the context of 40")
    );
    let two = Input::new(ndarray::array![[1, 2]]);
    assert!(refused(two.clone().with_mask(Array2::from_elem((1, 3), true))).contains("the mask"));
    assert!(refused(two.clone().with_types(ndarray::array![[0, 2]])).contains("token types has 2 rows"));
    assert!(refused(two.clone().with_positions(ndarray::array![[0, -1]])).contains("row -1"));
    let mut hook = Capture::at([Site::Pattern.of_layer(2)]);
    assert!(model.run(&two, &mut hook).unwrap_err().to_string().contains("2 layers"));
    let generate = model.generate(&[1, 2], &Generation::greedy(1), &mut RngStream::new(0, 0), &mut ());
    assert!(generate.unwrap_err().to_string().contains("encoder"));
    let nothing = Targets::of(Array2::from_elem((1, 2), None));
    assert!(
        model
            .gradients(&two, &nothing, &[], None)
            .unwrap_err()
            .to_string()
            .contains("no position has a target")
    );
    let short = vec![Array2::zeros((1, 1))];
    assert!(model.gradients(&two, &Targets::next_tokens(&two), &[], Some(&short)).is_err());
}

#[test]
fn numbers_that_overflow_are_named_with_their_site() {
    let model = Model::<f32>::random(descriptions().remove(0), &RngStream::new(1, 0));
    let large = model.parameters().map(|(_, x)| x.mapv(|x| x * 1e30)).collect();
    let error = model.with_parameters(large).unwrap().run(&padded(), &mut ()).unwrap_err().to_string();
    assert!(error.contains("of layer 0") && error.contains("too large"), "{error}");
}

#[test]
fn sampled_tokens_follow_their_distribution() {
    let model = Model::<f64>::random(descriptions().remove(0), &RngStream::new(4, 0));
    let prompt = [3, 1, 4];
    let sampling = Sampling { temperature: 0.7, top_k: Some(6), top_p: Some(0.9), min_p: Some(0.05) };
    let logits = model.run(&Input::new(ndarray::array![[3, 1, 4]]), &mut ()).unwrap().logits.unwrap();
    let kept = sampling.distribution(logits.slice(s![0, 2, ..]));
    assert!((kept.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12 && kept.len() <= 6);
    let generation = Generation { choice: Choice::Sampled(sampling), ..Generation::greedy(1) };
    let (mut stream, n) = (RngStream::new(1, 0), 4000);
    let mut counts = [0u32; 13];
    for _ in 0..n {
        counts[model.generate(&prompt, &generation, &mut stream, &mut ()).unwrap()[0] as usize] += 1;
    }
    for id in 0..13 {
        let p = kept.iter().find(|(other, _)| *other == id).map_or(0.0, |(_, p)| *p);
        // Six standard errors: a false alarm is rarer than one in ten million.
        let off = (f64::from(counts[id as usize]) / f64::from(n) - p).abs();
        assert!(off <= 6.0 * (p * (1.0 - p) / f64::from(n)).sqrt(), "{id}: {off} of {p}");
    }
    // The same stream gives the same text; a stop token ends it.
    let long =
        Generation { tokens: 12, choice: Choice::Sampled(Sampling::default()), ..Generation::greedy(12) };
    let text = |g: &Generation| model.generate(&prompt, g, &mut RngStream::new(8, 0), &mut ()).unwrap();
    assert_eq!(text(&long), text(&Generation { cached: false, ..long.clone() }));
    let stop = text(&long)[4];
    let stopped = text(&Generation { stop: vec![stop], ..long.clone() });
    assert_eq!(stopped.iter().position(|&id| id == stop), Some(stopped.len() - 1));
    for wrong in [
        Sampling { temperature: 0.0, ..Sampling::default() },
        Sampling { top_k: Some(0), ..Sampling::default() },
        Sampling { top_p: Some(1.5), ..Sampling::default() },
        Sampling { min_p: Some(-0.1), ..Sampling::default() },
    ] {
        let generation = Generation { choice: Choice::Sampled(wrong), ..Generation::greedy(1) };
        assert!(model.generate(&prompt, &generation, &mut stream, &mut ()).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_choice_leaves_out_what_each_number_says() {
    let logits = ndarray::array![0.1f64, 0.4, 0.2, 0.3].mapv(f64::ln);
    let check = |sampling: Sampling, expected: &[(u32, f64)]| {
        let kept = sampling.distribution(logits.view());
        let ids: Vec<u32> = kept.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, expected.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "{sampling:?}");
        // Each probability is a quotient of sums of four numbers.
        let close = kept.iter().zip(expected).all(|((_, p), (_, q))| (p - q).abs() < 1e-14);
        assert!(close, "{sampling:?}: {kept:?}");
    };
    let all = Sampling::default();
    let two = [(1, 4.0 / 7.0), (3, 3.0 / 7.0)];
    check(all, &[(1, 0.4), (3, 0.3), (2, 0.2), (0, 0.1)]);
    let squares = [(1, 16.0 / 30.0), (3, 9.0 / 30.0), (2, 4.0 / 30.0), (0, 1.0 / 30.0)];
    check(Sampling { temperature: 0.5, ..all }, &squares);
    check(Sampling { top_k: Some(2), ..all }, &two);
    check(Sampling { top_p: Some(0.65), ..all }, &two);
    check(Sampling { top_p: Some(0.35), ..all }, &[(1, 1.0)]);
    check(Sampling { min_p: Some(0.6), ..all }, &two);
    // After top k, the first token has 4/9 and the first two have 7/9.
    let three = Sampling { top_k: Some(3), ..all };
    check(Sampling { top_p: Some(0.75), ..three }, &two);
    check(three, &[(1, 4.0 / 9.0), (3, 3.0 / 9.0), (2, 2.0 / 9.0)]);
    // Of equal logits the first one counts.
    let equal = Sampling { top_k: Some(1), ..all }.distribution(ndarray::array![0.5f32, 0.7, 0.7].view());
    assert_eq!(equal, [(1, 1.0)]);
    let model = Model::<f64>::random(descriptions().remove(0), &RngStream::new(4, 0));
    let zeros = model.parameters().map(|(_, x)| Array2::zeros(x.dim())).collect();
    let even = model.with_parameters(zeros).unwrap();
    let text = even.generate(&[3, 1], &Generation::greedy(2), &mut RngStream::new(1, 0), &mut ()).unwrap();
    assert_eq!(text, [0, 0]);
}

#[test]
fn sequences_of_a_batch_add_their_gradients() {
    for (number, d) in descriptions().into_iter().enumerate() {
        let model = Model::<f64>::random(d, &RngStream::new(number as u64, 7));
        let ids = ndarray::array![[3, 1, 4, 1, 5], [9, 2, 6, 5, 3], [5, 8, 9, 7, 9]];
        let gradients = |rows: ndarray::ArrayView2<'_, u32>| {
            let input = Input::new(rows.to_owned());
            model.gradients(&input, &Targets::next_tokens(&input), &[], None).unwrap()
        };
        let whole = gradients(ids.view());
        let parts: Vec<_> = (0..3).map(|b| gradients(ids.slice(s![b..=b, ..]))).collect();
        for (at, (name, _)) in model.parameters().enumerate() {
            let zero = Array2::<f64>::zeros(whole.by_parameter[at].dim());
            let mean = parts.iter().fold(zero, |sum, g| sum + &g.by_parameter[at]) / 3.0;
            let off = (&whole.by_parameter[at] - &mean).iter().fold(0.0f64, |most, x| most.max(x.abs()));
            assert!(off < 1e-12, "{number}, {name}: {off:e}");
        }
    }
}

#[test]
fn the_objective_of_chosen_weights_has_exact_gradients_and_products() {
    let model = Model::<f64>::random(descriptions().remove(0), &RngStream::new(4, 0));
    let rows = ndarray::array![[3, 1, 4, 1, 5], [9, 2, 6, 5, 3], [5, 8, 9, 7, 9]];
    let objective = SequenceObjective::new(&model, rows, |name| name.layer == Some(1)).unwrap();
    let (w, n) = (objective.start(), objective.n_parameters());
    let batch = Batch::Indices(&[2, 0, 2]);
    let config =
        CheckConfig { coordinates: Coordinates::Sample { count: 40, seed: 1 }, ..CheckConfig::default() };
    let report = check_gradient(&objective, &w, batch, &config).unwrap();
    assert!(report.passed(), "{report:?}");
    let scratch = &mut Scratch::new();
    let mut losses = [0.0; 3];
    objective.per_sample_losses().unwrap().per_sample_losses_into(&w, batch, scratch, &mut losses);
    let mean = losses.iter().sum::<f64>() / 3.0;
    assert!((mean - objective.loss(&w, batch, scratch)).abs() < 1e-14 && losses[0] == losses[2]);
    let mut stream = RngStream::new(2, 0);
    let v: Vec<f64> = (0..n).map(|_| 0.1 * stream.normal()).collect();
    let mut product = vec![0.0; n];
    objective.hessian_vector_products().unwrap().hessian_vector_product_into(
        &w,
        &v,
        batch,
        scratch,
        &mut product,
    );
    let gradient = |step: f64| {
        let moved: Vec<f64> = w.iter().zip(&v).map(|(w, v)| w + step * v).collect();
        let mut out = vec![0.0; n];
        objective.loss_and_gradient_into(&moved, batch, &mut Scratch::new(), &mut out);
        out
    };
    let (plus, minus) = (gradient(1e-5), gradient(-1e-5));
    for ((plus, minus), product) in plus.iter().zip(&minus).zip(&product) {
        assert!(((plus - minus) / 2e-5 - product).abs() < 1e-7);
    }
    assert!(objective.coordinate_name(0).contains("of layer 1[0, 0]"));
    let infinite = vec![f64::INFINITY; n];
    assert!(objective.loss(&infinite, batch, scratch).is_nan());
    assert!(objective.failure(&infinite, batch).unwrap().to_string().contains("of layer 1"));
}
