use crate::float::Float;
use crate::members::aux_k::AuxK;
use crate::members::choices::{InputBias, Ranking};
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::relu::select_above;
use crate::members::rule::{Contribution, Entry, Row, Rule, Scratch};
use crate::members::topk::scores;
use collimate_measure::{OutOfRange, ensure};

/// The BatchTopK dictionary: the k·B largest positive pre-activations of a batch of B rows are kept, wherever they are.
///
/// ```text
/// z = W_enc (x − b_dec) + b_enc      A = the ⌊k·B⌋ largest positive z of the batch      f = z on A, 0 elsewhere
/// x̂ = W_decᵀ f + b_dec               L = ‖x − x̂‖² + α·AuxK      gradients as for TopK, on A
/// ```
/// The codes of a row depend on its batch. For use, a threshold θ replaces the batch: the mean over batches of the smallest
/// value that was kept, then f = z ⊙ 1(z > θ), row by row ([`BatchTopK::threshold`]). Without a threshold, the latents are
/// selected over all rows that are encoded together. Ties go to the larger value, the earlier row, the smaller index.
///
/// # References
/// Bussmann et al. (2024), "BatchTopK Sparse Autoencoders".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchTopK {
    /// The mean number of latents of a row; ⌊k·B⌋ are kept in a batch of B rows.
    pub k: f64,
    /// The score that ranks the latents of a batch, and that is compared with the threshold.
    pub ranking: Ranking,
    /// The auxiliary loss that revives dead latents.
    pub aux: Option<AuxK>,
    /// The input of the encoder: x or x − b_dec.
    pub input_bias: InputBias,
    /// The threshold that encodes rows one by one; `None` to select over the batch.
    pub threshold: Option<f64>,
}

/// The rule by which the threshold of a dictionary that selects over the batch follows the smallest kept score m of each
/// batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ThresholdEstimate {
    /// θ ← m at the first batch, then θ ← decay·θ + (1 − decay)·m: dictionary_learning, with 0.999.
    FirstThenDecay {
        /// The share of the old value that stays.
        decay: f64,
    },
    /// θ ← (1 − rate)·θ + rate·m from θ = 0, too low for the first few 1/rate batches: SAELens, with 0.01.
    FromZero {
        /// The share of the new value.
        rate: f64,
    },
}

impl ThresholdEstimate {
    /// Returns the threshold after a batch whose smallest kept score is `smallest` (zero if no score was kept).
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::ThresholdEstimate;
    /// let theta = ThresholdEstimate::FirstThenDecay { decay: 0.9 };
    /// assert_eq!(theta.after(theta.after(None, 2.0), 3.0), Some(0.9 * 2.0 + (1.0 - 0.9) * 3.0));
    /// ```
    pub fn after(&self, threshold: Option<f64>, smallest: f64) -> Option<f64> {
        if smallest <= 0.0 || smallest.is_nan() {
            return threshold;
        }
        Some(match (*self, threshold) {
            (ThresholdEstimate::FirstThenDecay { .. }, None) => smallest,
            (ThresholdEstimate::FirstThenDecay { decay }, Some(old)) => {
                decay * old + (1.0 - decay) * smallest
            }
            (ThresholdEstimate::FromZero { rate }, old) => {
                (1.0 - rate) * old.unwrap_or(0.0) + rate * smallest
            }
        })
    }
}

impl BatchTopK {
    /// Returns the form with k latents a row on average, ranked by their pre-activations, without the auxiliary loss.
    pub const fn new(k: f64) -> Self {
        Self {
            k,
            ranking: Ranking::PreActivation,
            aux: None,
            input_bias: InputBias::Subtracted,
            threshold: None,
        }
    }

    /// Returns this form with the auxiliary loss at α = 1/32 and k_aux latents.
    #[must_use]
    pub const fn with_aux(self, k_aux: usize) -> Self {
        Self { aux: Some(AuxK::new(k_aux, 1.0 / 32.0)), ..self }
    }
}

impl<F: Float> Rule<F> for BatchTopK {
    fn keep(&self, rows: usize) -> Option<usize> {
        // Half a unit in the last place must not cost an entry: 3.3 × 10 rows is 33.
        Some((self.k * rows as f64 * (1.0 + 1e-12)) as usize)
    }

    fn select(&self, row: &Row<'_, F>, scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let bias = row.constants[0];
        match self.ranking {
            Ranking::PreActivation => {
                select_above(row.products, bias, row.above, &mut scratch.latents, |latent, pre, bias| {
                    out.push(Entry { latent: latent as u32, pre, code: pre + bias, ..Entry::default() });
                });
            }
            Ranking::TimesDecoderNorm => {
                scores(self.ranking, row, &mut scratch.values);
                for (latent, _) in scratch.values.iter().enumerate().filter(|(_, s)| **s > row.above) {
                    let pre = row.products[latent];
                    let code = pre + bias[latent];
                    out.push(Entry { latent: latent as u32, pre, code, ..Entry::default() });
                }
            }
        }
    }

    #[inline]
    fn local(&self, _: [F; 3], entry: &mut Entry<F>, dot: F, _: F, _: F) {
        entry.d_code = dot + dot;
    }

    #[inline]
    fn contribution(&self, _: [F; 3], entry: &Entry<F>) -> Contribution<F> {
        Contribution::plain(entry)
    }
}

impl BatchTopK {
    pub(crate) fn check_k(&self, n_latents: usize) -> Result<(), OutOfRange> {
        let holds = self.k > 0.0 && self.k <= n_latents as f64;
        ensure(holds, "k", "positive and at most n_latents", self.k)
    }

    pub(crate) fn write_fields(&self, line: &mut Line) {
        line.number("k", self.k).word("ranking", self.ranking);
        line.optional("threshold", self.threshold).aux(self.aux);
    }
}

impl Describe for BatchTopK {
    const NAME: &'static str = "batchtopk";

    fn member(&self) -> Member {
        Member {
            compares: true,
            decoder: self.ranking.decoder(),
            ranking: Some(self.ranking),
            aux: self.aux,
            selects_over_batch: true,
            threshold: self.threshold,
            ..Member::new(Self::NAME, self.input_bias)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        Some(self)
    }

    fn check(&self, _: usize, n_latents: usize) -> Result<(), OutOfRange> {
        self.check_k(n_latents)
    }

    fn set_threshold(&mut self, threshold: Option<f64>) {
        self.threshold = threshold;
    }

    fn set_input_bias(&mut self, input_bias: InputBias) {
        self.input_bias = input_bias;
    }

    fn write(&self, line: &mut Line) {
        self.write_fields(line);
    }

    fn read(pairs: &Pairs<'_>, input_bias: InputBias) -> Result<Self, String> {
        Ok(Self {
            k: pairs.number("k")?,
            ranking: pairs.word("ranking")?,
            aux: pairs.aux()?,
            threshold: pairs.optional("threshold")?,
            input_bias,
        })
    }
}
