use collimate_measure::ensure;
use collimate_stream::RngStream;
use collimate_superposition::{Explanation, Spectrum, SuperpositionError, rotated_code};
use ndarray::{Array2, ArrayRef2, Axis, s};
use std::collections::BTreeMap;
use std::f64::consts::TAU;

/// Adds a known mechanism to activations: an effect of the labels, scaled to a share of the variance.
///
/// ```text
/// h = background + g · signal(labels)        g such that  var(g · signal) / (var(background) + var(g · signal)) = share
/// ```
///
/// The signal of each cause, for n labels and d neurons:
///
/// | cause | signal |
/// |---|---|
/// | monosemantic | each label has a neuron of its own |
/// | rotated basis | n random orthonormal directions |
/// | superposition | n random unit directions inside a random space of n/2 dimensions |
/// | incidental | the first half of the labels share neurons in pairs, with opposite signs; each of the other labels has a neuron of its own |
/// | non-linear | class i is the number i + 1 along a random direction |
/// | multi-dimensional | class i is the i-th of n points on a ring in a random plane |
/// | compositional | each combination of labels has a random code; all linear traces of the labels are removed from it |
///
/// # Shapes
/// `background` and the result are `[b, d]` (states, neurons); `labels` is `[b, n]`, one-hot for the non-linear and the multi-dimensional
/// cause.
///
/// # Errors
/// [`SuperpositionError::Shape`] when the numbers of states differ, [`SuperpositionError::OutOfRange`] for a share outside `[0, 1)` or more
/// labels than neurons.
///
/// # Determinism
/// The result is a function of the arguments and the stream.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_studies::diagnosis::plant;
/// use collimate_superposition::{Explanation, Source, SparseFeatures, diagnose};
/// use ndarray::Array2;
/// let mut stream = RngStream::new(1, 0);
/// let noise = Array2::from_shape_simple_fn((200, 8), || stream.normal());
/// let x = SparseFeatures::uniform(4, 0.4)?.rows(200, &mut stream);
/// let h = plant(Explanation::RotatedBasis, &noise, &x, 0.97, &mut stream)?;
/// assert_eq!(diagnose(&h, Some(&x))?.answer(), Some(Explanation::RotatedBasis));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn plant(
    cause: Explanation,
    background: &ArrayRef2<f64>,
    labels: &ArrayRef2<f64>,
    share: f64,
    stream: &mut RngStream,
) -> Result<Array2<f64>, SuperpositionError> {
    let ((states, neurons), n) = (background.dim(), labels.ncols());
    if labels.nrows() != states {
        let (expected, given) = (vec![states, n], labels.shape().to_vec());
        return Err(SuperpositionError::Shape { argument: "labels", expected, given });
    }
    ensure((0.0..1.0).contains(&share), "share", "at least 0 and below 1", share)?;
    let fits = (1..=neurons).contains(&n);
    ensure(fits, "labels.ncols()", "at least 1 and at most the number of neurons", n as f64)?;
    let signal = signal(cause, labels, neurons, stream)?;
    let spread = |x: &ArrayRef2<f64>| x.var_axis(Axis(0), 0.0).sum();
    let (behind, planted) = (spread(background), spread(&signal));
    let gain = if planted > 0.0 { (share / (1.0 - share) * behind / planted).sqrt() } else { 0.0 };
    Ok(signal * gain + background)
}

/// Computes the signal of a cause before it is scaled.
fn signal(
    cause: Explanation,
    labels: &ArrayRef2<f64>,
    neurons: usize,
    stream: &mut RngStream,
) -> Result<Array2<f64>, SuperpositionError> {
    let n = labels.ncols();
    Ok(match cause {
        Explanation::Monosemantic => labels.dot(&axes(neurons, n, |i| i, stream)),
        Explanation::RotatedBasis => labels.dot(&rotated_code(neurons, stream)?.slice(s![..n, ..])),
        Explanation::Superposition => {
            let room = (n / 2).max(1);
            let mut w = Array2::from_shape_simple_fn((n, room), || stream.normal());
            for mut row in w.rows_mut() {
                let norm = row.dot(&row).sqrt();
                row /= norm;
            }
            labels.dot(&w.dot(&rotated_code(neurons, stream)?.slice(s![..room, ..])))
        }
        Explanation::Incidental => {
            labels.dot(&axes(neurons, n, |i| if i < n / 2 { i / 2 } else { i }, stream))
        }
        Explanation::NonLinear | Explanation::MultiDimensional => {
            let place = |i: usize| match cause {
                Explanation::NonLinear => [(i + 1) as f64, 0.0],
                _ => [(TAU * i as f64 / n as f64).cos(), (TAU * i as f64 / n as f64).sin()],
            };
            let plane = Array2::from_shape_fn((n, 2), |(i, k)| place(i)[k]);
            if neurons < 2 {
                labels.dot(&plane.slice(s![.., ..1]))
            } else {
                labels.dot(&plane.dot(&rotated_code(neurons, stream)?.slice(s![..2, ..])))
            }
        }
        Explanation::Compositional => hashed(labels, neurons, stream),
    })
}

