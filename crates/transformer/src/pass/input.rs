use crate::error::RunError;
use ndarray::Array2;

/// A batch of token sequences of one length, with padding where they differ.
///
/// # Examples
/// ```
/// use collimate_transformer::Input;
/// let input = Input::new(ndarray::array![[7, 3, 9], [2, 2, 0]]).with_mask(ndarray::array![[true, true, true], [true, true, false]]);
/// assert_eq!(input.ids().dim(), (2, 3));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    ids: Array2<u32>,
    mask: Option<Array2<bool>>,
    positions: Option<Array2<i64>>,
    types: Option<Array2<u32>>,
    beyond_context: bool,
}

impl Input {
    /// Returns a batch of token ids `[b, t]` without padding.
    pub fn new(ids: Array2<u32>) -> Self {
        Self { ids, mask: None, positions: None, types: None, beyond_context: false }
    }

    /// Returns a batch of one sequence.
    pub fn of(tokens: &[u32]) -> Self {
        Self::new(Array2::from_shape_fn((1, tokens.len()), |(_, t)| tokens[t]))
    }

    /// Returns this input with a mask `[b, t]` that is false at padding. No query reads a key of padding. Rows of padding have
    /// values without meaning.
    #[must_use]
    pub fn with_mask(self, mask: Array2<bool>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// Returns this input with positions `[b, t]`. By default they count 0, 1, 2 … (in OPT without the padding).
    #[must_use]
    pub fn with_positions(self, positions: Array2<i64>) -> Self {
        Self { positions: Some(positions), ..self }
    }

    /// Returns this input with token types `[b, t]`, 0 by default.
    #[must_use]
    pub fn with_types(self, types: Array2<u32>) -> Self {
        Self { types: Some(types), ..self }
    }

    /// Returns this input with leave to be longer than the context that the model was made for. A model with rotary positions or ALiBi
    /// then goes on with positions that it was not trained on.
    #[must_use]
    pub fn beyond_context(self) -> Self {
        Self { beyond_context: true, ..self }
    }

    /// Returns true if the input may be longer than the context.
    pub(crate) fn is_beyond_context(&self) -> bool {
        self.beyond_context
    }

    /// Returns the token ids `[b, t]`.
    pub fn ids(&self) -> &Array2<u32> {
        &self.ids
    }

    /// Returns the mask, if there is one.
    pub fn mask(&self) -> Option<&Array2<bool>> {
        self.mask.as_ref()
    }

    /// Returns the token types, if they are given.
    pub(crate) fn types(&self) -> Option<&Array2<u32>> {
        self.types.as_ref()
    }

    /// Returns the positions, if they are given.
    pub(crate) fn positions(&self) -> Option<&Array2<i64>> {
        self.positions.as_ref()
    }

    /// Checks the shapes and the ids.
    pub(crate) fn check(&self, vocabulary: usize) -> Result<(), RunError> {
        let (batch, length) = self.ids.dim();
        if batch == 0 || length == 0 {
            return Err(RunError::EmptyInput);
        }
        let shape = |argument, given: Option<&[usize]>| match given {
            Some(given) if given != [batch, length] => {
                Err(RunError::Shape { argument, expected: vec![batch, length], given: given.to_vec() })
            }
            _ => Ok(()),
        };
        shape("the mask", self.mask.as_ref().map(|x| x.shape()))?;
        shape("the positions", self.positions.as_ref().map(|x| x.shape()))?;
        shape("the token types", self.types.as_ref().map(|x| x.shape()))?;
        match self.ids.iter().position(|&id| id as usize >= vocabulary) {
            Some(at) => {
                let id = self.ids.iter().nth(at).copied().unwrap_or_default();
                Err(RunError::UnknownToken { id, position: at % length, n_vocab: vocabulary })
            }
            None => Ok(()),
        }
    }
}

/// The keys of each sequence that are not padding.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The number of keys before the first query: those of the cache.
    pub(crate) offset: usize,
    /// True for each key that is not padding, by sequence; empty without padding.
    keys: Vec<Vec<bool>>,
    /// The number of keys before each key that are not padding, by sequence; one list for all without padding.
    places: Vec<Vec<usize>>,
}

impl Seen {
    pub(crate) fn new(input: &Input, offset: usize) -> Self {
        let length = input.ids.ncols();
        let Some(mask) = &input.mask else {
            return Self { offset, keys: Vec::new(), places: vec![(0..offset + length).collect()] };
        };
        let keys: Vec<Vec<bool>> = mask.rows().into_iter().map(|row| row.to_vec()).collect();
        let places = keys
            .iter()
            .map(|keys| {
                let mut count = 0;
                keys.iter()
                    .map(|&real| {
                        count += usize::from(real);
                        if real { count - 1 } else { 0 }
                    })
                    .collect()
            })
            .collect();
        Self { offset, keys, places }
    }

    /// Returns true if a key is not padding.
    pub(crate) fn key(&self, sequence: usize, key: usize) -> bool {
        self.keys.get(sequence).is_none_or(|keys| keys[key])
    }

    /// Returns the keys of a sequence that are not padding, if they follow each other.
    pub(crate) fn run(&self, sequence: usize) -> Option<std::ops::Range<usize>> {
        let Some(keys) = self.keys.get(sequence) else { return Some(0..self.places[0].len()) };
        let first = keys.iter().position(|&real| real).unwrap_or(0);
        let count = keys.iter().filter(|&&real| real).count();
        let follows = keys.iter().skip(first).take(count).all(|&real| real);
        follows.then_some(first..first + count)
    }

    /// Returns the place of each key among those that are not padding.
    pub(crate) fn places(&self, sequence: usize) -> &[usize] {
        self.places.get(sequence).unwrap_or(&self.places[0])
    }
}
