//! Changes of activations as values: zero, scale, add, replace, mean, at chosen positions, heads and neurons.

use crate::error::{RunError, check_finite};
use crate::hooks::Hooks;
use crate::network::Model;
use crate::pass::Input;
use crate::precision::Precision;
use crate::site::HookPoint;
use collimate_tensor::Scalar;
use ndarray::{ArrayD, ArrayViewMutD, Axis, IxDyn};
use std::collections::BTreeMap;

/// A change of the activation at one point.
///
/// Without a selection the whole activation is changed.
///
/// # Examples
/// ```
/// use collimate_transformer::{Capture, Description, Input, Intervention, Interventions, Model, RngStream, Site};
/// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
/// let input = Input::of(&[7, 3, 9]);
/// let point = Site::HeadOutput.of_layer(1); // [b, t, h, e]
/// // Head 2 writes nothing at position 1.
/// let zero = Intervention::zero(point).at_positions([1]).of_heads([2]);
/// let mut hooks = Interventions::new(&model, &input, [zero.clone()])?;
/// let mut capture = Capture::at([point]);
/// model.visit(&input, &mut (&mut hooks, &mut capture))?;
/// let z = capture.get(point)?;
/// assert_eq!((z[[0, 1, 2, 5]], z[[0, 0, 2, 5]] == 0.0), (0.0, false));
/// // The model has four heads, so a fifth is refused.
/// assert!(Interventions::new(&model, &input, [zero.of_heads([4])]).is_err());
/// # Ok::<(), collimate_transformer::RunError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Intervention<F = f32> {
    point: HookPoint,
    action: Action<F>,
    /// The chosen indices by the letter of their axis.
    chosen: BTreeMap<&'static str, Vec<usize>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Action<F> {
    Scale(F),
    Add(ArrayD<F>),
    Replace(ArrayD<F>),
    Mean(MeanOver),
}

/// The numbers that a mean runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeanOver {
    /// The sequences of the batch, position by position.
    Sequences,
    /// All positions of all sequences.
    Positions,
}

impl<F: Precision> Intervention<F> {
    /// Returns the change to zero.
    pub fn zero(point: HookPoint) -> Self {
        Self::scale(point, F::zero())
    }

    /// Returns the product with a factor.
    pub fn scale(point: HookPoint, factor: F) -> Self {
        Self::new(point, Action::Scale(factor))
    }

    /// Returns the sum with an array: of the shape of the activation, or of its last axis alone, which is then added to every row.
    pub fn add(point: HookPoint, array: ArrayD<F>) -> Self {
        Self::new(point, Action::Add(array))
    }

    /// Returns the change to the numbers of an array: of the shape of the activation, for example that of another run, or of its last axis
    /// alone, which then takes the place of every row.
    pub fn replace(point: HookPoint, array: ArrayD<F>) -> Self {
        Self::new(point, Action::Replace(array))
    }

    /// Returns the change to the mean of the activation in the same run. Padding is not left out of the mean.
    pub fn mean(point: HookPoint, over: MeanOver) -> Self {
        Self::new(point, Action::Mean(over))
    }

    fn new(point: HookPoint, action: Action<F>) -> Self {
        Self { point, action, chosen: BTreeMap::new() }
    }

    /// Returns this change at some positions only; at queries, for scores and patterns.
    #[must_use]
    pub fn at_positions(self, positions: impl IntoIterator<Item = usize>) -> Self {
        self.along("t", positions)
    }

    /// Returns this change for some heads only: query heads, or key heads at keys and values.
    #[must_use]
    pub fn of_heads(self, heads: impl IntoIterator<Item = usize>) -> Self {
        let letter = if self.point.site.axes().contains('g') { "g" } else { "h" };
        self.along(letter, heads)
    }

    /// Returns this change for some numbers of the last axis only: neurons of an MLP, coordinates of the residual stream, or keys of a
    /// pattern.
    #[must_use]
    pub fn of_neurons(self, neurons: impl IntoIterator<Item = usize>) -> Self {
        let last = letters(self.point).last().copied().unwrap_or("d");
        self.along(last, neurons)
    }

    /// Returns this change in some sequences of the batch only.
    #[must_use]
    pub fn in_sequences(self, sequences: impl IntoIterator<Item = usize>) -> Self {
        self.along("b", sequences)
    }

    fn along(mut self, letter: &'static str, indices: impl IntoIterator<Item = usize>) -> Self {
        self.chosen.insert(letter, indices.into_iter().collect());
        self
    }

