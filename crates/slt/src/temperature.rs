use crate::SltError;

/// An inverse temperature β: the posterior is `φ(w) e^{−nβ L_n(w)}`.
///
/// Software disagrees on what to call temperature (β, nβ, or β with n replaced by the batch size). Here β is per
/// sample, and [`NBeta`], the factor in front of the *mean* loss, is a type of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beta {
    /// `1/log n`: the temperature of the WBIC and of the LLC estimator.
    InverseLogN,
    /// A number; 1 is the Bayes posterior.
    Value(f64),
}

impl Beta {
    /// `1/log n`.
    pub fn inverse_log_n() -> Self {
        Self::InverseLogN
    }

    /// nβ for `n` samples.
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
        if n < 2 {
            return Err(SltError::OutOfRange { name: "n", value: n as f64, expected: "at least 2" });
        }
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
    /// nβ itself.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] unless it is positive and finite.
    pub fn new(n_beta: f64) -> Result<Self, SltError> {
        if n_beta > 0.0 && n_beta.is_finite() {
            Ok(Self(n_beta))
        } else {
            Err(SltError::OutOfRange { name: "n_beta", value: n_beta, expected: "positive and finite" })
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}
