//! Induction heads, and the massive activation at the start token.

use super::study::study;
use crate::error::StudyError;
use crate::language_model::setup::LanguageModelSetup;
use crate::rows::residual_rows;
use collimate_attention::prefix_matching;
use collimate_claims::figures::Histogram;
use collimate_claims::{Claim, Claims, Context, Mean, Meta, Outcome, Subject, Why};
use collimate_measure::{Interval, Moments};
use collimate_stream::RngStream;
use collimate_transformer::{Capture, HookPoint, Run, Site};
use ndarray::{Array2, Axis, Ix4};

/// The number of random tokens that are repeated.
const LENGTH: usize = 50;

const NAMED: Meta = Meta::empirical(
    "attention/smollm2-l18h6-is-an-induction-head",
    Subject::Attention,
    "Head 6 of layer 18 of SmolLM2-135M-Instruct is an induction head: on repeated random tokens its mean prefix-matching score is \
     at least 0.6.",
    "Trials: 50 tokens drawn uniformly from the vocabulary (the first 100 ids, which are special, left out), twice, behind \
     the start token; the score is the head's mean attention from the second copy to the token after the earlier \
     occurrence, a number in [0, 1]. Anytime-valid bounds on its mean; supported above 0.5, refuted below 0.6; at most \
     200 trials. The head was named from published parity values, not from this run.",
)
.source("Olsson et al. (2022), In-context Learning and Induction Heads; measured here on SmolLM2-135M-Instruct");

const RARE: Meta = Meta::empirical(
    "attention/smollm2-induction-is-rare",
    Subject::Attention,
    "Few heads do induction: at most 5 % of SmolLM2's 270 heads have a prefix-matching score above 0.4, and at least one has.",
    "The score as in attention/smollm2-l18h6-is-an-induction-head, for all heads on the same random sequences. A head \
     counts as above 0.4 when Student's 99.9 % interval over sequences lies above it, and as not above when it lies below; \
     the claim is Inconclusive when the undecided heads could change the answer. The intervals are approximate.",
)
.below_nightly("quick 8, standard 16 and nightly 64 sequences; fewer leave more heads undecided")
.source("Olsson et al. (2022)");

const MASSIVE: Meta = Meta::counterexample(
    "attention/residual-norms-are-even",
    Subject::Attention,
    "The residual stream is about equally long at every position: none is ten times as long as the median position.",
)
.source("Sun et al. (2024), Massive Activations in Large Language Models; measured here on SmolLM2 behind layer 20");

pub(super) fn claims() -> Claims {
    Claims::new().with(study(NAMED, named)).with(study(RARE, rare)).with(study(MASSIVE, massive))
}

/// Draws random tokens and returns the start token followed by two copies of them.
fn repeated(setup: &LanguageModelSetup, stream: &mut RngStream) -> Vec<u32> {
    const SPECIAL: usize = 100;
    let n = setup.model.description().vocabulary - SPECIAL;
    let once: Vec<u32> = (0..LENGTH).map(|_| (SPECIAL + stream.below(n)) as u32).collect();
    [setup.start].into_iter().chain(once.iter().copied()).chain(once.iter().copied()).collect()
}

/// Computes the prefix-matching scores `[layers, h]` of the given layers on one sequence.
fn scores(
    setup: &LanguageModelSetup,
    tokens: &[u32],
    layers: std::ops::Range<usize>,
) -> Result<Array2<f64>, StudyError> {
    let points: Vec<HookPoint> = layers.map(|layer| Site::Pattern.of_layer(layer)).collect();
    let mut capture = Capture::at(points.iter().copied());
    setup.model.visit(Run::of(tokens), &mut capture)?;
    let mut table = Array2::zeros((points.len(), setup.model.description().layers[0].attention.heads));
    for (i, point) in points.into_iter().enumerate() {
        let pattern = capture.take(point)?.into_dimensionality::<Ix4>().expect("a pattern has four axes");
        for (head, one) in pattern.index_axis(Axis(0), 0).outer_iter().enumerate() {
            table[[i, head]] = prefix_matching(&one, tokens)?.value;
        }
    }
    Ok(table)
}

