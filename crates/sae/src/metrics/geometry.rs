use super::matching::cosines;
use super::null::{WithNull, random_directions};
use collimate_measure::{Fingerprint, Measurement, Moments, Quantity, Unit};
use ndarray::{ArrayRef2, s};

/// The closeness of latents to each other.
pub const NEAREST: Quantity = Quantity {
    name: "nearest neighbour cosine",
    definition: "mean over decoder rows of the largest |cosine| with another decoder row",
    unit: Unit::One,
};
/// The closeness of the closest two latents.
pub const COHERENCE: Quantity = Quantity {
    name: "coherence",
    definition: "largest |cosine| of two different decoder rows",
    unit: Unit::One,
};
/// Length of the decoder rows.
pub const NORM: Quantity =
    Quantity { name: "decoder norm", definition: "mean length of the decoder rows", unit: Unit::Activation };
/// Agreement of reading and writing directions.
pub const ENCODER_DECODER: Quantity = Quantity {
    name: "encoder-decoder cosine",
    definition: "mean over latents of the cosine of encoder and decoder row",
    unit: Unit::One,
};

/// Rows compared with all others at once.
const BLOCK: usize = 256;

/// Measures the geometry of a dictionary: nearest neighbours, coherence, lengths, and the agreement of encoder and decoder.
///
/// # Shapes
/// `encoder`, `decoder` `[n, d]`.
///
/// # Panics
/// When the shapes differ.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let decoder = array![[2.0_f64, 0.0], [0.6, 0.8]];
/// let measured = collimate_sae::decoder_geometry(&decoder, &decoder);
/// assert!((measured[1].value - 0.6).abs() < 1e-12); // coherence
/// assert!((measured[2].value - 1.5).abs() < 1e-12); // mean length
/// ```
pub fn decoder_geometry(encoder: &ArrayRef2<f64>, decoder: &ArrayRef2<f64>) -> Vec<Measurement> {
    assert_eq!(encoder.shape(), decoder.shape(), "decoder_geometry: encoder and decoder of one shape");
    let n = decoder.nrows();
    let object = Fingerprint::of(b"geometry")
        .and_numbers(&encoder.iter().copied().collect::<Vec<_>>())
        .and_numbers(&decoder.iter().copied().collect::<Vec<_>>());
    let mut nearest = Moments::new();
    for start in (0..n).step_by(BLOCK) {
        let rows = decoder.slice(s![start..(start + BLOCK).min(n), ..]);
        for (i, row) in cosines(&rows, decoder).rows().into_iter().enumerate() {
            let others = row.iter().enumerate().filter(|&(j, _)| j != start + i);
            nearest.push(others.fold(0.0, |most: f64, (_, c)| most.max(c.abs())));
        }
    }
    let norms: Moments = decoder.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect();
    let agreement: Moments = encoder
        .rows()
        .into_iter()
        .zip(decoder.rows())
        .map(|(e, d)| {
            let lengths = (e.dot(&e) * d.dot(&d)).sqrt();
            if lengths > 0.0 { e.dot(&d) / lengths } else { 0.0 }
        })
        .collect();
    [
        (&NEAREST, nearest.mean()),
        (&COHERENCE, nearest.maximum()),
        (&NORM, norms.mean()),
        (&ENCODER_DECODER, agreement.mean()),
    ]
    .into_iter()
    .map(|(quantity, value)| Measurement { n: n as u64, ..Measurement::exact(quantity, value, object) })
    .collect()
}

/// Measures the geometry, with that of random directions of the same shapes.
///
/// # Determinism
/// The directions are drawn from `seed` alone.
pub fn decoder_geometry_with_null(
    encoder: &ArrayRef2<f64>,
    decoder: &ArrayRef2<f64>,
    seed: u64,
) -> Vec<WithNull> {
    let random = |seed| random_directions(decoder.dim(), seed);
    let null = decoder_geometry(&random(seed.wrapping_add(1)), &random(seed));
    WithNull::pairs(decoder_geometry(encoder, decoder), null, "random directions")
}
