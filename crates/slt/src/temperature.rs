use crate::SltError;
use crate::error::positive;
use collimate_measure::ensure;

/// An inverse temperature β: the posterior is `φ(w) e^{−nβ L_n(w)}`.
///
/// Software calls different numbers temperature: β, nβ, or β with the batch size instead of n. Here β is per sample.
/// [`NBeta`], the factor in front of the *mean* loss, is a separate type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beta {
    /// The value `1/log n` of the WBIC and of the LLC estimator.
    InverseLogN,
    /// Any value. The Bayes posterior has β = 1.
    Value(f64),
}

impl Beta {
    /// Returns the β that belongs to a factor nβ of the mean loss. The software devinterp uses that factor.
    pub fn of_n_beta(n_beta: NBeta, n: usize) -> Self {
        Self::Value(n_beta.get() / n as f64)
    }

    /// Returns nβ for `n` samples.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for fewer than two samples (log 1 is 0) or a β that is not positive and finite.
    ///
    /// # Examples
    /// ```
    /// use collimate_slt::Beta;
    /// assert!((Beta::InverseLogN.n_beta(1000)?.get() - 144.76).abs() < 0.01);
    /// # Ok::<(), collimate_slt::SltError>(())
    /// ```
    pub fn n_beta(self, n: usize) -> Result<NBeta, SltError> {
        ensure(n >= 2, "n", "at least 2", n as f64)?;
        let n = n as f64;
        match self {
            Beta::InverseLogN => NBeta::new(n / n.ln()),
            Beta::Value(beta) => NBeta::new(n * beta),
        }
    }
}

/// The factor nβ in front of the mean loss.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct NBeta(f64);

impl NBeta {
    /// Creates the factor from its value.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] unless the value is positive and finite.
    pub fn new(n_beta: f64) -> Result<Self, SltError> {
        positive("n_beta", n_beta)?;
        Ok(Self(n_beta))
    }

    /// Returns the value.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The kind of the mean loss of an objective, relative to the mean negative log likelihood.
///
/// λ does not depend on a constant factor of K. A tempered estimate at finite n does, through its temperature. At equal nβ,
/// a network with the squared error and with the likelihood has two different targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossScale {
    /// The mean of `−log p(y|x, w)`, up to a constant.
    NegativeLogLikelihood,
    /// The mean over samples of `|y − f|²`, summed over the outputs, without a half. The likelihood is Gaussian with this σ.
    SquaredError {
        /// The standard deviation σ of the noise.
        noise: f64,
    },
    /// The mean of the squared error over samples and outputs.
    MeanSquaredError {
        /// The standard deviation σ of the noise.
        noise: f64,
        /// The number of outputs.
        outputs: usize,
    },
    /// Twice the negative log likelihood.
    Deviance,
}

impl LossScale {
    /// Returns the factor on nβ with which this loss gives the posterior of the likelihood at nβ.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for a noise that is not positive or no outputs.
    ///
    /// # Examples
    /// ```
    /// use collimate_slt::LossScale;
    /// assert_eq!(LossScale::SquaredError { noise: 0.5 }.factor()?, 2.0);
    /// assert_eq!(LossScale::Deviance.factor()?, 0.5);
    /// # Ok::<(), collimate_slt::SltError>(())
    /// ```
    pub fn factor(self) -> Result<f64, SltError> {
        let half_precision = |noise: f64| {
            positive("noise", noise)?;
            Ok::<_, SltError>(0.5 / (noise * noise))
        };
        match self {
            Self::NegativeLogLikelihood => Ok(1.0),
            Self::Deviance => Ok(0.5),
            Self::SquaredError { noise } => half_precision(noise),
            Self::MeanSquaredError { noise, outputs } => {
                ensure(outputs > 0, "outputs", "at least 1", outputs as f64)?;
                Ok(outputs as f64 * half_precision(noise)?)
            }
        }
    }
}
