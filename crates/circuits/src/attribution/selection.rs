use super::edges::EdgeAttribution;
use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::{Projection, Reader, Writer};
use crate::paths::{Circuit, Faithfulness, Replacement, faithfulness};
use collimate_transformer::{Model, Precision};
use ndarray::{Array2, Array3};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// The rule by which the edges of a circuit are chosen from their scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    /// The edges with the largest |score|. They need not form paths.
    Largest,
    /// From the final norm backwards: each step adds the edge with the largest |score| among those into parts of the circuit, and its
    /// writer becomes a part. Every edge lies on a path to the logits.
    Greedy,
}

/// An edge that waits to be chosen, ordered by |score| and then by its place.
struct Waiting {
    score: f64,
    place: (usize, usize, usize),
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.place.cmp(&self.place))
    }
}

impl EdgeAttribution {
    /// Chooses edges by a rule, the first one first, at most `size` of them: `(position, writer, reader)` by indices.
    ///
    /// Edges with equal scores are chosen in the order of their indices. A greedy choice ends early when no edge leads into the circuit.
    pub fn choose<F: Precision>(
        &self,
        model: &Model<F>,
        selection: Selection,
        size: usize,
    ) -> Vec<(usize, usize, usize)> {
        let waiting = |(position, writer, reader, score): (usize, usize, usize, f64)| Waiting {
            score: score.abs(),
            place: (position, writer, reader),
        };
        if selection == Selection::Largest {
            let mut all: Vec<Waiting> = self.edges().map(waiting).collect();
            all.sort_by(|a, b| b.cmp(a));
            return all.into_iter().take(size).map(|edge| edge.place).collect();
        }
        let positions = self.scores.dim().0;
        let mut open = Array2::from_elem((positions, self.readers.len()), false);
        let mut heap = BinaryHeap::new();
        let mut reach = |position: usize, reader: usize, heap: &mut BinaryHeap<Waiting>| {
            if std::mem::replace(&mut open[[position, reader]], true) {
                return;
            }
            for writer in (0..self.writers.len()).filter(|&writer| self.exists[[writer, reader]]) {
                heap.push(waiting((position, writer, reader, self.scores[[position, writer, reader]])));
            }
        };
        for position in 0..positions {
            reach(position, self.readers.len() - 1, &mut heap);
        }
        let mut chosen = Vec::new();
        while chosen.len() < size
            && let Some(Waiting { place, .. }) = heap.pop()
        {
            chosen.push(place);
            for (position, reader) in self.inputs(model, place.0, self.writers[place.1]) {
                reach(position, reader, &mut heap);
            }
        }
        chosen
    }

    /// Returns what a writer at a position reads, `(position, reader)`.
    fn inputs<F: Precision>(&self, model: &Model<F>, position: usize, writer: Writer) -> Vec<(usize, usize)> {
        let (layer, head) = match writer {
            Writer::Embedding => return Vec::new(),
            Writer::Mlp { layer } => {
                let own = |reader: &Reader| *reader == Reader::Mlp { layer };
                return self
                    .readers
                    .iter()
                    .position(own)
                    .map(|reader| (position, reader))
                    .into_iter()
                    .collect();
            }
            Writer::Head { layer, head } => (layer, head),
        };
        let a = &model.description().layers[layer].attention;
        let key_head = head * a.key_heads / a.heads;
        let keys = if a.causal { 0..position + 1 } else { 0..self.scores.dim().0 };
        let mut all = Vec::new();
        for (index, reader) in self.readers.iter().enumerate() {
            match *reader {
                Reader::Head { layer: own, projection: Projection::Query, head: query }
                    if (own, query) == (layer, head) =>
                {
                    all.push((position, index));
                }
                Reader::Head { layer: own, head: key, .. } if (own, key) == (layer, key_head) => {
                    all.extend(keys.clone().map(|key| (key, index)));
                }
                _ => {}
            }
        }
        all
    }

    /// Returns the circuit of some edges.
    pub fn circuit(&self, edges: &[(usize, usize, usize)]) -> Circuit {
        let mut keep = Array3::from_elem(self.scores.dim(), false);
        for &edge in edges {
            keep[edge] = true;
        }
        Circuit { keep }
    }
}

/// Measures circuits of growing size that a rule chooses from the scores of edges.
///
/// Each entry has the number of edges and what they recover. One size alone says little: report the whole curve.
///
/// # Errors
/// The errors of [`faithfulness`].
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, Linearisation, Pair, Replacement, Selection, Sign, attribute_edges, faithfulness_curve};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let pair = Pair::new(vec![3, 5, 8], vec![3, 6, 8])?;
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// let edges = attribute_edges(&model, &pair, &answer, Linearisation::AtCorrupt, Sign::CleanMinusCorrupt, 8)?;
/// let all = edges.edges().count();
/// let curve = faithfulness_curve(&model, &pair, &answer, &edges, Selection::Greedy, Replacement::Corrupt, &[0, all])?;
/// assert!(curve[0].1.recovered()?.abs() < 1e-12);
/// assert!((curve[1].1.recovered()? - 1.0).abs() < 1e-12);
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn faithfulness_curve<F: Precision>(
    model: &Model<F>,
    pair: &Pair,
    metric: &dyn Metric,
    edges: &EdgeAttribution,
    selection: Selection,
    replacement: Replacement<'_>,
    sizes: &[usize],
) -> Result<Vec<(usize, Faithfulness)>, CircuitError> {
    let most = sizes.iter().copied().max().unwrap_or_default();
    let chosen = edges.choose(model, selection, most);
    let one = |&size: &usize| {
        let some = &chosen[..size.min(chosen.len())];
        Ok::<_, CircuitError>((
            some.len(),
            faithfulness(model, pair, metric, &edges.circuit(some), replacement)?,
        ))
    };
    sizes.iter().map(one).collect()
}
