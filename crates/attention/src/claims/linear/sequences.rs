//! The sequences that the claims about recurrences draw.

use crate::claims::order::normal;
use collimate_claims::{Claim, Exact, Meta};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, s};

/// The inputs of a recurrence for the tokens of one head. A member uses the inputs that it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// The queries `[t, d]`.
    pub q: Array2<f64>,
    /// The keys `[t, d]`, of length at most 1.
    pub k: Array2<f64>,
    /// The values `[t, e]`.
    pub v: Array2<f64>,
    /// The logarithms of the decays `[t, d]`, at most 0. A member with one number for each token uses the first column.
    pub log_decay: Array2<f64>,
    /// The rates of the delta rule `[t]`, from 0 to 1.
    pub beta: Array1<f64>,
}

/// One head of a member of the linear family. Its only memory is a state of fixed size.
///
/// # Examples
/// ```
/// use collimate_attention::claims::{KeepsState, Tokens, linear_state_is_all};
/// use collimate_claims::{Budget, examine};
/// use ndarray::{Array2, Axis};
///
/// /// Linear attention that ignores its initial state.
/// struct Forgetful;
///
/// impl KeepsState for Forgetful {
///     fn run(&self, x: &Tokens, _: Option<&Array2<f64>>) -> (Array2<f64>, Array2<f64>) {
///         let mut state = Array2::zeros((x.k.ncols(), x.v.ncols()));
///         let mut out = x.v.clone();
///         for (t, mut out) in out.rows_mut().into_iter().enumerate() {
///             let (k, v) = (x.k.row(t).insert_axis(Axis(1)), x.v.row(t).insert_axis(Axis(0)));
///             state += &k.dot(&v);
///             out.assign(&x.q.row(t).dot(&state));
///         }
///         (out, state)
///     }
/// }
///
/// let report = examine(&linear_state_is_all([Forgetful]), &Budget::quick());
/// assert!(report.refuted());
/// assert_eq!(report.outcome.counterexample.unwrap().dims[0], ("tokens", 1)); // before the cut, and nothing after it
/// ```
pub trait KeepsState: Send + Sync + 'static {
    /// Returns the outputs `[t, e]` and the state after the last token, from an initial state or, without one, from zero.
    fn run(&self, tokens: &Tokens, state: Option<&Array2<f64>>) -> (Array2<f64>, Array2<f64>);
}

impl Tokens {
    /// Takes q, k and v without decay, with the full rate of the delta rule.
    pub(super) fn plain(q: Array2<f64>, k: Array2<f64>, v: Array2<f64>) -> Self {
        let (log_decay, beta) = (Array2::zeros(k.dim()), Array1::ones(k.nrows()));
        Self { q, k, v, log_decay, beta }
    }

    pub(super) fn select(&self, tokens: &[usize]) -> Self {
        let rows = |x: &Array2<f64>| x.select(ndarray::Axis(0), tokens);
        Self {
            q: rows(&self.q),
            k: rows(&self.k),
            v: rows(&self.v),
            log_decay: rows(&self.log_decay),
            beta: tokens.iter().map(|&t| self.beta[t]).collect(),
        }
    }

    pub(super) fn range(&self, tokens: std::ops::Range<usize>) -> Self {
        self.select(&tokens.collect::<Vec<_>>())
    }
}

/// The arrays q, k and v, the log-decays with the rates β as last column, and a number up to the number of tokens.
pub(super) type Sequence = (Array2<f64>, Array2<f64>, Array2<f64>, Array2<f64>, usize);

pub(super) fn sequence(dims: &[usize], stream: &mut RngStream) -> Option<Sequence> {
    let (t, d) = (dims[0], dims[1]);
    let gates = Array2::from_shape_fn((t, d + 1), |(_, c)| {
        let strength = [0.1, 2.0, 60.0][stream.below(3)];
        if c == d { stream.uniform() } else { -strength * stream.uniform() }
    });
    let (q, k, v) = (normal(stream, t, d), normal(stream, t, d), normal(stream, t, 2));
    Some((q, k, v, gates, stream.below(t + 1)))
}

pub(super) fn in_range((q, k, v, gates, number): &Sequence) -> bool {
    let d = k.ncols();
    q.iter().chain(k).chain(v).all(|x| x.abs() <= 10.0)
        && *number <= q.nrows()
        && gates.slice(s![.., ..d]).iter().all(|g| (-100.0..=0.0).contains(g))
        && gates.column(d).iter().all(|b| (0.0..=1.0).contains(b))
}

/// Turns a drawn sequence into tokens. The keys have length at most 1, so that the delta rule does not enlarge the state.
pub(super) fn tokens((q, k, v, gates, _): &Sequence) -> Tokens {
    let (mut k, d) = (k.clone(), k.ncols());
    for mut row in k.rows_mut() {
        let length = row.dot(&row).sqrt();
        row.mapv_inplace(|x| x / length.max(1.0));
    }
    Tokens {
        q: q.clone(),
        k,
        v: v.clone(),
        log_decay: gates.slice(s![.., ..d]).to_owned(),
        beta: gates.column(d).to_owned(),
    }
}

/// Draws sequences of up to `longest` tokens. `number` names the meaning of the drawn number.
pub(super) fn sequences(meta: Meta, longest: usize, number: &'static str) -> Exact<Sequence> {
    Exact::new(meta)
        .dims(&[("tokens", 1..=longest), ("width", 1..=4)])
        .names(&["q", "k", "v", "gates", number])
        .input(sequence)
        .admits(in_range)
}

/// Makes a claim about drawn sequences.
pub(super) fn over_sequences(
    meta: Meta,
    longest: usize,
    number: &'static str,
    margin: impl Fn(&Tokens, usize) -> f64 + Send + Sync + 'static,
) -> impl Claim {
    sequences(meta, longest, number).margin(move |x| margin(&tokens(x), x.4))
}
