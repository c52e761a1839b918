use super::Factored;
use crate::AttentionError;
use crate::error::check_shape;
use collimate_measure::{Fingerprint, Measurement, Moments, Quantity, Unit, ensure};
use collimate_stream::RngStream;
use ndarray::Array2;

/// Through what an earlier head reaches a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Composition {
    /// It writes what the later head's queries read: W_OV W_QK.
    Query,
    /// It writes what the later head's keys read: W_OV W_QKᵀ.
    Key,
    /// It writes what the later head moves on: W_OV W_OV.
    Value,
}

const SCORES: [Quantity; 3] = [
    Quantity {
        name: "Q-composition",
        definition: "‖W_OV W_QK‖ / (‖W_OV‖ ‖W_QK‖) of an earlier and a later head, Frobenius norms",
        unit: Unit::One,
    },
    Quantity {
        name: "K-composition",
        definition: "‖W_OV W_QKᵀ‖ / (‖W_OV‖ ‖W_QK‖) of an earlier and a later head, Frobenius norms",
        unit: Unit::One,
    },
    Quantity {
        name: "V-composition",
        definition: "‖W_OV W_OV‖ / (‖W_OV‖ ‖W_OV‖) of an earlier and a later head, Frobenius norms",
        unit: Unit::One,
    },
];

const OF_RANDOM: Quantity = Quantity {
    name: "composition of random heads",
    definition: "the composition score of heads of the same shape with independent normal weights, mean over draws",
    unit: Unit::One,
};

const ABOVE_RANDOM: Quantity = Quantity {
    name: "composition above random heads",
    definition: "the composition score minus its mean over heads of the same shape with independent normal weights",
    unit: Unit::One,
};

/// Measures the share of an earlier head's output that lies in the space that a later head reads.
///
/// ```text
/// ‖A B‖_F / (‖A‖_F ‖B‖_F),   A the earlier head's W_OV, B the later head's W_QK, W_QKᵀ or W_OV
/// ```
///
/// # Shapes
/// Both circuits `[m, m]`; `later` is a QK circuit for queries and keys and an OV circuit for values.
///
/// # Units and range
/// A ratio from 0 to 1. Random heads do not have 0 but about 1/√m: see [`composition_above_random`].
///
/// # Errors
/// [`AttentionError::Shape`] when the circuits do not fit; [`AttentionError::Undefined`] when one of them is zero.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::{Composition, composition, ov_circuit, qk_circuit};
/// use ndarray::array;
/// let earlier = ov_circuit(&array![[1.0], [0.0]], &array![[0.0, 1.0]])?; // writes feature 1
/// let later = qk_circuit(&array![[1.0], [0.0]], &array![[0.0], [1.0]])?; // queries read 0, keys read 1
/// assert_eq!(composition(Composition::Key, &earlier, &later)?.value, 1.0);
/// assert_eq!(composition(Composition::Query, &earlier, &later)?.value, 0.0);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Elhage et al. (2021), "A Mathematical Framework for Transformer Circuits", virtual weights; written for column vectors
/// there, for rows here.
pub fn composition(
    kind: Composition,
    earlier: &Factored,
    later: &Factored,
) -> Result<Measurement, AttentionError> {
    let quantity = &SCORES[kind as usize];
    let value = score(kind, earlier, later)?
        .ok_or(AttentionError::Undefined { quantity: quantity.name, reason: "a circuit is zero" })?;
    Ok(Measurement::exact(quantity, value, of_both(earlier, later)))
}

/// Estimates the mean score of heads of these widths with independent normal weights.
///
/// # Errors
/// [`AttentionError::OutOfRange`] for fewer than two draws or a width of zero.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::{Composition, composition_of_random_heads};
/// use collimate_stream::RngStream;
/// let baseline = composition_of_random_heads(Composition::Value, 64, [4, 4], 50, &mut RngStream::new(1, 0))?;
/// assert!((baseline.value - 1.0 / 8.0).abs() < 0.01); // near 1/√64
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn composition_of_random_heads(
    kind: Composition,
    d_model: usize,
    d_heads: [usize; 2],
    draws: usize,
    stream: &mut RngStream,
) -> Result<Measurement, AttentionError> {
    ensure(draws >= 2, "draws", "at least 2, for a standard error", draws as f64)?;
    let widths = [("d_model", d_model), ("d_heads", d_heads[0].min(d_heads[1]))];
    widths.iter().try_for_each(|&(name, width)| ensure(width >= 1, name, "at least 1", width as f64))?;
    let mut scores = Moments::new();
    let shape = Fingerprint::of(&[d_model, d_heads[0], d_heads[1], draws].map(usize::to_le_bytes).concat());
    let mut normal = |rows, columns| Array2::from_shape_simple_fn((rows, columns), || stream.normal());
    for _ in 0..draws {
        let mut head = |d| Factored::new(&normal(d_model, d), &normal(d, d_model));
        let (earlier, later) = (head(d_heads[0])?, head(d_heads[1])?);
        scores.push(score(kind, &earlier, &later)?.unwrap_or(0.0));
    }
    let error = scores.standard_error();
    Ok(Measurement::estimate(&OF_RANDOM, scores.mean(), error, draws as u64, shape))
}

/// Measures the score minus the mean score of random heads of the same shape. The standard error belongs to this mean.
///
/// # Errors
/// Like [`composition`] and [`composition_of_random_heads`].
///
/// # References
/// Elhage et al. (2021), who subtract the expected score of random matrices.
pub fn composition_above_random(
    kind: Composition,
    earlier: &Factored,
    later: &Factored,
    draws: usize,
    stream: &mut RngStream,
) -> Result<Measurement, AttentionError> {
    let own = composition(kind, earlier, later)?;
    let widths = [earlier.left().ncols(), later.left().ncols()];
    let random = composition_of_random_heads(kind, earlier.dim().0, widths, draws, stream)?;
    Ok(Measurement { quantity: ABOVE_RANDOM, value: own.value - random.value, object: own.object, ..random })
}

/// Computes the score, or `None` if a circuit is zero.
fn score(kind: Composition, earlier: &Factored, later: &Factored) -> Result<Option<f64>, AttentionError> {
    let m = earlier.dim().0;
    for circuit in [earlier, later] {
        let (rows, columns) = circuit.dim();
        check_shape("a circuit of the residual", "[m, m]", &[m, m], &[rows, columns])?;
    }
    let product = match kind {
        Composition::Query | Composition::Value => earlier.then(later)?,
        Composition::Key => earlier.then(&later.transposed())?,
    };
    let (a, b) = (earlier.norm()?, later.norm()?);
    // One division after the other: the product of two norms can underflow where their ratio does not.
    (a > 0.0 && b > 0.0).then(|| product.norm().map(|n| n / a / b)).transpose()
}

fn of_both(a: &Factored, b: &Factored) -> Fingerprint {
    Fingerprint(a.fingerprint().0.rotate_left(1) ^ b.fingerprint().0)
}
