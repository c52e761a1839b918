use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::{ReadMaps, Reader, Writer, additive, head_writes, row_of, writers, writes};
use crate::runs::{copies, metrics};
use collimate_tensor::Scalar;
use collimate_transformer::{Capture, HookPoint, Hooks, Model, Precision, Site};
use ndarray::{Array2, Array3, ArrayViewMutD, Axis, Ix3, s};
use std::collections::BTreeMap;

/// A set of edges that keep their own values; all others are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// True for an edge of the circuit, `[position, writer, reader]`, with the writers and readers in the order of
    /// [`crate::EdgeAttribution`].
    pub keep: Array3<bool>,
}

/// The values that edges outside a circuit get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement<'a> {
    /// The values of the corrupt run.
    Corrupt,
    /// The means over prompts of equal length, at each position and for each writer. The measured prompts may not be among them.
    Mean(&'a [Vec<u32>]),
}

/// The metric of a circuit beside that of both runs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Faithfulness {
    /// The metric of the clean run.
    pub clean: f64,
    /// The metric of the corrupt run.
    pub corrupt: f64,
    /// The metric of the clean run with all edges outside the circuit replaced.
    pub circuit: f64,
}

impl Faithfulness {
    /// Computes the share of the difference that the circuit recovers, (M − M_corrupt)/(M_clean − M_corrupt).
    ///
    /// # Errors
    /// [`CircuitError::EqualBaselines`] if the metric is the same in both runs.
    pub fn recovered(&self) -> Result<f64, CircuitError> {
        let difference = self.clean - self.corrupt;
        if difference == 0.0 {
            return Err(CircuitError::EqualBaselines { value: self.clean });
        }
        Ok((self.circuit - self.corrupt) / difference)
    }
}

/// Runs the clean prompt with every edge outside a circuit replaced, and measures the metric.
///
/// ```text
/// input of v = x − Σ_u outside (u − replacement of u)
/// ```
/// u is the value of the writer in the changed run itself, so replacements of earlier edges act on later ones.
///
/// # Errors
/// [`CircuitError::Architecture`] for a model whose residual stream is no sum of embedding, heads and MLPs; [`CircuitError::Argument`] for
/// a circuit of another shape; [`CircuitError::HeldOut`] for prompts that cannot be averaged over; the errors of the runs.
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, Circuit, Pair, Replacement, faithfulness};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let pair = Pair::new(vec![3, 5, 8], vec![3, 6, 8])?;
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// // Seven writers (embedding, 2 × 2 heads, 2 MLPs) and eleven readers (2 × (2 queries, key, value, MLP) and the end).
/// let all = Circuit { keep: ndarray::Array3::from_elem((3, 7, 11), true) };
/// let found = faithfulness(&model, &pair, &answer, &all, Replacement::Corrupt)?;
/// assert!((found.recovered()? - 1.0).abs() < 1e-12);
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn faithfulness<F: Precision>(
    model: &Model<F>,
    pair: &Pair,
    metric: &dyn Metric,
    circuit: &Circuit,
    replacement: Replacement<'_>,
) -> Result<Faithfulness, CircuitError> {
    additive(model)?;
    let (writers, readers) = (writers(model), Reader::all(model));
    let expected = [pair.clean().len(), writers.len(), readers.len()];
    if circuit.keep.shape() != expected {
        let given = circuit.keep.shape();
        return Err(CircuitError::Argument(format!(
            "the circuit must have the shape {expected:?} (positions, writers, readers), but has {given:?}"
        )));
    }
    let points = Writer::points(model.description().layers.len());
    let mut corrupt_run = Capture::at(points.clone());
    let corrupt = metrics(model, &copies(pair.corrupt(), 1), &mut corrupt_run, metric)?[0];
    let clean = metrics(model, &copies(pair.clean(), 1), &mut (), metric)?[0];
    let others = match replacement {
        Replacement::Corrupt => writes(model, &corrupt_run, 0)?,
        Replacement::Mean(prompts) => {
            for ids in [pair.clean(), pair.corrupt()] {
                crate::patching::check_held_out(ids, prompts)?;
            }
            mean_writes(model, &points, prompts)?
        }
    };
    let mut by_point: BTreeMap<HookPoint, Vec<(usize, usize)>> = BTreeMap::new();
    let maps: Vec<ReadMaps<F>> = readers.iter().map(|reader| reader.maps(model)).collect::<Result<_, _>>()?;
    for (reader, maps) in maps.iter().enumerate() {
        let points: Vec<HookPoint> =
            if maps.products.is_empty() { vec![maps.stream] } else { maps.points().collect() };
        for (product, point) in points.into_iter().enumerate() {
            by_point.entry(point).or_default().push((reader, product));
        }
    }
    let before: Vec<Vec<bool>> = readers
        .iter()
        .map(|reader| {
            let (layer, mlp) = reader.place(model);
            writers.iter().map(|writer| writer.is_before(model, layer, mlp)).collect()
        })
        .collect();
    let streams = maps.iter().map(|maps| maps.stream).collect();
    let mut hooks = Replaced {
        model,
        circuit,
        writers: &writers,
        others,
        live: vec![None; writers.len()],
        streams,
        read: BTreeMap::new(),
        maps,
        before,
        by_point,
        failure: None,
    };
    let value = metrics(model, &copies(pair.clean(), 1), &mut hooks, metric)?[0];
    match hooks.failure {
        Some(failure) => Err(failure),
        None => Ok(Faithfulness { clean, corrupt, circuit: value }),
    }
}

