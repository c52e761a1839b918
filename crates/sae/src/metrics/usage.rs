use super::null::WithNull;
use super::recognition::at_random;
use crate::SaeError;
use collimate_measure::{
    Fingerprint, Measurement, OutOfRange, Quantity, Unit, effective_number, ensure, gini, herfindahl,
};

/// Gini coefficient of the firings.
pub const GINI: Quantity = Quantity {
    name: "usage concentration (Gini)",
    definition: "Gini coefficient of the number of rows on which each latent is active",
    unit: Unit::One,
};
/// Herfindahl index of the firings.
pub const HERFINDAHL: Quantity = Quantity {
    name: "usage concentration (Herfindahl)",
    definition: "sum of the squared shares of the latents in all firings",
    unit: Unit::One,
};
/// Effective number of latents.
pub const EFFECTIVE: Quantity = Quantity {
    name: "effective number of latents",
    definition: "one over the Herfindahl index of the firings",
    unit: Unit::Count("latents"),
};
/// Median density.
pub const MEDIAN_DENSITY: Quantity = Quantity {
    name: "median log10 density",
    definition: "median over latents of log10(share of rows with the latent active + 1e-10)",
    unit: Unit::One,
};

/// On how many rows each latent was active: densities, and how unevenly the latents are used.
///
/// # Examples
/// ```
/// use collimate_sae::Usage;
/// let usage = Usage::new(vec![10, 10, 0, 0], 100)?;
/// assert_eq!(usage.log10_densities()[0], -0.9999999995657055);
/// assert_eq!(usage.histogram(10), [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
/// let effective = &usage.measurements()?[2];
/// assert_eq!(effective.value, 2.0);
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// Firings of each latent.
    pub fired: Vec<u64>,
    /// The number of rows.
    pub rows: u64,
}

impl Usage {
    /// Returns the usage from the counts of an [`Evaluation`](crate::Evaluation).
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] without latents or rows, or when a latent fired more often than there are rows.
    pub fn new(fired: Vec<u64>, rows: u64) -> Result<Self, SaeError> {
        ensure(!fired.is_empty() && rows > 0, "rows and latents", "at least 1", 0.0)?;
        let most = fired.iter().copied().max().unwrap_or(0);
        ensure(most <= rows, "firings of a latent", "at most the number of rows", most as f64)?;
        Ok(Self { fired, rows })
    }

    /// Computes log₁₀(firings/rows + 10⁻¹⁰) of each latent.
    pub fn log10_densities(&self) -> Vec<f64> {
        self.fired.iter().map(|&count| (count as f64 / self.rows as f64 + 1e-10).log10()).collect()
    }

    /// Counts the latents whose log₁₀ density lies in each of `bins` equal parts of [−10, 0]; the dead are in the first.
    pub fn histogram(&self, bins: usize) -> Vec<u64> {
        let mut out = vec![0; bins.max(1)];
        let last = out.len() - 1;
        for density in self.log10_densities() {
            out[(((density + 10.0) / 10.0 * (last + 1) as f64) as usize).min(last)] += 1;
        }
        out
    }

    /// Returns Gini, Herfindahl, effective number and median density.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] when no latent ever fired.
    pub fn measurements(&self) -> Result<Vec<Measurement>, SaeError> {
        let shares: Vec<f64> = self.fired.iter().map(|&count| count as f64).collect();
        let none = |_| OutOfRange { argument: "the number of firings", allowed: "positive", given: 0.0 };
        let mut densities = self.log10_densities();
        densities.sort_by(f64::total_cmp);
        let middle = densities.len() / 2;
        let median = if densities.len() % 2 == 1 {
            densities[middle]
        } else {
            (densities[middle - 1] + densities[middle]) / 2.0
        };
        let object = Fingerprint::of(b"usage").and_numbers(&shares);
        let n = self.rows;
        Ok([
            (&GINI, gini(&shares).map_err(none)?),
            (&HERFINDAHL, herfindahl(&shares).map_err(none)?),
            (&EFFECTIVE, effective_number(&shares).map_err(none)?),
            (&MEDIAN_DENSITY, median),
        ]
        .into_iter()
        .map(|(quantity, value)| Measurement { n, ..Measurement::exact(quantity, value, object) })
        .collect())
    }

    /// Returns the measurements, each with that of equally many firings (at most a million) given to the latents at random.
    ///
    /// # Errors
    /// As [`Usage::measurements`].
    pub fn with_null(&self, seed: u64) -> Result<Vec<WithNull>, SaeError> {
        let fired = at_random(&self.fired, seed);
        let total: u64 = self.fired.iter().sum();
        let rows = (self.rows as f64 * fired.iter().sum::<u64>() as f64 / total.max(1) as f64).ceil() as u64;
        let null = Self { fired, rows: rows.max(1) };
        Ok(WithNull::pairs(self.measurements()?, null.measurements()?, "firings at random"))
    }
}
