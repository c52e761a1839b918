//! Linear attention and its recurrent relatives.

mod members;
mod memory;
mod order;

pub(super) use members::{Member, without_mask};
pub use memory::{additive_memory_overwrites, delta_exact_memory};
pub use order::{causal_linear_pattern_rank, delta_forgets_order, linear_forgets_order, linear_pattern_rank};

use super::largest;
use super::order::normal;
use collimate_claims::{Claim, Exact, Meta, Subject};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, s};

/// What the tokens of one head bring to a recurrence; a member takes what it knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// The queries (t, d).
    pub q: Array2<f64>,
    /// The keys (t, d), none longer than 1.
    pub k: Array2<f64>,
    /// The values (t, e).
    pub v: Array2<f64>,
    /// The logarithms of the decays (t, d), at most 0; a member with one number a token takes the first column.
    pub log_decay: Array2<f64>,
    /// The rates of the delta rule (t), from 0 to 1.
    pub beta: Array1<f64>,
}

/// A member of the linear family, one head of it: all that it remembers is a state of fixed size.
///
/// # Examples
/// ```
/// use collimate_attention::claims::{KeepsState, Tokens, linear_state_is_all};
/// use collimate_claims::{Budget, examine};
/// use ndarray::{Array2, Axis};
///
/// /// Linear attention that says it starts from a state, and does not.
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
    /// The outputs (t, e) and the state after the last token, from a state or, without one, from nothing.
    fn run(&self, tokens: &Tokens, state: Option<&Array2<f64>>) -> (Array2<f64>, Array2<f64>);
}

impl Tokens {
    /// Without decay, and with the full rate of the delta rule.
    fn plain(q: Array2<f64>, k: Array2<f64>, v: Array2<f64>) -> Self {
        let (log_decay, beta) = (Array2::zeros(k.dim()), Array1::ones(k.nrows()));
        Self { q, k, v, log_decay, beta }
    }

    fn select(&self, tokens: &[usize]) -> Self {
        let rows = |x: &Array2<f64>| x.select(ndarray::Axis(0), tokens);
        Self {
            q: rows(&self.q),
            k: rows(&self.k),
            v: rows(&self.v),
            log_decay: rows(&self.log_decay),
            beta: tokens.iter().map(|&t| self.beta[t]).collect(),
        }
    }

    fn range(&self, tokens: std::ops::Range<usize>) -> Self {
        self.select(&tokens.collect::<Vec<_>>())
    }
}

/// q, k and v; log-decays with the rates β as last column; and a number up to the count of the tokens.
type Sequence = (Array2<f64>, Array2<f64>, Array2<f64>, Array2<f64>, usize);

fn sequence(dims: &[usize], stream: &mut RngStream) -> Option<Sequence> {
    let (t, d) = (dims[0], dims[1]);
    let gates = Array2::from_shape_fn((t, d + 1), |(_, c)| {
        let strength = [0.1, 2.0, 60.0][stream.below(3)];
        if c == d { stream.uniform() } else { -strength * stream.uniform() }
    });
    let (q, k, v) = (normal(stream, t, d), normal(stream, t, d), normal(stream, t, 2));
    Some((q, k, v, gates, stream.below(t + 1)))
}

fn in_range((q, k, v, gates, number): &Sequence) -> bool {
    let d = k.ncols();
    q.iter().chain(k).chain(v).all(|x| x.abs() <= 10.0)
        && *number <= q.nrows()
        && gates.slice(s![.., ..d]).iter().all(|g| (-100.0..=0.0).contains(g))
        && gates.column(d).iter().all(|b| (0.0..=1.0).contains(b))
}

