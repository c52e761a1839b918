use crate::error::StudyError;
use crate::rows::rows_at;
use crate::sequence::Sequence;
use collimate_measure::{Fingerprint, ensure};
use collimate_sae::SaeError;
use collimate_tensor::sum_of_squares;
use collimate_transformer::{HookPoint, Model};
use ndarray::Array2;

/// The number of first sequences over whose rows the median norm is taken.
const CALIBRATION: usize = 32;

/// The rows that are left out of a capture, a measurement or a page. Position 0 is always left out.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_studies::{LeaveOut, Sequence};
/// use collimate_transformer::{Description, Model, Site};
/// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
/// let text = [Sequence { document: 0, tokens: vec![0, 5, 9, 5] }];
/// let rule = LeaveOut { tokens: vec![9], max_norm: None };
/// let point = Site::ResidualPost.of_layer(1);
/// let rows = collimate_studies::rows_at(&model, &text[0].tokens, point)?;
/// assert_eq!(rule.at(&model, &text, point)?.kept(&text[0].tokens, &rows), [1, 3]);
/// # Ok::<(), collimate_studies::StudyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaveOut {
    /// The tokens whose rows are left out.
    pub tokens: Vec<u32>,
    /// The largest norm of a row that is kept, in multiples of the median norm; above 0.
    pub max_norm: Option<f64>,
}

/// A [`LeaveOut`] at one place of a model, with the largest norm in the units of its activations. The default leaves out nothing but
/// position 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RowRule {
    rule: LeaveOut,
    largest: f64,
}

impl Default for RowRule {
    /// Returns the rule that leaves out nothing but position 0.
    fn default() -> Self {
        Self { rule: LeaveOut::default(), largest: f64::INFINITY }
    }
}

impl LeaveOut {
    /// Returns true if nothing but position 0 is left out.
    pub fn is_nothing(&self) -> bool {
        self.tokens.is_empty() && self.max_norm.is_none()
    }

    /// Returns the rule for a place in a model. The median of the norms is taken over the rows of the first 32 sequences, without
    /// position 0 and without the tokens that are left out.
    ///
    /// # Errors
    /// [`StudyError::Model`]; [`StudyError::Dictionary`] unless `max_norm` is positive and finite.
    pub fn at(
        &self,
        model: &Model<f32>,
        sequences: &[Sequence],
        point: HookPoint,
    ) -> Result<RowRule, StudyError> {
        let mut rule = RowRule { rule: self.clone(), ..RowRule::default() };
        let Some(factor) = self.max_norm else { return Ok(rule) };
        ensure(factor > 0.0 && factor.is_finite(), "max_norm", "positive and finite", factor)
            .map_err(SaeError::from)?;
        let mut norms = Vec::new();
        for sequence in &sequences[..sequences.len().min(CALIBRATION)] {
            let rows = rows_at(model, &sequence.tokens, point)?;
            norms
                .extend(rule.kept(&sequence.tokens, &rows).into_iter().map(|position| norm(&rows, position)));
        }
        rule.largest = factor * median(norms);
        Ok(rule)
    }

    /// Returns the rule in words; empty if nothing but position 0 is left out.
    pub fn describe(&self) -> String {
        let tokens: Vec<String> = self.tokens.iter().map(u32::to_string).collect();
        let tokens = (!tokens.is_empty()).then(|| format!("tokens {}", tokens.join(" ")));
        let norms = self.max_norm.map(|factor| format!("norms above {factor} medians"));
        tokens.into_iter().chain(norms).collect::<Vec<_>>().join(", ")
    }
}

impl RowRule {
    /// Returns the positions whose rows are kept, in ascending order; never position 0.
    pub fn kept(&self, tokens: &[u32], rows: &Array2<f32>) -> Vec<usize> {
        let keeps = |&position: &usize| {
            !self.rule.tokens.contains(&tokens[position])
                && (self.largest.is_infinite() || norm(rows, position) <= self.largest)
        };
        (1..tokens.len()).filter(keeps).collect()
    }

    /// Returns the fingerprint of a source whose rows are left out by this rule.
    pub(crate) fn source(&self, all: Fingerprint) -> Fingerprint {
        if self.rule.is_nothing() { all } else { all.and(self.rule.describe().as_bytes()) }
    }
}

/// Returns the length of a row.
fn norm(rows: &Array2<f32>, position: usize) -> f64 {
    let wide: Vec<f64> = rows.row(position).iter().map(|&v| f64::from(v)).collect();
    sum_of_squares(&wide).sqrt()
}

/// Returns the median, the lower one of two; infinity for no numbers.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or(f64::INFINITY)
}