fn named(context: &mut Context, setup: &'static LanguageModelSetup) -> Result<Outcome, StudyError> {
    let trial = move |stream: &mut RngStream| {
        let tokens = repeated(setup, stream);
        // An error becomes NaN, which the test reports as a failed trial.
        scores(setup, &tokens, 18..19).map_or(f64::NAN, |table| table[[0, 6]].clamp(0.0, 1.0))
    };
    let claim = Mean::new(NAMED).bounds(0.0, 1.0).at_least(0.6, 0.1).errors(1e-3, 1e-3).cap(200).trial(trial);
    Ok(claim.run(context))
}

fn rare(context: &mut Context, setup: &'static LanguageModelSetup) -> Result<Outcome, StudyError> {
    let count: u64 = context.by_tier([8, 16, 64]);
    let mut stream = context.named_stream("sequences");
    let layers = setup.model.description().layers.len();
    let mut moments: Vec<Moments> = Vec::new();
    for i in 0..count {
        if context.interrupted() {
            return Err(StudyError::Interrupted);
        }
        context.progress(i, count, "patterns of all heads");
        let table = scores(setup, &repeated(setup, &mut stream), 0..layers)?;
        moments.resize(table.len(), Moments::new());
        moments.iter_mut().zip(&table).for_each(|(m, &score)| m.push(score));
    }
    let heads = setup.model.description().layers[0].attention.heads;
    let interval = |m: &Moments| Interval::student(m.mean(), m.standard_error(), m.count(), 0.999);
    let (mut above, mut undecided) = (0, 0);
    for m in &moments {
        let interval = interval(m)?;
        above += usize::from(interval.low > 0.4);
        undecided += usize::from(interval.contains(0.4));
    }
    let most = moments.len() / 20;
    let mut order: Vec<usize> = (0..moments.len()).collect();
    order.sort_by(|&a, &b| moments[b].mean().total_cmp(&moments[a].mean()));
    let name = |i: usize| format!("L{}H{}", i / heads, i % heads);
    let means: Vec<f64> = moments.iter().map(Moments::mean).collect();
    let mut figure = Histogram::new(
        "Prefix-matching scores of all heads",
        "Mean attention from a repeated random token to the token that followed its first occurrence. Most heads are at \
         zero; the induction heads stand apart on the right.",
        "prefix-matching score",
        &means,
        40,
    );
    for &i in order.iter().take(4) {
        figure = figure.mark(means[i], name(i));
    }
    let outcome = if above >= 1 && above + undecided <= most {
        Outcome::upheld()
    } else if above > most || above + undecided == 0 {
        Outcome::refuted()
    } else {
        Outcome::inconclusive(Why::Other(format!(
            "{undecided} heads cannot be distinguished from 0.4 with {count} sequences"
        )))
    };
    let best: Vec<String> = order.iter().take(8).map(|&i| format!("{} {:.3}", name(i), means[i])).collect();
    let median = {
        let mut sorted = means.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let mut outcome = outcome
        .trials(count)
        .estimate(above as f64 / moments.len() as f64)
        .margin(0.05 - above as f64 / moments.len() as f64)
        .figure(figure.figure())
        .note(format!("highest: {}; median over all {} heads {median:.4}", best.join(", "), moments.len()))
        .note(format!("{above} heads above 0.4, {undecided} undecided, at most {most} allowed"));
    outcome.approximate = true;
    Ok(outcome)
}

fn massive(_: &mut Context, setup: &'static LanguageModelSetup) -> Result<Outcome, StudyError> {
    let text = "The capital of France is";
    let tokens: Vec<u32> = std::iter::once(setup.start).chain(setup.tokenizer.encode(text)?).collect();
    let layer = setup.layer_like(20);
    let residual = residual_rows(&setup.model, &tokens, layer + 1)?;
    let norms: Vec<f64> = residual
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt())
        .collect();
    let mut sorted = norms.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let (position, longest) = norms
        .iter()
        .copied()
        .enumerate()
        .fold((0, 0.0), |best, (i, n)| if n > best.1 { (i, n) } else { best });
    Ok(Outcome::of_margin(10.0 - longest / median)
        .trials(1)
        .counterexample(format!(
            "let tokens = {tokens:?}; // the start token and {text:?}\n// after layer {layer} the residual at position \
             {position} has norm {longest:.0}; the median position has {median:.0}"
        )))
}