/// A drawn sequence with keys no longer than 1, so that the delta rule does not grow the state.
fn tokens((q, k, v, gates, _): &Sequence) -> Tokens {
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

/// Sequences of up to so many tokens; `number` is what the drawn number is for.
fn sequences(meta: Meta, longest: usize, number: &'static str) -> Exact<Sequence> {
    Exact::new(meta)
        .dims(&[("tokens", 1..=longest), ("width", 1..=4)])
        .names(&["q", "k", "v", "gates", number])
        .input(sequence)
        .admits(in_range)
}

/// A claim about them.
fn over_sequences(
    meta: Meta,
    longest: usize,
    number: &'static str,
    margin: impl Fn(&Tokens, usize) -> f64 + Send + Sync + 'static,
) -> impl Claim {
    sequences(meta, longest, number).margin(move |x| margin(&tokens(x), x.4))
}

/// The least of some numbers, where NaN counts as the least.
fn least(margins: impl Iterator<Item = f64>) -> f64 {
    margins.fold(f64::INFINITY, |least, x| if x >= least { least } else { x })
}

/// Two ways to compute each of some members: token by token, in chunks, all at once. A state carries over from one way to
/// the other in the middle of the sequence.
pub fn linear_forms_agree<A: KeepsState, B: KeepsState>(
    pairs: impl IntoIterator<Item = (A, B)>,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/linear-forms-agree",
        Subject::Attention,
        "linear attention with and without its normaliser, Performer, retention, GLA, simple GLA, DeltaNet and gated DeltaNet \
         give the same outputs and states token by token, in chunks and all at once, and may change from one to the other at \
         any token, within 1e-11 of the largest number",
    )
    .code("B13")
    .source("Katharopoulos et al. (2020); Yang et al. (2024)");
    let pairs: Vec<(A, B)> = pairs.into_iter().collect();
    // A margin runs each pair four times.
    sequences(meta, 24, "cut").inputs([50, 500, 5_000]).margin(move |x| {
        let (tokens, n, cut) = (&tokens(x), x.0.nrows(), x.4);
        let (first, second) = (tokens.range(0..cut), tokens.range(cut..n));
        least(pairs.iter().map(|(one, other)| {
            let (out, state) = one.run(tokens, None);
            let (all_at_once, end) = other.run(tokens, None);
            let (before, middle) = one.run(&first, None);
            let (after, changed) = other.run(&second, Some(&middle));
            let off = [
                largest(&(&all_at_once - &out)),
                largest(&(&end - &state)),
                largest(&(&before - &out.slice(s![..cut, ..]))),
                largest(&(&after - &out.slice(s![cut.., ..]))),
                largest(&(&changed - &state)),
            ];
            1e-11 * (1.0 + largest(&out) + largest(&state)) - largest(&off)
        }))
    })
}

/// What came before acts through the state alone.
pub fn linear_state_is_all<M: KeepsState>(members: impl IntoIterator<Item = M>) -> impl Claim {
    let meta = Meta::theorem(
        "attention/linear-state-is-all",
        Subject::Attention,
        "for every member of the family, the later part of a sequence run from the state of the earlier part gives the same as \
         the whole, within 1e-11 of the largest number",
    )
    .code("B13")
    .source("Katharopoulos et al. (2020), section 3.4");
    let members: Vec<M> = members.into_iter().collect();
    over_sequences(meta, 12, "cut", move |tokens, cut| {
        least(members.iter().map(|member| {
            let (out, state) = member.run(tokens, None);
            let (_, middle) = member.run(&tokens.range(0..cut), None);
            let (after, end) = member.run(&tokens.range(cut..tokens.q.nrows()), Some(&middle));
            let off = largest(&(&out.slice(s![cut.., ..]) - &after)).max(largest(&(&state - &end)));
            1e-11 * (1.0 + largest(&out) + largest(&state)) - off
        }))
    })
}

/// Without a mask a query gets what the causal form gives it when it comes with the last key.
pub fn bidirectional_linear_is_last(
    causal: impl KeepsState,
    without_mask: impl Fn(&Array2<f64>, &Array2<f64>, &Array2<f64>) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/bidirectional-linear-is-last",
        Subject::Attention,
        "without a mask, linear attention gives every query what the causal form gives it at the last key, within 1e-11 of the \
         largest value",
    )
    .source("Katharopoulos et al. (2020), equations 5 and 8");
    over_sequences(meta, 8, "query", move |x, query| {
        let last = x.q.nrows() - 1;
        let (all, query) = (without_mask(&x.q, &x.k, &x.v), query.min(last));
        let mut moved = Tokens::plain(x.q.clone(), x.k.clone(), x.v.clone());
        moved.q.row_mut(last).assign(&x.q.row(query));
        let at_the_end = causal.run(&moved, None).0;
        1e-11 * (1.0 + largest(&x.v)) - largest(&(&at_the_end.row(last) - &all.row(query)))
    })
}
