//! Attention heads in superposition: heads that are trained for more behaviours than there are heads.

use super::adam;
use crate::error::SuperpositionError;
use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use std::ops::Range;

/// One attention layer that completes skip-trigrams `source … destination → answer`. Each pair has its own answer.
///
/// ```text
/// e_h(a) = q_h(d) · k_h(a)          α_h(a) = exp e_h(a) / (1 + Σ_present exp e_h)        the 1 is a resting position
/// z_c    = b_c + Σ_h o_h(c) · Σ_a α_h(a) v_h(a)                     y = ReLU(z)
/// L      = mean over samples of Σ_c (y_c − t_c)²                     t_(a,d) = 1 for each source a that is present
/// ```
///
/// The output of a head depends on the source alone, so one head can serve a source for one destination only. Several heads together
/// can serve more destinations than there are heads if few sources are present at once, each destination by its own pattern of heads.
/// This is attention head superposition (claim `superposition/heads-in-superposition`).
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::SkipTrigrams;
/// let task = SkipTrigrams { sources: 2, destinations: 2, heads: 2, ..SkipTrigrams::default() };
/// // Ignoring one destination of two and predicting its mean costs the variance of its two answers.
/// assert!((task.dedicated(1) - 2.0 * 0.05 * 0.95).abs() < 1e-12);
/// assert_eq!(task.parameters(), 2 * (2 * 2 + 2 * 2 + 2 * 2 + 4 * 2) + 4);
/// assert_eq!(task.samples(7, &mut RngStream::new(1, 0)).len(), 7);
/// ```
///
/// # References
/// A. Jermyn, C. Olah, T. Henighan (2023), "Attention Head Superposition", for the question. Unlike there, the answers are independent
/// ReLU outputs with a squared loss instead of one softmax, so that the loss of serving only some destinations is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SkipTrigrams {
    /// The number of source tokens.
    pub sources: usize,
    /// The number of destination tokens, which are equally frequent.
    pub destinations: usize,
    /// The number of heads.
    pub heads: usize,
    /// The dimension of the queries, keys and values of a head.
    pub dimension: usize,
    /// The probability that a source is in the sequence, independently for each source.
    pub present: f64,
}

impl Default for SkipTrigrams {
    /// Returns two sources, three destinations and two heads of dimension 2, with each source in a tenth of the samples.
    fn default() -> Self {
        Self { sources: 2, destinations: 3, heads: 2, dimension: 2, present: 0.1 }
    }
}

/// The tokens of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrigramSample {
    /// The destination token at the end.
    pub destination: usize,
    /// The source tokens before the destination.
    pub sources: Vec<usize>,
}

/// A trained layer.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedTrigrams {
    /// The task.
    pub task: SkipTrigrams,
    /// All parameters, in the order of [`TrigramLoss`].
    pub parameters: Vec<f64>,
}

/// The positions of the parameters of a head.
struct Places {
    query: usize,
    key: usize,
    value: usize,
    answer: usize,
}

impl SkipTrigrams {
    /// Returns the number of parameters: queries, keys, values and answers of each head, then one bias per answer.
    pub fn parameters(&self) -> usize {
        self.heads * self.each() + self.answers()
    }

    fn answers(&self) -> usize {
        self.sources * self.destinations
    }

    fn each(&self) -> usize {
        self.dimension * (self.destinations + 2 * self.sources + self.answers())
    }

    fn places(&self, head: usize) -> Places {
        let (query, r) = (head * self.each(), self.dimension);
        let key = query + self.destinations * r;
        let value = key + self.sources * r;
        Places { query, key, value, answer: value + self.sources * r }
    }

    fn check(&self) -> Result<(), SuperpositionError> {
        for (argument, size) in [
            ("sources", self.sources),
            ("destinations", self.destinations),
            ("heads", self.heads),
            ("dimension", self.dimension),
        ] {
            ensure(size > 0, argument, "at least 1", size as f64)?;
        }
        Ok(ensure((0.0..=1.0).contains(&self.present), "present", "0 to 1", self.present)?)
    }

    /// Returns a lower bound on the loss of a layer that serves `served` destinations and predicts the means of the other answers.
    ///
    /// ```text
    /// (destinations − served) · sources · p (1 − p)        p = present / destinations
    /// ```
    pub fn dedicated(&self, served: usize) -> f64 {
        let p = self.present / self.destinations as f64;
        (self.destinations.saturating_sub(served) * self.sources) as f64 * p * (1.0 - p)
    }

