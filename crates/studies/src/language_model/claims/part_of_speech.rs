//! Parts of speech read from a few latents, against three baselines.

use super::protocol::{BELOW_NIGHTLY, Protocol, material};
use super::study::study;
use crate::bootstrap::document_bootstrap;
use crate::data;
use crate::error::StudyError;
use crate::language_model::setup::{CONTEXT, LanguageModelSetup};
use crate::probe::{Confusion, Features, SparseProbe, class_correlations};
use crate::rows::{flat, width_at};
use crate::text::Split;
use crate::text::brown::{PartOfSpeech, TaggedDocument, read, running_text};
use collimate_claims::figures::Bars;
use collimate_claims::{Claims, Context, Meta, Outcome, Subject, Tier, Zone};
use collimate_measure::Interval;
use collimate_sae::presets::Preset;
use collimate_transformer::{Capture, Run, Site};
use ndarray::{Array2, ArrayView1, Axis};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of latents or neurons that a probe may read.
const FEATURES: usize = 5;

/// The k of the dictionary that is probed. The dictionary is also a point of the loss-recovered curves.
const K: f64 = 32.0;

/// The corpus, which is downloaded on request.
const CORPUS: &str = "the Brown corpus";

const PROTOCOL: &str = "Brown corpus, split by document; the label is the word's part of speech (12 classes after Petrov et \
    al. 2012), read at the word's last token. For each class that makes up at least 1 % of the training words, the five \
    features with the largest absolute correlation on training documents feed a logistic regression whose threshold \
    maximises F1 there; the score is the mean F1 over these classes on held-out documents. Latents come from a TopK \
    dictionary (k = 32) on SmolLM2's residual stream behind layer 9, trained on the Jargon File and not on the Brown corpus. \
    99 % percentile interval of the difference by bootstrap over held-out documents (approximate). Supported above 0, \
    refuted below 0.02.";

const UNTRAINED: Meta = Meta::empirical(
    "sae/part-of-speech-beats-an-untrained-dictionary",
    Subject::Sae,
    "Five latents of a trained dictionary predict parts of speech better than five latents of an untrained one, by at least \
     0.02 in mean F1.",
    PROTOCOL,
)
.source("Gurnee et al. (2023), Finding Neurons in a Haystack; the baseline of Heap et al. (2025), Sparse Autoencoders Can Interpret Randomly Initialized Transformers")
.tier(Tier::Standard)
.on_request(CORPUS)
.below_nightly(BELOW_NIGHTLY);

const NEURONS: Meta = Meta::empirical(
    "sae/part-of-speech-beats-neurons",
    Subject::Sae,
    "Five latents of a trained dictionary predict parts of speech better than the best five neurons of the same layer's MLP, by \
     at least 0.02 in mean F1.",
    PROTOCOL,
)
.source("Gurnee et al. (2023)")
.tier(Tier::Standard)
.on_request(CORPUS)
.below_nightly(BELOW_NIGHTLY);

const TOKEN: Meta = Meta::empirical(
    "sae/part-of-speech-beats-the-token-itself",
    Subject::Sae,
    "Five latents predict parts of speech better than looking up the most frequent tag of the token, by at least 0.02 in mean F1.",
    PROTOCOL,
)
.source("the usual baseline of part-of-speech tagging: Manning (2011)")
.tier(Tier::Standard)
.on_request(CORPUS)
.below_nightly(BELOW_NIGHTLY);

pub(super) fn claims() -> Claims {
    Claims::new()
        .with(study(UNTRAINED, |context, setup| compare(context, setup, UNTRAINED_NAME)))
        .with(study(NEURONS, |context, setup| compare(context, setup, NEURONS_NAME)))
        .with(study(TOKEN, |context, setup| compare(context, setup, TOKEN_NAME)))
}

const TRAINED_NAME: &str = "five latents, trained";
const UNTRAINED_NAME: &str = "five latents, untrained";
const NEURONS_NAME: &str = "five MLP neurons";
const TOKEN_NAME: &str = "the token's most frequent tag";

/// Words with the activations at their last tokens.
struct Labelled {
    documents: Vec<u32>,
    tokens: Vec<u32>,
    labels: Vec<usize>,
    residual: Array2<f32>,
    neurons: Array2<f32>,
}

/// The counts of right and wrong predictions, for each contender, held-out document and class.
struct Results {
    classes: Vec<usize>,
    documents: usize,
    words: usize,
    counts: BTreeMap<&'static str, Vec<Vec<Confusion>>>,
}

impl Results {
    /// Computes the mean F1 over the classes on drawn documents.
    fn score(&self, contender: &str, drawn: &[usize]) -> f64 {
        let counts = &self.counts[contender];
        let f1 =
            |class: usize| drawn.iter().fold(Confusion::default(), |sum, &d| sum.and(counts[d][class])).f1();
        (0..self.classes.len()).map(f1).sum::<f64>() / self.classes.len() as f64
    }
}

