/// The kind of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormKind {
    /// x / √(mean x² + ε).
    RootMeanSquare,
    /// (x − mean x) / √(var x + ε), with the population variance.
    Layer,
}

/// The form in which a file stores the gain of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GainForm {
    /// No gain.
    None,
    /// The gain g itself.
    Plain,
    /// The gain minus one: the factor is 1 + g (Gemma).
    PlusOne,
}

/// A norm of the rows: y = x̂ ∘ gain + bias.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Norm {
    /// The kind.
    pub kind: NormKind,
    /// The number ε that is added to the mean square, inside the root.
    pub epsilon: f64,
    /// The gain.
    pub gain: GainForm,
    /// True if there is a bias.
    pub bias: bool,
}

impl Norm {
    /// Returns the norm by the root mean square with a plain gain.
    pub fn root_mean_square(epsilon: f64) -> Self {
        Self { kind: NormKind::RootMeanSquare, epsilon, gain: GainForm::Plain, bias: false }
    }

    /// Returns layer normalisation with gain and bias.
    pub fn layer(epsilon: f64) -> Self {
        Self { kind: NormKind::Layer, epsilon, gain: GainForm::Plain, bias: true }
    }

    /// Returns this norm with another form of its gain.
    #[must_use]
    pub fn with_gain(self, gain: GainForm) -> Self {
        Self { gain, ..self }
    }

    /// Returns this norm with or without a bias.
    #[must_use]
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }
}
