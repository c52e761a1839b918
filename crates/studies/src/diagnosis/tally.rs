use collimate_stream::RngStream;
use collimate_superposition::{Explanation, SuperpositionError, diagnose};
use ndarray::{Array2, ArrayRef2, Axis};
use std::collections::BTreeMap;
use std::fmt;

/// The verdicts of the diagnosis on groups of neurons, with the true labels and with shuffled labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// The number of groups.
    pub groups: usize,
    /// The number of groups for which each explanation was named.
    pub named: BTreeMap<Explanation, usize>,
    /// The number of groups for which several explanations remained.
    pub abstained: usize,
    /// The number of groups for which several explanations remained with shuffled labels.
    pub abstained_shuffled: usize,
    /// The share of variance that the labels explain in each group: linear in features, or between classes.
    pub explained: Vec<f64>,
}

impl Tally {
    /// Diagnoses neurons in groups of `size`. Constant neurons are left out, and so is a last group that is not full.
    ///
    /// # Shapes
    /// `activations` is `[b, d]` (states, neurons), `labels` is `[b, n]`.
    ///
    /// # Errors
    /// As [`diagnose`].
    ///
    /// # Determinism
    /// The stream shuffles the labels once for each group.
    pub fn of(
        activations: &ArrayRef2<f64>,
        labels: &ArrayRef2<f64>,
        size: usize,
        stream: &mut RngStream,
    ) -> Result<Self, SuperpositionError> {
        let mut tally = Self::default();
        for group in varying(activations).chunks_exact(size.max(1)) {
            let neurons: Array2<f64> = activations.select(Axis(1), group);
            let found = diagnose(&neurons, Some(labels))?;
            tally.groups += 1;
            match found.answer() {
                Some(explanation) => *tally.named.entry(explanation).or_default() += 1,
                None => tally.abstained += 1,
            }
            let share = |name: &str| name.starts_with("variance");
            tally.explained.extend(found.evidence.iter().find(|e| share(e.quantity)).map(|e| e.value));
            let order = stream.permutation(labels.nrows());
            let shuffled = diagnose(&neurons, Some(&labels.select(Axis(0), &order)))?;
            tally.abstained_shuffled += usize::from(shuffled.answer().is_none());
        }
        Ok(tally)
    }

    /// Returns the median share of variance that the labels explain; NaN if no group was measured.
    pub fn median_explained(&self) -> f64 {
        let mut sorted = self.explained.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Returns the neurons that are not constant over the states.
pub fn varying(activations: &ArrayRef2<f64>) -> Vec<usize> {
    (0..activations.ncols()).filter(|&k| activations.column(k).var(0.0) > 0.0).collect()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.named.iter().map(|(e, count)| format!("{e:?} {count}")).collect();
        let named = if named.is_empty() { "nothing".to_owned() } else { named.join(", ") };
        write!(
            f,
            "{} groups, named {named}, abstained {}; shuffled: abstained {}; variance explained {:.2}",
            self.groups,
            self.abstained,
            self.abstained_shuffled,
            self.median_explained()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_superposition::{Source, SparseFeatures};

    #[test]
    fn neurons_with_features_of_their_own_are_distinguished_from_shuffled_labels() {
        let mut stream = RngStream::new(3, 0);
        let x = SparseFeatures::uniform(4, 0.4).unwrap().rows(200, &mut stream);
        // The last neuron is constant, and one neuron is left over.
        let mut neurons = Array2::zeros((200, 6));
        neurons.slice_mut(ndarray::s![.., ..4]).assign(&x);
        neurons.column_mut(4).assign(&x.column(0));
        let tally = Tally::of(&neurons, &x, 4, &mut stream).unwrap();
        assert_eq!((tally.groups, tally.abstained, tally.abstained_shuffled), (1, 0, 1));
        assert_eq!(tally.named[&Explanation::Monosemantic], 1);
        assert!(tally.median_explained() > 0.999 && tally.to_string().contains("Monosemantic 1"));
        assert!(Tally::default().median_explained().is_nan());
    }
}