fn compare(
    context: &mut Context,
    setup: &'static LanguageModelSetup,
    against: &'static str,
) -> Result<Outcome, StudyError> {
    let results = results(context, setup)?;
    let whole: Vec<usize> = (0..results.documents).collect();
    let difference = |drawn: &[usize]| results.score(TRAINED_NAME, drawn) - results.score(against, drawn);
    let replicates =
        document_bootstrap(results.documents, 2000, &mut context.named_stream("bootstrap"), difference);
    let interval = Interval::percentile(&replicates, 0.99)?;
    let zone = Zone::at_least(0.02, 0.02);
    let estimate = difference(&whole);
    let mut bars = Bars::new(
        "Part of speech from few features",
        "Mean F1 over classes on held-out documents of the Brown corpus, with 99 % bootstrap intervals over documents.",
        "mean F1",
    );
    let mut outcome = Outcome::new(zone.decide(&interval))
        .trials(results.documents as u64)
        .estimate(estimate)
        .margin(zone.margin(estimate))
        .approximate_interval(interval)
        .note(format!(
            "{} words in {} held-out documents, {} classes",
            results.words,
            results.documents,
            results.classes.len()
        ));
    for &contender in results.counts.keys() {
        let replicates =
            document_bootstrap(results.documents, 500, &mut context.named_stream(contender), |drawn| {
                results.score(contender, drawn)
            });
        let interval = Interval::percentile(&replicates, 0.99)?;
        let score = results.score(contender, &whole);
        bars = bars.with(contender, score, Some((interval.low, interval.high)));
        let by_class: Vec<String> = results
            .classes
            .iter()
            .enumerate()
            .map(|(i, &class)| {
                let sum = results.counts[contender].iter().fold(Confusion::default(), |sum, c| sum.and(c[i]));
                format!("{:?} {:.2}", PartOfSpeech::ALL[class], sum.f1())
            })
            .collect();
        outcome = outcome.note(format!("{contender}: mean F1 {score:.3} ({})", by_class.join(", ")));
    }
    Ok(outcome.figure(bars.figure()))
}

/// Returns the results of this run, computed on first use.
fn results(context: &Context, setup: &LanguageModelSetup) -> Result<Arc<Results>, StudyError> {
    context.once("parts of speech", || {
        let corpus = read(&data::locate_brown(&setup.cache)?)?;
        let (train_documents, held_out_documents, tokens) =
            context.by_tier([(40, 24, 510), (40, 24, 510), (120, 60, 1020)]);
        let split = Split::by_document(corpus.len(), 0.25, 0);
        let take = |chosen: &[usize], count: usize| {
            let documents: Vec<_> = chosen.iter().take(count).map(|&i| (i as u32, &corpus[i])).collect();
            labelled(context, setup, &documents, tokens)
        };
        let train = take(&split.train, train_documents)?;
        let held_out = take(&split.held_out, held_out_documents)?;
        judge(context, setup, &train, &held_out)
    })
}

/// Fits the probes of all contenders on the training words and counts their predictions on the held-out words.
fn judge(
    context: &Context,
    setup: &LanguageModelSetup,
    train: &Labelled,
    held_out: &Labelled,
) -> Result<Results, StudyError> {
    let protocol = Protocol::of(context.tier(), setup.model.description().width);
    let shards = &material(context, setup, &protocol)?.shards;
    let recipe = protocol.recipe(Preset::TopK, K, 0);
    let trained = setup.dictionary(shards, &recipe, context.interrupt_flag(), &mut |_| ())?;
    let untrained = setup.untrained(shards, &recipe)?;
    let n_classes = PartOfSpeech::ALL.len();
    let mut share = vec![0; n_classes];
    train.labels.iter().for_each(|&label| share[label] += 1);
    let classes: Vec<usize> = (0..n_classes).filter(|&c| share[c] * 100 >= train.labels.len()).collect();
    let mut first = held_out.documents.clone();
    first.dedup();
    let document_of = |row: usize| first.iter().position(|d| *d == held_out.documents[row]).expect("listed");
    let places: Vec<usize> = (0..held_out.labels.len()).map(document_of).collect();
    let count = |predictions: &[Vec<bool>]| {
        let mut counts = vec![vec![Confusion::default(); classes.len()]; first.len()];
        for (i, (&class, predicted)) in classes.iter().zip(predictions).enumerate() {
            for (row, &yes) in predicted.iter().enumerate() {
                counts[places[row]][i].count(yes, held_out.labels[row] == class);
            }
        }
        counts
    };
    let probe = |train_features: &Features, held_out_features: &Features| {
        let correlations = class_correlations(train_features, &train.labels, n_classes);
        let fit = |&class: &usize| {
            SparseProbe::fit(train_features, &train.labels, class, &correlations, FEATURES)
                .predict(held_out_features)
        };
        count(&classes.iter().map(fit).collect::<Vec<_>>())
    };
    let mut counts = BTreeMap::new();
    for (name, sae) in [(TRAINED_NAME, &trained), (UNTRAINED_NAME, &untrained)] {
        context.progress(0, 1, name);
        let features = |x: &Array2<f32>| Ok::<_, StudyError>(Features::Sparse(sae.dictionary().encode(x)?));
        counts.insert(name, probe(&features(&train.residual)?, &features(&held_out.residual)?));
    }
    context.progress(0, 1, NEURONS_NAME);
    counts.insert(
        NEURONS_NAME,
        probe(&Features::Dense(train.neurons.clone()), &Features::Dense(held_out.neurons.clone())),
    );
    let guess = most_frequent_tag(train, n_classes);
    let by_token: Vec<usize> = held_out.tokens.iter().map(|token| guess(*token)).collect();
    let looked_up: Vec<Vec<bool>> =
        classes.iter().map(|&c| by_token.iter().map(|&g| g == c).collect()).collect();
    counts.insert(TOKEN_NAME, count(&looked_up));
    Ok(Results { classes, documents: first.len(), words: held_out.labels.len(), counts })
}

