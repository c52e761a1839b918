//! The definition of every variant with loops over single numbers, written apart from the crate: masked pairs are `None`,
//! thresholds are found by bisection, differences of heads are taken between patterns.

use collimate_attention::algebra::{
    Arguments, Combination, Direction, Distance, Gain, GateForm, LogitChange, MaskRule, Mixing, NormOver,
    Normaliser, OutputChange, PairKeys, Pairing, Parameter, PatternChange, Polarity, RowChange, Score,
    SigmoidBias, Slopes, Ties, Variant, Window,
};
use collimate_attention::{HeadMap, Offset, RotaryLayout, Scale};
use ndarray::{Array3, ArrayD};

type Logits = Vec<Vec<Vec<Option<f64>>>>;

/// Computes the output of a variant by its definition.
pub(crate) fn attend(variant: &Variant, x: &Arguments<f64>) -> Array3<f64> {
    let (heads, queries, width) = x.q.dim();
    let (key_heads, keys, _) = x.k.dim();
    let offset = match variant.positions {
        Offset::KeysMinusQueries => keys as isize - queries as isize,
        Offset::Fixed(offset) => offset,
        _ => 0,
    };
    let learned = |name| x.parameters.get(name).unwrap();
    let (mut q, mut k) = (rows(&x.q), rows(&x.k));
    for change in &variant.rows {
        q = row_change(change, q, offset, x.parameters.get(Parameter::QueryGain));
        k = row_change(change, k, 0, x.parameters.get(Parameter::KeyGain));
    }
    let scale = match variant.scale {
        Scale::Fixed(scale) => scale,
        _ => 1.0 / (width as f64).sqrt(),
    };
    let attends = |h: usize, i: usize, j: usize| {
        let infinite =
            x.parameters.get(Parameter::Bias).is_some_and(|b| spread(b, h, i, j) == f64::NEG_INFINITY);
        !infinite && variant.mask.iter().all(|rule| allows(rule, h, i, i as isize + offset, j))
    };
    let mut z: Logits = (0..heads)
        .map(|h| {
            let g = key_head(variant, h, heads, key_heads);
            let pair = |i: usize, j: usize| {
                attends(h, i, j).then(|| scale * score(variant.score, &q[h][i], &k[g][j]))
            };
            (0..queries).map(|i| (0..keys).map(|j| pair(i, j)).collect()).collect()
        })
        .collect();
    for change in &variant.logits {
        z = logit_change(change, &z, offset, &learned);
    }
    let mut p: Vec<Vec<Vec<f64>>> = z
        .iter()
        .enumerate()
        .map(|(h, z)| z.iter().map(|z| normalise(variant.normaliser, z, h, &learned)).collect())
        .collect();
    for change in &variant.pattern {
        p = match *change {
            PatternChange::Scale(c) => {
                p.iter().map(|p| p.iter().map(|p| p.iter().map(|p| c * p).collect()).collect()).collect()
            }
            PatternChange::MixHeads(mixing) => {
                let m = learned(Parameter::MixPattern);
                let cell = |h: usize, i: usize, j: usize| {
                    let own = if mixing == Mixing::Add { p[h][i][j] } else { 0.0 };
                    own + (0..heads).map(|o| m[[h, o]] * p[o][i][j]).sum::<f64>()
                };
                (0..heads)
                    .map(|h| (0..queries).map(|i| (0..keys).map(|j| cell(h, i, j)).collect()).collect())
                    .collect()
            }
            _ => unreachable!(),
        };
    }
    let value = |h: usize, j: usize, e: usize| x.v[[value_head(variant, h, heads, key_heads), j, e]];
    let pairs = heads / 2;
    let cell = |o: usize, i: usize, e: usize| -> f64 {
        let (first, second, lambda) = match variant.combination {
            Combination::DifferentialV1 { pairing, lambda_init, .. } => {
                let inner = |a, b| learned(a).iter().zip(learned(b)).map(|(a, b)| a * b).sum::<f64>();
                let lambda = inner(Parameter::LambdaQuery1, Parameter::LambdaKey1).exp()
                    - inner(Parameter::LambdaQuery2, Parameter::LambdaKey2).exp()
                    + lambda_init;
                let [a, b] = pair(pairing, o, pairs);
                (a, b, lambda)
            }
            Combination::DifferentialV2 { pairing } => {
                let [a, b] = pair(pairing, o, pairs);
                (a, b, 1.0 / (1.0 + (-learned(Parameter::LambdaLogit)[[o, i]]).exp()))
            }
            _ => (o, o, 0.0),
        };
        (0..keys)
            .filter(|&j| p[first][i][j] != 0.0 || p[second][i][j] != 0.0)
            .map(|j| (p[first][i][j] - lambda * p[second][i][j]) * value(first, j, e))
            .sum()
    };
    let out_heads = if variant.combination == Combination::Plain { heads } else { pairs };
    let mut out = Array3::from_shape_fn((out_heads, queries, x.v.dim().2), |(o, i, e)| cell(o, i, e));
    for change in &variant.output {
        let before = out.clone();
        out = Array3::from_shape_fn(before.dim(), |(o, i, e)| {
            let y = before[[o, i, e]];
            match *change {
                OutputChange::Scale(c) => c * y,
                OutputChange::HeadNorm { epsilon, gain } => {
                    let n = before.dim().2;
                    let mean = (0..n).map(|e| before[[o, i, e]].powi(2)).sum::<f64>() / n as f64;
                    let gain = if gain == Gain::Learned { learned(Parameter::HeadGain)[[e]] } else { 1.0 };
                    y * gain / (mean + epsilon).sqrt()
                }
                OutputChange::Gate(form) => {
                    let at = if form == GateForm::Headwise { 0 } else { e };
                    y / (1.0 + (-learned(Parameter::Gate)[[o, i, at]]).exp())
                }
                _ => unreachable!(),
            }
        });
    }
    out
}

