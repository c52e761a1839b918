//! Claims about the rank of scores and pattern.

use super::order::normal;
use super::scores::Scores;
use super::subjects::Attends;
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::Array2;

/// The share of the largest pivot below which a pivot counts as zero.
const THRESHOLD: f64 = 1e-9;

/// Claims that scores have at most the rank of the head width, because they are a product through d dimensions.
pub fn score_rank(attention: impl Scores) -> impl Claim {
    let meta = Meta::theorem(
        "attention/score-rank",
        Subject::Attention,
        "the scores of a head have at most the rank of the head width (pivots above 1e-9 of the largest)",
    )
    .code("B7");
    at_most_width(meta, move |q, k| attention.scores(q, k))
}

/// Claims the belief that the softmax keeps the rank of the scores.
pub fn pattern_rank(attention: impl Attends) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/pattern-rank",
        Subject::Attention,
        "the pattern of a head has at most the rank of the head width (pivots above 1e-9 of the largest)",
    )
    .code("B8");
    at_most_width(meta, move |q, k| attention.attend_to(q, k, &Array2::eye(k.nrows())))
}

/// Claims that a matrix computed from q and k has at most the rank of their width.
pub(super) fn at_most_width(
    meta: Meta,
    matrix: impl Fn(&Array2<f64>, &Array2<f64>) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    Exact::new(meta)
        .dims(&[("tokens", 1..=6), ("width", 1..=3)])
        .names(&["q", "k"])
        .input(|dims, stream| Some((normal(stream, dims[0], dims[1]), normal(stream, dims[0], dims[1]))))
        .admits(|(q, k)| q.iter().chain(k).all(|x: &f64| x.abs() <= 10.0))
        .margin(move |(q, k)| {
            let matrix = matrix(q, k);
            if matrix.iter().any(|x| !x.is_finite()) {
                return f64::NAN;
            }
            q.ncols() as f64 - rank(matrix) as f64
        })
}

/// Computes the rank by elimination with the largest remaining entry as pivot.
fn rank(mut m: Array2<f64>) -> usize {
    let (rows, columns) = m.dim();
    let mut first = 0.0;
    for step in 0..rows.min(columns) {
        let rest = (step..rows).flat_map(|i| (step..columns).map(move |j| (i, j)));
        let (i, j) = rest.max_by(|&a, &b| m[a].abs().total_cmp(&m[b].abs())).expect("the rest is not empty");
        let pivot = m[[i, j]].abs();
        first = if step == 0 { pivot } else { first };
        if pivot <= THRESHOLD * first {
            return step;
        }
        for column in 0..columns {
            m.swap([step, column], [i, column]);
        }
        for row in 0..rows {
            m.swap([row, step], [row, j]);
        }
        for row in step + 1..rows {
            let factor = m[[row, step]] / m[[step, step]];
            for column in step..columns {
                m[[row, column]] -= factor * m[[step, column]];
            }
        }
    }
    rows.min(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn known_ranks() {
        assert_eq!(rank(Array2::eye(3)), 3);
        assert_eq!(rank(Array2::zeros((2, 4))), 0);
        assert_eq!(rank(array![[0.0, 2.0, 4.0], [0.0, 1.0, 2.0]]), 1);
        assert_eq!(rank(array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), 2);
    }
}