    /// Draws sequences.
    pub fn samples(&self, count: usize, stream: &mut RngStream) -> Vec<TrigramSample> {
        let one = |stream: &mut RngStream| TrigramSample {
            destination: stream.below(self.destinations),
            sources: (0..self.sources).filter(|_| stream.bernoulli(self.present)).collect(),
        };
        (0..count).map(|_| one(stream)).collect()
    }

    /// Splits the working memory into the outputs, the mixed values of each head, the attention weights of each head, and the
    /// gradient of the mixed value of one head.
    fn parts<'a>(&self, work: &'a mut [f64]) -> [&'a mut [f64]; 4] {
        let (z, rest) = work.split_at_mut(self.answers());
        let (mixed, rest) = rest.split_at_mut(self.heads * self.dimension);
        let (weight, pull) = rest.split_at_mut(self.heads * self.sources);
        [z, mixed, weight, pull]
    }

    /// Returns the positions of vector `i` of a head: `i·r..(i + 1)·r` after `start`.
    fn row(&self, start: usize, i: usize) -> Range<usize> {
        start + i * self.dimension..start + (i + 1) * self.dimension
    }

    /// Computes the outputs before their ReLU, the mixed values and the attention weights.
    fn forward(&self, w: &[f64], sample: &TrigramSample, work: &mut [f64]) {
        let (r, bias) = (self.dimension, self.heads * self.each());
        let [z, mixed, weight, _] = self.parts(work);
        z.copy_from_slice(&w[bias..bias + self.answers()]);
        mixed.fill(0.0);
        for h in 0..self.heads {
            let at = self.places(h);
            let query = &w[self.row(at.query, sample.destination)];
            let weight = &mut weight[h * self.sources..(h + 1) * self.sources];
            // The resting position has score 0, so the largest score is at least 0.
            let mut top = 0.0_f64;
            for &a in &sample.sources {
                weight[a] = dot(query, &w[self.row(at.key, a)]);
                top = top.max(weight[a]);
            }
            let mut total = (-top).exp();
            for &a in &sample.sources {
                weight[a] = (weight[a] - top).exp();
                total += weight[a];
            }
            let mixed = &mut mixed[h * r..(h + 1) * r];
            for &a in &sample.sources {
                weight[a] /= total;
                mixed.iter_mut().zip(&w[self.row(at.value, a)]).for_each(|(m, v)| *m += weight[a] * v);
            }
            for (answer, z) in z.iter_mut().enumerate() {
                *z += dot(&w[self.row(at.answer, answer)], mixed);
            }
        }
    }

    /// Computes the loss of one sample times `share` and replaces the outputs in `work` by their derivatives.
    fn sample_loss(&self, w: &[f64], sample: &TrigramSample, share: f64, work: &mut [f64]) -> f64 {
        self.forward(w, sample, work);
        let mut loss = 0.0;
        for (answer, z) in work[..self.answers()].iter_mut().enumerate() {
            let (source, destination) = (answer / self.destinations, answer % self.destinations);
            let wanted = destination == sample.destination && sample.sources.contains(&source);
            let error = z.max(0.0) - f64::from(u8::from(wanted));
            loss += share * error * error;
            *z = if *z > 0.0 { 2.0 * share * error } else { 0.0 };
        }
        loss
    }

    /// Computes the loss of one sample times `share` and adds its gradient to `out`.
    fn accumulate(
        &self,
        w: &[f64],
        sample: &TrigramSample,
        share: f64,
        work: &mut [f64],
        out: &mut [f64],
    ) -> f64 {
        let (r, bias) = (self.dimension, self.heads * self.each());
        let loss = self.sample_loss(w, sample, share, work);
        let [z, mixed, weight, pull] = self.parts(work);
        out[bias..].iter_mut().zip(&*z).for_each(|(out, delta)| *out += delta);
        for h in 0..self.heads {
            let at = self.places(h);
            let (mixed, weight) = (&mixed[h * r..(h + 1) * r], &weight[h * self.sources..]);
            pull[..r].fill(0.0);
            for (answer, &delta) in z.iter().enumerate().filter(|(_, delta)| **delta != 0.0) {
                let place = self.row(at.answer, answer);
                for k in 0..r {
                    out[place.start + k] += delta * mixed[k];
                    pull[k] += delta * w[place.start + k];
                }
            }
            let pull = &pull[..r];
            let mean: f64 =
                sample.sources.iter().map(|&a| weight[a] * dot(&w[self.row(at.value, a)], pull)).sum();
            for &a in &sample.sources {
                let (query, key, value) =
                    (self.row(at.query, sample.destination), self.row(at.key, a), self.row(at.value, a));
                let score = weight[a] * (dot(&w[value.clone()], pull) - mean);
                for k in 0..r {
                    out[value.start + k] += weight[a] * pull[k];
                    out[query.start + k] += score * w[key.start + k];
                    out[key.start + k] += score * w[query.start + k];
                }
            }
        }
        loss
    }

    fn work(&self) -> usize {
        self.answers() + self.heads * (self.dimension + self.sources) + self.dimension
    }

    /// Trains on fresh samples with Adam at a learning rate that falls along half a cosine.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for empty sizes, a probability or a rate out of range; [`SuperpositionError::Diverged`] if a
    /// gradient is not finite.
    ///
    /// # Determinism
    /// The start uses `stream.child(0)` and the data `stream.child(1)`.
    pub fn train(
        &self,
        batch: usize,
        steps: u64,
        learning_rate: f64,
        stream: &RngStream,
    ) -> Result<TrainedTrigrams, SuperpositionError> {
        self.check()?;
        ensure(batch > 0, "batch", "at least 1", 0.0)?;
        let mut initial = stream.child(0);
        let scale = 1.0 / (self.dimension as f64).sqrt();
        let mut point: Vec<f64> = (0..self.heads * self.each()).map(|_| scale * initial.normal()).collect();
        // Biases at the mean of the answers, so that no output is dead at the start.
        point.resize(self.parameters(), self.present / self.destinations as f64);
        let (mut data, mut work) = (stream.child(1), vec![0.0; self.work()]);
        adam::train(&mut point, steps, learning_rate, |point, gradient| {
            for sample in self.samples(batch, &mut data) {
                self.accumulate(point, &sample, 1.0 / batch as f64, &mut work, gradient);
            }
        })?;
        Ok(TrainedTrigrams { task: *self, parameters: point })
    }
}

