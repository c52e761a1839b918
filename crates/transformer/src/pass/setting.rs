use super::input::{Input, Seen};
use super::layout::{AngleTable, Layout, Lookup, Parameter};
use super::precision::Real;
use crate::arrays::{View, Weight, Weights};
use crate::description::{Description, Rotary};
use crate::error::RunError;
use crate::site::HookPoint;
use collimate_attention::RotaryTable;
use ndarray::{Array2, ArrayD};
use std::collections::BTreeMap;

/// The parts of a pass that do not change: the model, its input, and the direction.
pub(crate) struct Setting<'a, F> {
    pub(crate) layout: &'a Layout,
    pub(crate) weights: Weights<'a, F>,
    /// The direction in the parameters, for the derivative along it.
    pub(crate) direction: Option<&'a [Option<Array2<F>>]>,
    /// The direction in the activations, by the points at which they move.
    moves: BTreeMap<HookPoint, ArrayD<F>>,
    pub(crate) input: &'a Input,
    pub(crate) seen: Seen,
    positions: Vec<i64>,
    tables: Vec<RotaryTable<F>>,
}

impl<'a, F: Real> Setting<'a, F> {
    /// Checks an input and prepares the positions. `past` is the number of tokens in the cache.
    pub(crate) fn new(
        description: &Description,
        layout: &'a Layout,
        weights: Weights<'a, F>,
        direction: Option<&'a [Option<Array2<F>>]>,
        input: &'a Input,
        past: usize,
    ) -> Result<Self, RunError> {
        input.check(description.vocabulary)?;
        let (batch, length) = input.ids().dim();
        let seen = Seen::new(input, past);
        let skip = description.embedding.positions.is_some_and(|positions| positions.skip_padding);
        let shared = input.positions().is_none() && !(skip && input.mask().is_some());
        let positions: Vec<i64> = match input.positions() {
            Some(positions) => positions.iter().copied().collect(),
            None if shared => (past as i64..(past + length) as i64).collect(),
            // Padding has the position −1, whose row lies before that of position 0.
            None => (0..batch)
                .flat_map(|b| {
                    let places = seen.places(b);
                    let seen = &seen;
                    (0..length).map(move |t| if seen.key(b, t) { places[t] as i64 } else { -1 })
                })
                .collect(),
        };
        let longest = positions.iter().max().map_or(0, |&last| (last + 1).max(0) as usize);
        // Angles exist for every position; a table of positions ends.
        let may_be_longer = description.grows_with_the_input()
            || input.is_beyond_context() && description.embedding.positions.is_none();
        if longest > description.context && !may_be_longer {
            return Err(RunError::ContextOverflow { given: longest, context: description.context });
        }
        let tables = layout
            .rotaries
            .iter()
            .map(|rotary| angles(rotary, &positions, longest))
            .collect::<Result<_, _>>()?;
        let moves = BTreeMap::new();
        Ok(Self { layout, weights, direction, moves, input, seen, positions, tables })
    }

    /// Returns this setting with a direction in the activations.
    pub(crate) fn moving(self, moves: BTreeMap<HookPoint, ArrayD<F>>) -> Self {
        Self { moves, ..self }
    }

    /// Returns true if the pass computes derivatives along a direction.
    pub(crate) fn is_along(&self) -> bool {
        self.direction.is_some() || !self.moves.is_empty()
    }

    /// Returns the direction at a point.
    pub(crate) fn move_at(&self, point: HookPoint) -> Option<&ArrayD<F>> {
        self.moves.get(&point)
    }

    /// Returns the number of sequences and their length.
    pub(crate) fn shape(&self) -> (usize, usize) {
        self.input.ids().dim()
    }

    pub(crate) fn parameter(&self, index: Parameter) -> View<'a, F> {
        View {
            value: self.weights.arrays[index].view(),
            tangent: self.direction.and_then(|direction| direction[index].as_ref()).map(|x| x.view()),
        }
    }

    /// Returns a parameter that a product or a table reads.
    pub(crate) fn weight(&self, index: Parameter) -> Weight<'a, F> {
        match &self.weights.stored.get(index) {
            Some(Some(stored)) => Weight::Stored(stored),
            _ => Weight::Array(self.parameter(index)),
        }
    }

    pub(crate) fn angles(&self, table: AngleTable) -> &RotaryTable<F> {
        &self.tables[table]
    }

    /// Returns the row of a table for each token of the batch.
    pub(crate) fn rows(&self, lookup: Lookup, table: Parameter) -> Result<Vec<usize>, RunError> {
        let (batch, length) = self.shape();
        let count = self.weight(table).dim().0;
        let rows: Vec<i64> = match lookup {
            Lookup::Token => self.input.ids().iter().map(|&id| i64::from(id)).collect(),
            Lookup::Type => match self.input.types() {
                Some(types) => types.iter().map(|&kind| i64::from(kind)).collect(),
                None => vec![0; batch * length],
            },
            Lookup::Position { offset } => {
                let at = |index: usize| self.positions[index % self.positions.len()] + offset as i64;
                (0..batch * length).map(at).collect()
            }
        };
        match rows.iter().position(|&row| row < 0 || row as usize >= count) {
            Some(index) => Err(RunError::TableRow {
                table: match lookup {
                    Lookup::Token => "tokens",
                    Lookup::Type => "token types",
                    Lookup::Position { .. } => "positions",
                },
                row: rows[index],
                rows: count,
                position: index % length,
            }),
            None => Ok(rows.into_iter().map(|row| row as usize).collect()),
        }
    }
}

/// Computes the angles of positions: the same for every sequence, or one for each row of the batch.
///
/// `longest` is the largest position plus one.
pub(crate) fn angles<F: Real>(
    rotary: &Rotary,
    positions: &[i64],
    longest: usize,
) -> Result<RotaryTable<F>, RunError> {
    let (frequencies, amplitude) = rotary.frequencies(longest);
    let shape = (positions.len(), frequencies.len());
    let at = |(row, pair): (usize, usize)| positions[row] as f64 * frequencies[pair];
    Ok(RotaryTable::from_cos_sin(
        rotary.layout,
        Array2::from_shape_fn(shape, |place| F::from_f64(amplitude * at(place).cos())),
        Array2::from_shape_fn(shape, |place| F::from_f64(amplitude * at(place).sin())),
    )?)
}