fn pair(pairing: Pairing, p: usize, pairs: usize) -> [usize; 2] {
    if pairing == Pairing::Neighbours { [2 * p, 2 * p + 1] } else { [p, pairs + p] }
}

fn map(heads: &HeadMap, h: usize) -> usize {
    match *heads {
        HeadMap::GroupedByFloor { query_heads, key_heads } => h * key_heads / query_heads,
        HeadMap::GroupedByModulo { key_heads, .. } => h % key_heads,
        HeadMap::MultiQuery => 0,
        _ => h,
    }
}

fn key_head(variant: &Variant, h: usize, heads: usize, key_heads: usize) -> usize {
    match variant.combination {
        Combination::DifferentialV1 { keys: PairKeys::Repeated, .. } => h / (heads / key_heads),
        Combination::DifferentialV1 { pairing: Pairing::Neighbours, .. } => {
            2 * map(&variant.heads, h / 2) + h % 2
        }
        Combination::DifferentialV1 { .. } => {
            let pairs = heads / 2;
            map(&variant.heads, h % pairs) + if h < pairs { 0 } else { key_heads / 2 }
        }
        _ => map(&variant.heads, h),
    }
}

fn value_head(variant: &Variant, h: usize, heads: usize, _: usize) -> usize {
    match variant.combination {
        Combination::DifferentialV1 { pairing: Pairing::Neighbours, .. } => map(&variant.heads, h / 2),
        Combination::DifferentialV1 { .. } => map(&variant.heads, h % (heads / 2)),
        _ => map(&variant.heads, h),
    }
}

fn rows(x: &Array3<f64>) -> Vec<Vec<Vec<f64>>> {
    x.outer_iter().map(|head| head.outer_iter().map(|row| row.to_vec()).collect()).collect()
}

fn row_change(
    change: &RowChange,
    x: Vec<Vec<Vec<f64>>>,
    offset: isize,
    gain: Option<&ArrayD<f64>>,
) -> Vec<Vec<Vec<f64>>> {
    let mut out = x.clone();
    for (h, head) in x.iter().enumerate() {
        for (i, row) in head.iter().enumerate() {
            let squares = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>();
            for (c, &number) in row.iter().enumerate() {
                out[h][i][c] = match *change {
                    RowChange::Unit { epsilon } => number / squares(row).sqrt().max(epsilon),
                    RowChange::Rms { over: NormOver::Head, epsilon, .. } => {
                        let rms = (squares(row) / row.len() as f64 + epsilon).sqrt();
                        number / rms * gain.map_or(1.0, |g| g[[c]])
                    }
                    RowChange::Rms { epsilon, .. } => {
                        let all: f64 = x.iter().map(|head| squares(&head[i])).sum();
                        let rms = (all / (x.len() * row.len()) as f64 + epsilon).sqrt();
                        number / rms * gain.map_or(1.0, |g| g[[h, c]])
                    }
                    RowChange::Rotary(rotary) => {
                        let w = rotary.width;
                        if c >= w {
                            out[h][i][c]
                        } else {
                            let (pair, first, partner) = match rotary.layout {
                                RotaryLayout::Interleaved => (c / 2, c % 2 == 0, c ^ 1),
                                RotaryLayout::HalfSplit => (c % (w / 2), c < w / 2, (c + w / 2) % w),
                            };
                            let angle = (i as isize + offset) as f64
                                * (-2.0 * pair as f64 / w as f64 * rotary.base.ln()).exp();
                            number * angle.cos()
                                + row[partner] * if first { -angle.sin() } else { angle.sin() }
                        }
                    }
                    _ => unreachable!(),
                };
            }
        }
    }
    out
}

