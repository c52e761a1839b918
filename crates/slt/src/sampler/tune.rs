use super::chain::{Chain, Method};
use super::scalar::SamplerScalar;
use super::target::Target;
use crate::SltError;
use collimate_measure::ensure;
use collimate_stream::RngStream;

/// The largest number of times by which a step size with divergent moves falls by a fifth.
const SHRINKINGS: usize = 6;

/// A step size found by [`tune_step_size`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// The step size: ε for MALA and SGLD, δ for HMC.
    pub step_size: f64,
    /// The mean acceptance over the last quarter of the steps.
    pub acceptance: f64,
}

/// Finds the step size at which a corrected method accepts the given share of its moves.
///
/// The search is dual averaging on a separate chain that starts at the centre. If moves at the found size still diverge, as they do
/// where a box ends on a steep slope, the size falls by fifths until none of a quarter of the steps does. For SGLD the acceptance of MALA at the same
/// ε shows how wrong the uncorrected step is. For MALA 0.57 is best. For SGLD 0.9 and above keeps the Euler bias small.
///
/// # Errors
/// [`SltError::OutOfRange`] for a share outside (0, 1) or fewer than 20 steps; as [`Chain::new`] and [`Chain::step`].
///
/// # References
/// Hoffman & Gelman (2014), eq. 6.
pub fn tune_step_size<F: SamplerScalar>(
    target: &Target<'_, F>,
    method: Method,
    acceptance: f64,
    steps: usize,
    stream: &mut RngStream,
) -> Result<Tuned, SltError> {
    ensure(acceptance > 0.0 && acceptance < 1.0, "acceptance", "between 0 and 1", acceptance)?;
    ensure(steps >= 20, "steps", "at least 20", steps as f64)?;
    // An uncorrected method is tuned by the acceptance of MALA.
    let method = if method.is_corrected() { method } else { Method::Mala };
    let power = if method == Method::Mala { 1.0 } else { 0.5 };
    let start = (0.1 / (target.n_beta + target.gamma)).powf(power);
    let mut chain = Chain::new(target, method, start)?;
    let anchor = (10.0 * start).ln();
    let (mut error, mut average, mut accepted, mut diverged) = (0.0, 0.0, 0.0, false);
    let quarter = steps / 4;
    let searching = steps - quarter;
    for step in 1..=steps {
        let found = chain.step(stream)?;
        if step > searching {
            accepted += found.acceptance;
            diverged |= found.divergent && !found.undefined;
            continue;
        }
        let t = step as f64;
        error += (acceptance - found.acceptance - error) / (t + 10.0);
        let log_step = anchor - t.sqrt() / 0.05 * error;
        let weight = t.powf(-0.75);
        average = weight * log_step + (1.0 - weight) * average;
        let next = if step < searching { log_step } else { average };
        chain.set_step_size(next.clamp(-60.0, 10.0).exp());
    }
    for _ in 0..SHRINKINGS {
        if !diverged {
            break;
        }
        average += 0.8_f64.ln();
        chain.set_step_size(average.clamp(-60.0, 10.0).exp());
        (accepted, diverged) = (0.0, false);
        for _ in 0..quarter {
            let found = chain.step(stream)?;
            accepted += found.acceptance;
            diverged |= found.divergent && !found.undefined;
        }
    }
    Ok(Tuned { step_size: average.clamp(-60.0, 10.0).exp(), acceptance: accepted / quarter as f64 })
}
