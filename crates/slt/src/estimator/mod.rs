//! Estimators. Each returns measurements that name their estimand.

mod calibration;
mod free_energy;
mod influence;
mod llc;
mod posterior_errors;
mod sample_losses;
mod step_bias;
mod sweep;
mod two_temperatures;
mod volume;
mod wbic;

pub use calibration::{Calibration, CalibrationCase, CalibrationRun, CalibrationTarget};
pub use free_energy::{FreeEnergy, FreeEnergyEstimate};
pub use influence::{Susceptibility, susceptibility};
pub use llc::{Llc, LlcEstimate};
pub use posterior_errors::PosteriorErrors;
pub use sample_losses::{SampleLossRun, SampleLosses};
pub use step_bias::StepBias;
pub use sweep::{Sweep, SweepCell};
pub use two_temperatures::TwoTemperatures;
pub use volume::VolumeSlope;
pub use wbic::Wbic;

use collimate_measure::Fingerprint;

/// Returns a fingerprint of an objective at a point: its sizes, the point, and the loss there.
pub(crate) fn fingerprint(parameters: usize, samples: usize, point: &[f64], loss: f64) -> Fingerprint {
    Fingerprint::of(&(parameters as u64).to_le_bytes())
        .and(&(samples as u64).to_le_bytes())
        .and_numbers(point)
        .and_numbers(&[loss])
}