/// Computes the mean of each writer over some prompts.
fn mean_writes<F: Precision>(
    model: &Model<F>,
    points: &[HookPoint],
    prompts: &[Vec<u32>],
) -> Result<Vec<Array2<F>>, CircuitError> {
    let mut sums: Vec<Array2<F>> = Vec::new();
    for prompt in prompts {
        let mut capture = Capture::at(points.iter().copied());
        model.run(&copies(prompt, 1), &mut capture)?;
        let own = writes(model, &capture, 0)?;
        if sums.is_empty() {
            sums = own;
        } else {
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += &own);
        }
    }
    let share = <F as Scalar>::from_f64(1.0 / prompts.len() as f64);
    Ok(sums.into_iter().map(|sum| sum * share).collect())
}

/// Hooks that rebuild the input of every reader.
struct Replaced<'a, F> {
    model: &'a Model<F>,
    circuit: &'a Circuit,
    writers: &'a [Writer],
    /// The replacement of each writer, `[t, d]`.
    others: Vec<Array2<F>>,
    /// The value of each writer in this run.
    live: Vec<Option<Array2<F>>>,
    /// The residual streams that readers read.
    streams: std::collections::BTreeSet<HookPoint>,
    read: BTreeMap<HookPoint, Array2<F>>,
    maps: Vec<ReadMaps<F>>,
    /// True where the writer writes before the reader, by reader.
    before: Vec<Vec<bool>>,
    /// The readers whose products are at a point, each with the number of the product.
    by_point: BTreeMap<HookPoint, Vec<(usize, usize)>>,
    failure: Option<CircuitError>,
}

impl<F: Precision> Replaced<'_, F> {
    fn try_at(&mut self, point: HookPoint, mut x: ArrayViewMutD<'_, F>) -> Result<(), CircuitError> {
        if self.streams.contains(&point) {
            self.read.insert(point, row_of(&x.to_owned(), 0));
        }
        for &(reader, product) in self.by_point.get(&point).into_iter().flatten() {
            let input = self.input(reader);
            let maps = &self.maps[reader];
            match maps.head {
                _ if maps.products.is_empty() => x.index_axis_mut(Axis(0), 0).assign(&input),
                Some(head) => x.slice_mut(s![0, .., head, ..]).assign(&maps.read(&input)?[product]),
                None => x.index_axis_mut(Axis(0), 0).assign(&maps.read(&input)?[product]),
            }
        }
        self.remember(point, x)
    }

    /// Returns the input of a reader with every edge outside the circuit replaced.
    fn input(&self, reader: usize) -> Array2<F> {
        let mut input = self.read[&self.maps[reader].stream].clone();
        for (writer, live) in self.live.iter().enumerate() {
            let Some(live) = live.as_ref().filter(|_| self.before[reader][writer]) else { continue };
            for (position, mut row) in input.rows_mut().into_iter().enumerate() {
                if !self.circuit.keep[[position, writer, reader]] {
                    row -= &live.row(position);
                    row += &self.others[writer].row(position);
                }
            }
        }
        input
    }

    /// Keeps what the writers at a point write.
    fn remember(&mut self, point: HookPoint, x: ArrayViewMutD<'_, F>) -> Result<(), CircuitError> {
        let layer = point.layer;
        let place = |writer: Writer| self.writers.iter().position(|other| *other == writer);
        match point.site {
            Site::HeadOutput => {
                let z = x.index_axis(Axis(0), 0).into_owned();
                let z =
                    z.into_dimensionality::<Ix3>().expect("outputs of heads have three axes after the batch");
                let first = place(Writer::Head { layer, head: 0 }).expect("a writer of the model");
                for (head, write) in head_writes(self.model, layer, &z)?.into_iter().enumerate() {
                    self.live[first + head] = Some(write);
                }
            }
            Site::MlpAdded => {
                let factor = <F as Scalar>::from_f64(self.model.description().layers[layer].branch_scale);
                let index = place(Writer::Mlp { layer }).expect("a writer of the model");
                self.live[index] = Some(row_of(&x.to_owned(), 0).mapv(|x| x * factor));
            }
            Site::Embedding => self.live[0] = Some(row_of(&x.to_owned(), 0)),
            _ => {}
        }
        Ok(())
    }
}

impl<F: Precision> Hooks<F> for Replaced<'_, F> {
    fn wants(&self, point: HookPoint) -> bool {
        matches!(point.site, Site::HeadOutput | Site::MlpAdded | Site::Embedding)
            || self.streams.contains(&point)
            || self.by_point.contains_key(&point)
    }

    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, F>) {
        if let Err(failure) = self.try_at(point, activation) {
            self.failure.get_or_insert(failure);
        }
    }
}