/// Returns a function to the most frequent tag of a token in the training words. For an unseen token it is the most frequent tag of all.
fn most_frequent_tag(train: &Labelled, n_classes: usize) -> impl Fn(u32) -> usize {
    let mut counts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut all = vec![0; n_classes];
    for (&token, &label) in train.tokens.iter().zip(&train.labels) {
        counts.entry(token).or_insert_with(|| vec![0; n_classes])[label] += 1;
        all[label] += 1;
    }
    // Among equally frequent tags, the first is taken.
    let best = |counts: &[u32]| (0..counts.len()).rev().max_by_key(|&c| counts[c]).unwrap_or(0);
    let fallback = best(&all);
    let table: BTreeMap<u32, usize> = counts.iter().map(|(&token, counts)| (token, best(counts))).collect();
    move |token| table.get(&token).copied().unwrap_or(fallback)
}

/// Runs the model on the first tokens of some documents and collects the activations at the last token of each word.
fn labelled(
    context: &Context,
    setup: &LanguageModelSetup,
    documents: &[(u32, &TaggedDocument)],
    limit: usize,
) -> Result<Labelled, StudyError> {
    let (residual_point, neuron_point) = (setup.residual(), Site::MlpNeurons.of_layer(setup.layer));
    let empty = |point| Ok::<_, StudyError>(Array2::zeros((0, width_at(&setup.model, point)?)));
    let (mut residual, mut neurons) = (empty(residual_point)?, empty(neuron_point)?);
    let (mut numbers, mut tokens, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (done, &(number, document)) in documents.iter().enumerate() {
        if context.interrupted() {
            return Err(StudyError::Interrupted);
        }
        context.progress(done as u64, documents.len() as u64, "Brown corpus: activations at word ends");
        let (text, ranges) = running_text(&document.words);
        let mut pieces = setup.tokenizer.encode_with_ranges(&text)?;
        pieces.truncate(limit);
        let mut word = 0;
        for window in pieces.chunks(CONTEXT - 1) {
            let ids: Vec<u32> =
                std::iter::once(setup.start).chain(window.iter().map(|(id, _)| *id)).collect();
            let mut capture = Capture::at([residual_point, neuron_point]);
            setup.model.visit(Run::of(&ids), &mut capture)?;
            let at = |capture: &mut Capture, point| -> Result<Array2<f32>, StudyError> {
                Ok(flat(&capture.take(point)?.view()))
            };
            let (x, h) = (at(&mut capture, residual_point)?, at(&mut capture, neuron_point)?);
            for (i, (id, range)) in window.iter().enumerate() {
                while word < ranges.len() && ranges[word].end < range.end {
                    word += 1;
                }
                // Only the last token of a word is labelled. A token across two words ends neither of them.
                if word < ranges.len() && ranges[word].end == range.end {
                    let push = |to: &mut Array2<f32>, row: ArrayView1<f32>| {
                        to.push(Axis(0), row).expect("one width")
                    };
                    push(&mut residual, x.row(i + 1));
                    push(&mut neurons, h.row(i + 1));
                    numbers.push(number);
                    tokens.push(*id);
                    labels.push(document.words[word].tag as usize);
                }
            }
        }
    }
    Ok(Labelled { documents: numbers, tokens, labels, residual, neurons })
}
