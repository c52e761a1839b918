//! Measurements of a dictionary on drawn held-out documents.

use collimate_sae::DocumentSums;

/// Computes L0 and γ on drawn documents (indices in the order of [`DocumentSums::iter`], repetitions allowed).
pub(super) fn drawn_l0_and_gamma(documents: &DocumentSums, drawn: &[usize]) -> (f64, f64) {
    let all: Vec<_> = documents.iter().map(|(_, sums)| sums).collect();
    let (mut rows, mut active, mut output2, mut input_output) = (0, 0, 0.0, 0.0);
    for &i in drawn {
        rows += all[i].rows;
        active += all[i].active;
        output2 += all[i].output2;
        input_output += all[i].input_output;
    }
    (active as f64 / rows as f64, output2 / input_output)
}

/// Computes the explained share of the variance of drawn documents: 1 − Σ‖x − x̂‖²/(Σ‖x‖² − ‖Σ x‖²/n).
pub(super) fn drawn_explained_variance(documents: &DocumentSums, drawn: &[usize]) -> f64 {
    let all: Vec<_> = documents.iter().map(|(_, sums)| sums).collect();
    let (mut rows, mut input2, mut residual2) = (0, 0.0, 0.0);
    let mut input = vec![0.0; all[0].input.len()];
    for &i in drawn {
        rows += all[i].rows;
        input2 += all[i].input2;
        residual2 += all[i].residual2;
        input.iter_mut().zip(&all[i].input).for_each(|(sum, x)| *sum += x);
    }
    1.0 - residual2 / (input2 - input.iter().map(|sum| sum * sum).sum::<f64>() / rows as f64)
}
