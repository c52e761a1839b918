use super::matching::cosines;
use super::null::{WithNull, random_directions};
use crate::SaeError;
use collimate_measure::{Fingerprint, Measurement, OutOfRange, Quantity, Unit, ensure};
use collimate_tensor::{Scalar, SparseRows};
use ndarray::{Array2, ArrayRef1, ArrayRef2, Axis};

/// Share of absorbed rows.
pub const FULL: Quantity = Quantity {
    name: "absorption (full)",
    definition: "share of rows with the feature on which no main latent is active and a single other latent, of cosine at least \
                 0.025 with the probe, carries at least 0.4 of its projection",
    unit: Unit::Fraction,
};
/// Share of the projection that is absorbed.
pub const FRACTION: Quantity = Quantity {
    name: "absorption (fraction)",
    definition: "mean over rows with the feature of the share of the probe's projection that at most 3 latents other than the \
                 main ones, of cosine at least 0.1 with the probe, carry",
    unit: Unit::Fraction,
};

/// The share of a feature that other latents than its own carry: streaming and mergeable.
///
/// ```text
/// projection of latent i on a row:  p_i = f_i (d_i · w)/‖w‖        share = p_i / Σ_j max(p_j, 0)
/// ```
/// The main latents are those that a probe with few latents found; the rows are those on which the feature is present.
///
/// # References
/// Chanin et al. (2024), "A is for Absorption"; thresholds as in SAEBench.
#[derive(Clone, Debug, PartialEq)]
pub struct Absorption {
    along: Vec<f64>,
    cosine: Vec<f64>,
    main: Vec<bool>,
    /// Rows with the feature.
    pub rows: u64,
    absorbed: u64,
    fraction: f64,
    object: Fingerprint,
}

impl Absorption {
    /// Returns an empty count for a probe direction and its main latents.
    ///
    /// # Shapes
    /// `decoder` `[n, d]`, `probe` `[d]`.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for a probe of another width, [`SaeError::OutOfRange`] for a probe of zeros or a main latent that
    /// does not exist.
    pub fn new(decoder: &ArrayRef2<f64>, probe: &ArrayRef1<f64>, main: &[u32]) -> Result<Self, SaeError> {
        let (n, d) = decoder.dim();
        if probe.len() != d {
            return Err(SaeError::shape("probe", &[d], probe.shape()));
        }
        let length = probe.dot(probe).sqrt();
        ensure(length > 0.0 && length.is_finite(), "the length of the probe", "positive and finite", length)?;
        let mut is_main = vec![false; n];
        for &latent in main {
            let slot = is_main.get_mut(latent as usize);
            let given = f64::from(latent);
            *slot.ok_or(OutOfRange { argument: "a main latent", allowed: "below n", given })? = true;
        }
        let unit: Array2<f64> = (probe.to_owned() / length).insert_axis(Axis(0));
        let along = decoder.dot(&unit.row(0)).to_vec();
        let cosine = cosines(decoder, &unit).column(0).to_vec();
        let object = Fingerprint::of(b"absorption").and_numbers(&along).and_numbers(&cosine);
        Ok(Self { along, cosine, main: is_main, rows: 0, absorbed: 0, fraction: 0.0, object })
    }

    /// Takes the codes of some rows with the feature.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for codes over another number of latents.
    pub fn push<F: Scalar>(&mut self, codes: &SparseRows<F>) -> Result<(), SaeError> {
        let n = self.along.len();
        if codes.n_columns() != n {
            return Err(SaeError::shape("codes", &[codes.n_rows(), n], &[codes.n_rows(), codes.n_columns()]));
        }
        for (latents, values) in codes.rows() {
            self.rows += 1;
            let projections: Vec<(usize, f64)> = latents
                .iter()
                .zip(values)
                .map(|(&i, &value)| (i as usize, value.to_f64() * self.along[i as usize]))
                .collect();
            let total: f64 = projections.iter().map(|p| p.1.max(0.0)).sum();
            if total <= 0.0 {
                continue;
            }
            let active_main =
                latents.iter().zip(values).any(|(&i, &v)| self.main[i as usize] && v.to_f64() != 0.0);
            let largest = projections.iter().filter(|p| !self.main[p.0] && self.cosine[p.0] >= 0.025);
            let largest = largest.fold(0.0, |most: f64, p| most.max(p.1));
            self.absorbed += u64::from(!active_main && largest >= 0.4 * total);
            let mut others: Vec<f64> = projections
                .iter()
                .filter(|p| !self.main[p.0] && self.cosine[p.0] >= 0.1 && p.1 > 0.0)
                .map(|p| p.1)
                .collect();
            others.sort_by(|a, b| b.total_cmp(a));
            self.fraction += others.iter().take(3).sum::<f64>() / total;
        }
        Ok(())
    }

    /// Takes all rows of another count of the same probe.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] when it is of another number of latents.
    pub fn merge(&mut self, other: &Absorption) -> Result<(), SaeError> {
        if self.along.len() != other.along.len() {
            return Err(SaeError::shape("other", &[self.along.len()], &[other.along.len()]));
        }
        self.rows += other.rows;
        self.absorbed += other.absorbed;
        self.fraction += other.fraction;
        Ok(())
    }

    /// Returns full absorption and absorbed fraction.
    pub fn measurements(&self) -> Vec<Measurement> {
        let n = self.rows.max(1) as f64;
        [(&FULL, self.absorbed as f64 / n), (&FRACTION, self.fraction / n)]
            .into_iter()
            .map(|(quantity, value)| Measurement {
                n: self.rows,
                ..Measurement::exact(quantity, value, self.object)
            })
            .collect()
    }

    /// Returns the measurements, each with that of a random probe with the same main latents, on the same codes.
    ///
    /// # Errors
    /// As [`Absorption::new`] and [`Absorption::push`].
    pub fn with_null<F: Scalar>(
        decoder: &ArrayRef2<f64>,
        probe: &ArrayRef1<f64>,
        main: &[u32],
        codes: &SparseRows<F>,
        seed: u64,
    ) -> Result<Vec<WithNull>, SaeError> {
        let mut measured = Self::new(decoder, probe, main)?;
        let mut null = Self::new(decoder, &random_directions((1, probe.len()), seed).row(0), main)?;
        measured.push(codes)?;
        null.push(codes)?;
        Ok(WithNull::pairs(measured.measurements(), null.measurements(), "a random probe"))
    }
}
