//! Claims about neurons that are shared by accident, and about attention heads with several behaviours.

use super::extremes::largest;
use crate::models::{
    HeadBehaviours, IncidentalNeurons, SkipTrigrams, neuron_collisions, polysemantic_neurons,
};
use collimate_claims::{
    Claims, ConfidenceSequence, Exact, Meta, Method, Outcome, Proportion, Study, Subject, Tier, Verdict, Why,
};
use collimate_stream::RngStream;
use ndarray::Array1;

const LECOMTE: &str = "Lecomte et al. (2023), What Causes Polysemanticity?";

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    let expected = Meta::theorem(
        "superposition/expected-collisions",
        Subject::Superposition,
        "before training, the expected number of pairs of features with the same largest neuron among m neurons is n(n − 1)/(2m)",
    )
    .code("P6")
    .source(LECOMTE)
    .protocol("12 features on 16 neurons; empirical-Bernstein interval at 1e-9, width below a tenth");
    let ample = Meta::counterexample(
        "superposition/ample-width-is-monosemantic",
        Subject::Superposition,
        "with as many neurons as features, training with an L1 penalty leaves no neuron with two features",
    )
    .code("P7")
    .source(LECOMTE)
    .protocol(
        "32 features and neurons, the default of `IncidentalNeurons`; a neuron has two features when two weights exceed a quarter of the \
         largest; the belief is a rate of 0.9, refuted with error 1e-6 at 0.3 or less",
    )
    .tier(Tier::Standard);
    let head = Meta::theorem(
        "superposition/head-of-two-behaviours",
        Subject::Superposition,
        "a head with enough dimensions serves several behaviours without any of them disturbing another",
    )
    .code("P8")
    .source("the output of a head is a matrix of high rank: polysemantic without superposition");
    let heads = Meta::empirical(
        "superposition/heads-in-superposition",
        Subject::Superposition,
        "two attention heads learn more skip-trigrams than each could serve alone, although the output of a head cannot depend on the destination",
        "2 sources there in 10 % of the samples each, 3 destinations, every pair with an answer of its own; 2 heads of dimension 2, 2,000 \
         steps of Adam at 1e-2 with a cosine, 128 samples each; the best of eight runs, as outputs often die; success when its loss on 20,000 \
         fresh samples is below 0.7 times what serving two destinations perfectly and ignoring the third would leave, which takes five of \
         the six pairs. Supported above a rate of 0.5, refuted below 0.9, errors 1e-3. The bound was chosen on other seeds",
    )
    .source("Jermyn, Olah, Henighan (2023), Attention Head Superposition, for the question; task and bound are ours")
    .tier(Tier::Standard);
    Claims::new()
        .with(Study::new(expected).run(|context| {
            let sizes = IncidentalNeurons { features: 12, neurons: 16, ..IncidentalNeurons::default() };
            let (truth, pairs) = (1.0 / 16.0, 66.0);
            let base = context.named_stream("starts");
            let mut sequence = ConfidenceSequence::new(0.0, 1.0, 1e-9, Method::EmpiricalBernstein)
                .expect("constant bounds and error rate");
            for i in 0..200_000_u64 {
                let Ok(start) = sizes.start(&mut base.child(i)) else {
                    return Outcome::inconclusive(Why::Invalid("no start".to_owned()));
                };
                if sequence.push(neuron_collisions(&start) as f64 / pairs).is_err() {
                    return Outcome::inconclusive(Why::Invalid("a share of pairs left [0, 1]".to_owned()));
                }
                let interval = sequence.interval();
                let inside = interval.low <= truth && truth <= interval.high;
                let verdict = match (inside, interval.high - interval.low) {
                    (false, _) => Verdict::Refuted,
                    (true, width) if width < 0.1 * truth => Verdict::Upheld,
                    _ => continue,
                };
                return Outcome::new(verdict).trials(i + 1).interval(interval);
            }
            Outcome::inconclusive(Why::Cap)
        }))
        .with(Proportion::new(ample).hypotheses(0.3, 0.9).errors(1e-6, 1e-6).cap(100).trial(|stream| {
            IncidentalNeurons::default().train(stream).is_ok_and(|w| polysemantic_neurons(&w, 0.25) == 0)
        }))
        .with(Proportion::new(heads).hypotheses(0.5, 0.9).errors(1e-3, 1e-3).cap(200).trial(|stream| {
            let task = SkipTrigrams::default();
            let fresh = task.samples(20_000, &mut stream.child(7));
            let loss = |run: u64| {
                let trained = task.train(128, 2000, 1e-2, &stream.child(8).child(run));
                trained.map_or(f64::INFINITY, |layer| layer.loss(&fresh))
            };
            let bound = 0.7 * task.dedicated(2);
            (0..8).any(|run| loss(run) < bound)
        }))
        .with(
            Exact::new(head)
                .dims(&[("behaviours", 2..=5), ("spare", 0..=6)])
                .names(&["behaviours", "width", "seed"])
                .input(|d, stream| Some((d[0], d[0] + d[1], stream.below(1 << 16) as u64)))
                .admits(|&(behaviours, width, _)| behaviours >= 2 && width >= behaviours && width <= 24)
                .margin(|&(behaviours, width, seed)| {
                    let mut stream = RngStream::new(seed, 0);
                    let Ok(head) = HeadBehaviours::orthogonal(behaviours, width, &mut stream) else {
                        return f64::NAN;
                    };
                    let Ok(circuit) = head.output_value(behaviours) else { return f64::NAN };
                    let strengths = Array1::from_shape_fn(behaviours, |_| stream.normal());
                    let attended = head.reads.dot(&strengths);
                    let (Ok(answers), Ok(disturbance)) =
                        (head.answers(&circuit, &attended), head.disturbance(&circuit))
                    else {
                        return f64::NAN;
                    };
                    let wrong = answers.iter().zip(&strengths).map(|(a, s)| (a - s).abs());
                    1e-12 - largest(wrong.chain(disturbance))
                }),
        )
}
