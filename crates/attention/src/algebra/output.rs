use super::arguments::{for_each_head, row};
use super::normaliser::sigmoid;
use super::rows::{Gain, Rms};
use super::{Parameter, Parameters};
use collimate_tensor::Scalar;
use ndarray::{Array3, ArrayRef3};

/// The number of gates of a head for each query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GateForm {
    /// One gate for each coordinate of the output: `[p, t, e]`.
    Elementwise,
    /// One gate: `[p, t, 1]`.
    Headwise,
}

/// One change of the output rows.
///
/// ```text
/// head norm    y = x / √(mean x² + ε)  (∘ gain)       over the row of one head; the gain is shared by all heads
/// scale        y = c x
/// gate         y = σ(g) x
/// ```
///
/// # References
/// Ye et al. (2024), section 2.2; Qiu et al. (2025), "Gated Attention for Large Language Models".
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum OutputChange {
    /// Divides each row by its root mean square.
    HeadNorm {
        /// The number ε added under the root.
        epsilon: f64,
        /// The gain after the norm: none, or [`Parameter::HeadGain`].
        gain: Gain,
    },
    /// Multiplies by a number.
    Scale(f64),
    /// Multiplies by the sigmoid of [`Parameter::Gate`].
    Gate(GateForm),
}

impl OutputChange {
    pub(crate) fn parameter(&self) -> Option<Parameter> {
        match self {
            Self::HeadNorm { gain: Gain::Learned, .. } => Some(Parameter::HeadGain),
            Self::Gate(_) => Some(Parameter::Gate),
            Self::HeadNorm { .. } | Self::Scale(_) => None,
        }
    }

    /// Returns true if the derivatives need the output before the change.
    pub(crate) fn looks_back(&self) -> bool {
        !matches!(self, Self::Scale(_))
    }

    /// Changes the output.
    pub(crate) fn forward<F: Scalar>(&self, parameters: &Parameters<F>, out: &mut ArrayRef3<F>) {
        let width = out.dim().2;
        match *self {
            Self::Scale(factor) => {
                let factor = F::from_f64(factor);
                for_each_head(out, &|_, rows| rows.iter_mut().for_each(|x| *x *= factor));
            }
            Self::HeadNorm { epsilon, gain } => {
                let gain = gain_of(parameters, gain);
                for_each_head(out, &|_, rows| {
                    rows.chunks_exact_mut(width.max(1))
                        .for_each(|row| Rms::of(row, epsilon).scale(row, gain));
                });
            }
            Self::Gate(form) => {
                let gate = parameters.values(Parameter::Gate);
                let out = out.as_slice_mut().expect("own arrays are in standard layout");
                for (n, x) in out.iter_mut().enumerate() {
                    *x *= sigmoid(gate[cell(form, n, width)]);
                }
            }
        }
    }

    pub(crate) fn vjp<F: Scalar>(
        &self,
        parameters: &Parameters<F>,
        x: &ArrayRef3<F>,
        mut d: Array3<F>,
        into: &mut Parameters<F>,
    ) -> Array3<F> {
        let width = x.dim().2;
        match *self {
            Self::Scale(factor) => d.mapv_inplace(|d| d * F::from_f64(factor)),
            Self::HeadNorm { epsilon, gain } => {
                if gain == Gain::Learned {
                    let sums = into.values_mut(Parameter::HeadGain);
                    for_each(x, |h, i| {
                        Rms::of(row(x, h, i), epsilon).collect(row(x, h, i), row(&d, h, i), sums)
                    });
                }
                let gain = gain_of(parameters, gain);
                for_each_head(&mut d, &|h, rows| {
                    for (i, d) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                        Rms::of(row(x, h, i), epsilon).vjp_of_row(row(x, h, i), gain, d);
                    }
                });
            }
            Self::Gate(form) => {
                let (gate, by_gate) = (parameters.values(Parameter::Gate), into.values_mut(Parameter::Gate));
                let numbers = d.as_slice_mut().expect("own arrays are in standard layout").iter_mut().zip(x);
                for (n, (d, &x)) in numbers.enumerate() {
                    let (open, at) = (sigmoid(gate[cell(form, n, width)]), cell(form, n, width));
                    by_gate[at] += *d * x * open * (F::one() - open);
                    *d *= open;
                }
            }
        }
        d
    }

    pub(crate) fn jvp<F: Scalar>(
        &self,
        [parameters, direction]: [&Parameters<F>; 2],
        x: &ArrayRef3<F>,
        mut dot: Array3<F>,
    ) -> Array3<F> {
        let width = x.dim().2;
        match *self {
            Self::Scale(factor) => dot.mapv_inplace(|d| d * F::from_f64(factor)),
            Self::HeadNorm { epsilon, gain } => for_each(x, |h, i| {
                let gains = [parameters, direction].map(|p| gain_of(p, gain));
                Rms::new(x, &[(h, i)], epsilon).jvp(x, &[(h, i)], gains, &mut dot);
            }),
            Self::Gate(form) => {
                let [gate, moved] = [parameters, direction].map(|p| p.values(Parameter::Gate));
                let numbers =
                    dot.as_slice_mut().expect("own arrays are in standard layout").iter_mut().zip(x);
                for (n, (d, &x)) in numbers.enumerate() {
                    let (at, open) = (cell(form, n, width), sigmoid(gate[cell(form, n, width)]));
                    *d = *d * open + x * open * (F::one() - open) * moved[at];
                }
            }
        }
        dot
    }
}

/// Returns the index of the gate of the `n`-th number of the output.
fn cell(form: GateForm, n: usize, width: usize) -> usize {
    match form {
        GateForm::Elementwise => n,
        GateForm::Headwise => n / width,
    }
}

fn gain_of<F: Scalar>(parameters: &Parameters<F>, gain: Gain) -> Option<&[F]> {
    (gain == Gain::Learned).then(|| parameters.values(Parameter::HeadGain))
}

fn for_each<F>(x: &ArrayRef3<F>, mut run: impl FnMut(usize, usize)) {
    let (heads, rows, _) = x.dim();
    (0..heads).for_each(|h| (0..rows).for_each(|i| run(h, i)));
}