impl TrainedTrigrams {
    /// Returns the mean loss over samples.
    ///
    /// # Units and range
    /// The squared error of a sample, summed over answers; 0 for no sample.
    pub fn loss(&self, samples: &[TrigramSample]) -> f64 {
        let mut work = vec![0.0; self.task.work()];
        let share = 1.0 / samples.len().max(1) as f64;
        samples.iter().map(|s| self.task.sample_loss(&self.parameters, s, share, &mut work)).sum()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The loss of a layer on fixed samples, as an [`Objective`] that also gives the losses of single samples.
///
/// The parameters are, for each head, queries `[destinations, dimension]`, keys and values `[sources, dimension]` and answers
/// `[answers, dimension]`, then the biases `[answers]`. Answer `a · destinations + d` belongs to the pair (a, d).
#[derive(Clone, Debug, PartialEq)]
pub struct TrigramLoss {
    task: SkipTrigrams,
    data: Vec<TrigramSample>,
}

impl TrigramLoss {
    /// Creates a loss over samples.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no sample, empty sizes, or a token that does not exist.
    pub fn new(task: SkipTrigrams, data: Vec<TrigramSample>) -> Result<Self, SuperpositionError> {
        task.check()?;
        ensure(!data.is_empty(), "samples", "at least 1", 0.0)?;
        for sample in &data {
            let d = sample.destination;
            ensure(d < task.destinations, "destination", "below the number of destinations", d as f64)?;
            for &a in &sample.sources {
                ensure(a < task.sources, "source", "below the number of sources", a as f64)?;
            }
        }
        Ok(Self { task, data })
    }
}

impl Objective<f64> for TrigramLoss {
    fn n_parameters(&self) -> usize {
        self.task.parameters()
    }

    fn n_samples(&self) -> usize {
        self.data.len()
    }

    fn loss_and_gradient_into(
        &self,
        w: &[f64],
        batch: Batch<'_>,
        scratch: &mut Scratch,
        out: &mut [f64],
    ) -> f64 {
        out.fill(0.0);
        let [work] = scratch.floats::<f64, 1>([self.task.work()]);
        let share = 1.0 / batch.len(self.data.len()) as f64;
        let mut add = |i: usize| self.task.accumulate(w, &self.data[i], share, work, out);
        batch.iter(self.data.len()).map(&mut add).sum()
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<f64>> {
        Some(self)
    }
}

impl PerSampleLosses<f64> for TrigramLoss {
    fn per_sample_losses_into(&self, w: &[f64], batch: Batch<'_>, scratch: &mut Scratch, out: &mut [f64]) {
        let [work] = scratch.floats::<f64, 1>([self.task.work()]);
        for (i, out) in batch.iter(self.data.len()).zip(out) {
            *out = self.task.sample_loss(w, &self.data[i], 1.0, work);
        }
    }
}