fn score(score: Score, q: &[f64], k: &[f64]) -> f64 {
    let differences = || q.iter().zip(k).map(|(a, b)| a - b);
    match score {
        Score::DotProduct => q.iter().zip(k).map(|(a, b)| a * b).sum(),
        Score::NegativeManhattan => -differences().map(f64::abs).sum::<f64>(),
        Score::NegativeEuclidean => -differences().map(|x| x * x).sum::<f64>().sqrt(),
        Score::NegativeSquaredEuclidean => -differences().map(|x| x * x).sum::<f64>(),
        _ => unreachable!(),
    }
}

fn spread(x: &ArrayD<f64>, h: usize, i: usize, j: usize) -> f64 {
    let s = x.shape();
    x[[h.min(s[0] - 1), i.min(s[1] - 1), j.min(s[2] - 1)]]
}

fn allows(rule: &MaskRule, h: usize, i: usize, position: isize, j: usize) -> bool {
    let step = j as isize - position;
    match rule {
        MaskRule::Causal => step <= 0,
        MaskRule::Window(Window { back, ahead }) => {
            back.is_none_or(|n| -step <= n as isize) && ahead.is_none_or(|n| step <= n as isize)
        }
        MaskRule::Prefix { length } => j < *length || step <= 0,
        MaskRule::Documents { queries, keys } => queries[i] == keys[j],
        MaskRule::Blocks { queries, keys, attends } => {
            attends[[h.min(attends.dim().0 - 1), i / queries, j / keys]]
        }
        MaskRule::Pairs { pairs, polarity } => {
            let (a, b, c) = pairs.dim();
            let told = pairs[[h.min(a - 1), i.min(b - 1), j.min(c - 1)]];
            if *polarity == Polarity::TrueAttends { told } else { !told }
        }
        _ => unreachable!(),
    }
}

fn logit_change<'a>(
    change: &LogitChange,
    z: &Logits,
    offset: isize,
    learned: &impl Fn(Parameter) -> &'a ArrayD<f64>,
) -> Logits {
    let heads = z.len();
    let of = |h: usize, i: usize, j: usize, z_hij: f64| -> f64 {
        let position = i as isize + offset;
        let step = j as isize - position;
        match *change {
            LogitChange::Softcap(c) => c * (z_hij / c).tanh(),
            LogitChange::Bias => z_hij + spread(learned(Parameter::Bias), h, i, j),
            LogitChange::Temperature => z_hij * learned(Parameter::Temperature)[[h]],
            LogitChange::Alibi(slopes, distance) => {
                let far = if distance == Distance::Signed { -step } else { step.abs() } as f64;
                let slope = match slopes {
                    Slopes::Learned => learned(Parameter::Slopes)[[h]],
                    Slopes::Geometric => published_slopes(heads)[h],
                    Slopes::NextPowerOfTwo => {
                        0.5f64.powf(8.0 * (h + 1) as f64 / heads.next_power_of_two() as f64)
                    }
                };
                z_hij - slope * far
            }
            LogitChange::Buckets(buckets) => {
                let mut first = 0;
                let mut n = buckets.count;
                let distance = if buckets.direction == Direction::Bidirectional {
                    n /= 2;
                    first = if step > 0 { n } else { 0 };
                    step.abs()
                } else {
                    (-step).max(0)
                } as usize;
                let half = n / 2;
                let inside = if distance < half {
                    distance
                } else {
                    let share =
                        (distance as f64 / half as f64).ln() / (buckets.farthest as f64 / half as f64).ln();
                    (half + (share * (n - half) as f64).floor() as usize).min(n - 1)
                };
                z_hij + learned(Parameter::Buckets)[[first + inside, h]]
            }
            LogitChange::Forgetting => {
                let gates = learned(Parameter::LogForget);
                z_hij + (j + 1..=position as usize).map(|l| gates[[h, l]]).sum::<f64>()
            }
            LogitChange::Selective { head } => {
                let may = |i: usize| j != 0 && j as isize != i as isize + offset;
                z_hij - (0..i).filter(|&i| may(i)).map(|i| z[head][i][j].unwrap_or(0.0).max(0.0)).sum::<f64>()
            }
            LogitChange::MixHeads(mixing) => {
                let m = learned(Parameter::MixLogits);
                let own = if mixing == Mixing::Add { z_hij } else { 0.0 };
                own + (0..heads).map(|o| m[[h, o]] * z[o][i][j].unwrap()).sum::<f64>()
            }
            _ => unreachable!(),
        }
    };
    let row = |h: usize, i: usize| -> Vec<Option<f64>> {
        z[h][i].iter().enumerate().map(|(j, z)| z.map(|z| of(h, i, j, z))).collect()
    };
    (0..heads).map(|h| (0..z[h].len()).map(|i| row(h, i)).collect()).collect()
}

