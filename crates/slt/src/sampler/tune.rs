use super::{Chain, Method, SamplerScalar, Target};
use crate::SltError;
use collimate_stream::RngStream;

/// A step size found by [`tune_step_size`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// ε for MALA (and so for SGLD), δ for HMC.
    pub step_size: f64,
    /// The mean acceptance at that size, over a quarter of the steps.
    pub acceptance: f64,
}

/// Finds the step size at which a corrected method accepts a wanted share of its moves, by dual averaging on a chain of its
/// own that starts at the centre.
///
/// For SGLD the MALA acceptance at the same ε says how wrong the uncorrected step is: 0.57 is best for MALA itself, 0.9 and
/// above keeps the Euler bias small.
///
/// # Errors
/// [`SltError::OutOfRange`] for a share outside (0, 1), fewer than 20 steps; what [`Chain::new`] and [`Chain::step`]
/// return.
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
    if !(acceptance > 0.0 && acceptance < 1.0) {
        return Err(SltError::OutOfRange {
            name: "acceptance",
            value: acceptance,
            expected: "between 0 and 1",
        });
    }
    if steps < 20 {
        return Err(SltError::OutOfRange { name: "steps", value: steps as f64, expected: "at least 20" });
    }
    // An uncorrected method is judged by its corrected twin.
    let method = if method.is_corrected() { method } else { Method::Mala };
    let power = if method == Method::Mala { 1.0 } else { 0.5 };
    let start = (0.1 / (target.n_beta + target.gamma)).powf(power);
    let mut chain = Chain::new(target, method, start)?;
    let anchor = (10.0 * start).ln();
    let (mut error, mut average, mut accepted) = (0.0, 0.0, 0.0);
    let searching = steps - steps / 4;
    for step in 1..=steps {
        let found = chain.step(stream)?.acceptance;
        if step > searching {
            accepted += found;
            continue;
        }
        let t = step as f64;
        error += (acceptance - found - error) / (t + 10.0);
        let log_step = anchor - t.sqrt() / 0.05 * error;
        let weight = t.powf(-0.75);
        average = weight * log_step + (1.0 - weight) * average;
        let next = if step < searching { log_step } else { average };
        chain.set_step_size(next.clamp(-60.0, 10.0).exp());
    }
    let acceptance = accepted / (steps - searching) as f64;
    Ok(Tuned { step_size: average.clamp(-60.0, 10.0).exp(), acceptance })
}