    /// Returns an error unless the change can be made in a run of this input.
    fn check(&self, model: &Model<F>, input: &Input) -> Result<(), RunError> {
        let point = self.point;
        let refuse = |what: String| Err(RunError::Intervention { point, what });
        if !model.has_point(point) {
            return Err(RunError::NoSuchPoint { point, layers: model.description().layers.len() });
        }
        let (batch, length) = input.ids().dim();
        let letters = letters(point);
        let size = |letter: &str| match letter {
            "b" => batch,
            "t" | "s" => length,
            other => model.description().axis(point, other).unwrap_or_default(),
        };
        for (letter, indices) in &self.chosen {
            if !letters.contains(letter) {
                return refuse(format!("its axes are {}, and none of them is {letter}", point.site.axes()));
            }
            if indices.is_empty() {
                return refuse(format!("no index of the axis {letter} is chosen; name at least one"));
            }
            if let Some(bad) = indices.iter().find(|&&index| index >= size(letter)) {
                return refuse(format!(
                    "index {bad} of the axis {letter} is not below its size, {}",
                    size(letter)
                ));
            }
        }
        let shape: Vec<usize> = letters.iter().map(|letter| size(letter)).collect();
        match &self.action {
            Action::Scale(factor) if !factor.is_finite() => refuse("the factor is not finite".into()),
            Action::Add(array) | Action::Replace(array) => {
                let last = shape.last().map_or(&[][..], std::slice::from_ref);
                if array.shape() != shape && array.shape() != last {
                    let given = array.shape();
                    return refuse(format!(
                        "the array must have the shape {shape:?} or {last:?}, but has {given:?}"
                    ));
                }
                Ok(check_finite(|| format!("the array for {point}"), array.iter())?)
            }
            Action::Mean(_) if letters.contains(&"s") => refuse(
                "a mean of scores or patterns over positions has no meaning; replace them by an array".into(),
            ),
            _ => Ok(()),
        }
    }

    fn apply(&self, mut activation: ArrayViewMutD<'_, F>) {
        let letters = letters(self.point);
        let axis_of = |letter: &str| letters.iter().position(|other| *other == letter);
        let masks: Vec<(usize, Vec<bool>)> = self
            .chosen
            .iter()
            .filter_map(|(letter, indices)| {
                let axis = axis_of(letter)?;
                let mut mask = vec![false; activation.shape()[axis]];
                indices.iter().for_each(|&index| mask[index] = true);
                Some((axis, mask))
            })
            .collect();
        let selected = |index: &IxDyn| masks.iter().all(|(axis, mask)| mask[index[*axis]]);
        let array = match &self.action {
            Action::Scale(factor) => {
                for (index, x) in activation.indexed_iter_mut() {
                    if selected(&index) {
                        *x *= *factor;
                    }
                }
                return;
            }
            Action::Add(array) | Action::Replace(array) => array.clone(),
            Action::Mean(over) => {
                let mean = |x: ArrayD<F>, axis: usize| {
                    let count = <F as Scalar>::from_f64(x.shape()[axis] as f64);
                    x.sum_axis(Axis(axis)).insert_axis(Axis(axis)).mapv_into(|sum| sum / count)
                };
                let by_position = mean(activation.to_owned(), 0);
                if *over == MeanOver::Positions { mean(by_position, 1) } else { by_position }
            }
        };
        let array = array.broadcast(activation.raw_dim()).expect("the shape was checked").to_owned();
        let adds = matches!(self.action, Action::Add(_));
        for ((index, x), &number) in activation.indexed_iter_mut().zip(&array) {
            if selected(&index) {
                *x = if adds { *x + number } else { number };
            }
        }
    }
}

fn letters(point: HookPoint) -> Vec<&'static str> {
    point.site.axes().trim_matches(['[', ']']).split(", ").collect()
}

/// Changes of a run that were checked against the model and the input, as hooks. Several at one point are made in their order.
#[derive(Clone, Debug)]
pub struct Interventions<F = f32> {
    list: Vec<Intervention<F>>,
}

impl<F: Precision> Interventions<F> {
    /// Checks the changes for a run of the model on an input.
    ///
    /// # Errors
    /// [`RunError::NoSuchPoint`], [`RunError::Intervention`] and [`RunError::NonFinite`] for a change that cannot be made; the message says
    /// why.
    pub fn new(
        model: &Model<F>,
        input: &Input,
        list: impl IntoIterator<Item = Intervention<F>>,
    ) -> Result<Self, RunError> {
        let list: Vec<Intervention<F>> = list.into_iter().collect();
        list.iter().try_for_each(|one| one.check(model, input))?;
        Ok(Self { list })
    }
}

impl<F: Precision> Hooks<F> for Interventions<F> {
    fn wants(&self, point: HookPoint) -> bool {
        self.list.iter().any(|one| one.point == point)
    }

    fn points(&self) -> Vec<HookPoint> {
        self.list.iter().map(|one| one.point).collect()
    }

    fn at(&mut self, point: HookPoint, mut activation: ArrayViewMutD<'_, F>) {
        for one in self.list.iter().filter(|one| one.point == point) {
            one.apply(activation.view_mut());
        }
    }
}