/// Returns directions `[n, d]`: label `i` lies along neuron `place(i)` of a random order; the second of two labels on one neuron has the
/// opposite sign.
fn axes(neurons: usize, n: usize, place: impl Fn(usize) -> usize, stream: &mut RngStream) -> Array2<f64> {
    let order = stream.permutation(neurons);
    let mut w = Array2::zeros((n, neurons));
    for i in 0..n {
        let second = i > 0 && place(i) == place(i - 1);
        w[[i, order[place(i)]]] = if second { -1.0 } else { 1.0 };
    }
    w
}

/// Draws a code for each combination of labels and removes the part that a linear readout of the labels sees.
fn hashed(labels: &ArrayRef2<f64>, neurons: usize, stream: &mut RngStream) -> Array2<f64> {
    let mut codes: BTreeMap<Vec<u64>, Vec<f64>> = BTreeMap::new();
    let mut h = Array2::zeros((labels.nrows(), neurons));
    for (mut row, label) in h.rows_mut().into_iter().zip(labels.rows()) {
        let combination: Vec<u64> = label.iter().map(|x| x.to_bits()).collect();
        let code =
            codes.entry(combination).or_insert_with(|| (0..neurons).map(|_| stream.normal()).collect());
        row.iter_mut().zip(code).for_each(|(h, c)| *h = *c);
    }
    let mean = labels.sum_axis(Axis(0)) / labels.nrows().max(1) as f64;
    let spectrum = Spectrum::of(&(labels.to_owned() - &mean));
    let seen = spectrum.left.slice(s![.., ..spectrum.rank(1e-9)]).to_owned();
    let traces = seen.t().dot(&h);
    h - seen.dot(&traces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_superposition::diagnose;

    /// Draws 1,200 states of 48 correlated neurons with heavy tails, and labels that are independent of them.
    fn material(stream: &mut RngStream) -> (Array2<f64>, Array2<f64>, Array2<f64>) {
        let causes = Array2::from_shape_simple_fn((1200, 60), || stream.normal().powi(3));
        let mixing = Array2::from_shape_simple_fn((60, 48), || stream.normal());
        let features =
            Array2::from_shape_simple_fn((1200, 8), || f64::from(u8::from(stream.bernoulli(0.25))));
        let mut classes = Array2::zeros((1200, 7));
        (0..1200).for_each(|state| classes[[state, stream.below(7)]] = 1.0);
        (causes.dot(&mixing), features, classes)
    }

    #[test]
    fn every_planted_cause_is_found_and_half_a_signal_names_no_other() {
        let mut stream = RngStream::named(1, "planted");
        let (background, features, classes) = material(&mut stream);
        for cause in Explanation::ALL {
            let of_classes = matches!(cause, Explanation::NonLinear | Explanation::MultiDimensional);
            let labels = if of_classes { &classes } else { &features };
            for share in [0.0, 0.5, 0.95] {
                let h = plant(cause, &background, labels, share, &mut stream).unwrap();
                let found = diagnose(&h, Some(labels)).unwrap();
                // Half of the variance may be enough for a composition, because its labels need only be found. No other cause is named.
                let expected = match found.answer() {
                    None => share < 0.9,
                    Some(answer) => {
                        answer == cause
                            && (share > 0.9 || (share > 0.0 && cause == Explanation::Compositional))
                    }
                };
                assert!(expected, "{cause:?} at {share}: {found:?}");
                let variance = h.var_axis(Axis(0), 0.0).sum();
                let behind = background.var_axis(Axis(0), 0.0).sum();
                // Up to the chance correlation of signal and background.
                assert!(((1.0 - behind / variance) - share).abs() < 0.05, "{cause:?} {share}");
            }
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        let mut stream = RngStream::new(2, 0);
        let (h, x) = (Array2::ones((5, 3)), Array2::ones((5, 2)));
        for (h, x, share) in
            [(&h, &Array2::ones((4, 2)), 0.5), (&h, &x, 1.0), (&h, &x, f64::NAN), (&x, &h, 0.5)]
        {
            assert!(plant(Explanation::Monosemantic, h, x, share, &mut stream).is_err());
        }
        // Without variance there is no scale, and nothing is planted.
        assert_eq!(plant(Explanation::Monosemantic, &h, &x, 0.5, &mut stream).unwrap(), h);
    }
}
