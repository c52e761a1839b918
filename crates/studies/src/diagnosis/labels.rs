use ndarray::Array2;

/// A set of labels of tokens that needs no labelled corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSet {
    /// Eight properties of the spelling; several can hold at once.
    Spelling,
    /// One of five kinds: the end of a line, punctuation, a number, the beginning of a word, the rest of a word.
    Kind,
    /// The identity of the token among the most frequent tokens; other tokens are left out.
    Identity,
}

impl LabelSet {
    /// All sets of labels.
    pub const ALL: [Self; 3] = [Self::Spelling, Self::Kind, Self::Identity];

    /// Returns the name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spelling => "spelling",
            Self::Kind => "kind of token",
            Self::Identity => "frequent tokens",
        }
    }
}

/// The number of most frequent tokens that [`LabelSet::Identity`] distinguishes.
const FREQUENT: usize = 8;

/// Computes the labels of tokens, and the indices of the tokens that have labels.
///
/// # Shapes
/// The result holds b indices, and labels `[b, n]`.
///
/// # Examples
/// ```
/// use collimate_studies::diagnosis::{LabelSet, labels};
/// let (chosen, kinds) = labels(LabelSet::Kind, &[" The", " 42", ",", "ly", "\n"]);
/// assert_eq!((chosen.len(), kinds.dim()), (5, (5, 5)));
/// assert_eq!(kinds.row(1).to_vec(), [0.0, 0.0, 1.0, 0.0, 0.0]); // a number
/// ```
pub fn labels(set: LabelSet, pieces: &[&str]) -> (Vec<usize>, Array2<f64>) {
    let everything = || (0..pieces.len()).collect::<Vec<_>>();
    match set {
        LabelSet::Spelling => {
            let rows: Vec<[bool; 8]> = pieces.iter().map(|piece| spelling(piece)).collect();
            (everything(), Array2::from_shape_fn((rows.len(), 8), |(s, i)| f64::from(u8::from(rows[s][i]))))
        }
        LabelSet::Kind => {
            let kinds: Vec<usize> = pieces.iter().map(|piece| kind(piece)).collect();
            (everything(), one_hot(&kinds, 5))
        }
        LabelSet::Identity => {
            let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
            pieces.iter().for_each(|piece| *counts.entry(piece).or_default() += 1);
            let mut frequent: Vec<(&str, usize)> = counts.into_iter().collect();
            // Among equally frequent tokens, the first in alphabetical order comes first.
            frequent.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            frequent.truncate(FREQUENT);
            let place = |piece: &str| frequent.iter().position(|(other, _)| *other == piece);
            let found: Vec<(usize, usize)> =
                pieces.iter().enumerate().filter_map(|(s, piece)| Some((s, place(piece)?))).collect();
            let (chosen, places): (Vec<usize>, Vec<usize>) = found.into_iter().unzip();
            (chosen, one_hot(&places, frequent.len()))
        }
    }
}

fn one_hot(classes: &[usize], count: usize) -> Array2<f64> {
    Array2::from_shape_fn((classes.len(), count), |(s, i)| f64::from(u8::from(classes[s] == i)))
}

fn spelling(piece: &str) -> [bool; 8] {
    let text = piece.trim();
    let letters = || text.chars().filter(|c| c.is_alphabetic());
    [
        piece.starts_with(' '),
        text.chars().next().is_some_and(char::is_uppercase),
        letters().count() > 1 && letters().all(char::is_uppercase),
        text.chars().any(|c| c.is_ascii_digit()),
        !text.is_empty() && text.chars().all(|c| c.is_ascii_punctuation()),
        piece.contains('\n'),
        letters().count() >= 6,
        text.chars().next_back().is_some_and(|c| "aeiouAEIOU".contains(c)),
    ]
}

fn kind(piece: &str) -> usize {
    let text = piece.trim();
    if text.is_empty() {
        0
    } else if text.chars().all(|c| !c.is_alphanumeric()) {
        1
    } else if text.chars().any(|c| c.is_ascii_digit()) {
        2
    } else if piece.starts_with(' ') {
        3
    } else {
        4
    }
}