/// Computes the slopes like the code released with the paper: directly for a power of two, otherwise from two powers of two.
fn published_slopes(heads: usize) -> Vec<f64> {
    if heads.is_power_of_two() {
        let start = 2f64.powf(-(2f64.powf(-((heads as f64).log2() - 3.0))));
        return (0..heads).map(|n| start * start.powi(n as i32)).collect();
    }
    let below = 1 << (heads as f64).log2().floor() as usize;
    let mut slopes = published_slopes(below);
    slopes.extend(published_slopes(2 * below).into_iter().step_by(2).take(heads - below));
    slopes
}

fn normalise<'a>(
    normaliser: Normaliser,
    z: &[Option<f64>],
    h: usize,
    learned: &impl Fn(Parameter) -> &'a ArrayD<f64>,
) -> Vec<f64> {
    let seen: Vec<f64> = z.iter().flatten().copied().collect();
    let each = |of: &dyn Fn(f64) -> f64| z.iter().map(|z| z.map_or(0.0, of)).collect::<Vec<f64>>();
    let softmax = |kept: &[f64], extra: Option<f64>| {
        let top = kept.iter().copied().chain(extra).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = kept.iter().copied().chain(extra).map(|z| (z - top).exp()).sum();
        (top, total)
    };
    // The threshold at which the weights sum to 1, by bisection.
    let threshold = |weight: &dyn Fn(f64) -> f64| {
        let top = seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut low, mut high) = (top - 3.0, top + 3.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            let sum: f64 = seen.iter().map(|z| weight(z - middle)).sum();
            if sum > 1.0 { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    };
    if seen.is_empty() {
        return vec![0.0; z.len()];
    }
    match normaliser {
        Normaliser::Softmax => {
            let (top, total) = softmax(&seen, None);
            each(&|z| (z - top).exp() / total)
        }
        Normaliser::SoftmaxPlusOne => {
            let (top, total) = softmax(&seen, Some(0.0));
            each(&|z| (z - top).exp() / total)
        }
        Normaliser::LearnedSink => {
            let (top, total) = softmax(&seen, Some(learned(Parameter::Sink)[[h]]));
            each(&|z| (z - top).exp() / total)
        }
        Normaliser::Sigmoid(bias) => {
            let bias = match bias {
                SigmoidBias::MinusLogKeys => -(z.len() as f64).ln(),
                SigmoidBias::Fixed(bias) => bias,
                SigmoidBias::Learned => learned(Parameter::SigmoidBias)[[h]],
            };
            each(&|z| 1.0 / (1.0 + (-z - bias).exp()))
        }
        Normaliser::Sparsemax => {
            let t = threshold(&|x| x.max(0.0));
            each(&|z| (z - t).max(0.0))
        }
        Normaliser::Entmax15 => {
            // For z/2: the threshold of z is twice the threshold of z/2.
            let t = threshold(&|x| (x / 2.0).max(0.0).powi(2));
            each(&|z| ((z - t) / 2.0).max(0.0).powi(2))
        }
        Normaliser::TopK { k, ties } => {
            let rank = |j: usize, own: f64| {
                let better = |(n, z): (usize, &Option<f64>)| {
                    z.is_some_and(|z| z > own || (ties == Ties::KeepFirst && z == own && n < j))
                };
                z.iter().enumerate().filter(|&(n, z)| better((n, z))).count()
            };
            let keep = |j: usize| z[j].is_some_and(|own| rank(j, own) < k);
            let kept: Vec<f64> = (0..z.len()).filter(|&j| keep(j)).map(|j| z[j].unwrap()).collect();
            let (top, total) = softmax(&kept, None);
            (0..z.len()).map(|j| if keep(j) { (z[j].unwrap() - top).exp() / total } else { 0.0 }).collect()
        }
        Normaliser::SignedSoftmax => {
            let sizes: Vec<f64> = seen.iter().map(|z| z.abs()).collect();
            let (top, total) = softmax(&sizes, None);
            each(&|z| if z == 0.0 { 0.0 } else { z.signum() * (z.abs() - top).exp() / total })
        }
        _ => unreachable!(),
    }
}
