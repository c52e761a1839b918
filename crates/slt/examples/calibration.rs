//! The calibration of the intervals of the LLC estimator, with 200 runs on each of five targets with known expectations: by HMC, and
//! by SGLD at its default step, whose runs with a biased step must not be trusted.
//!
//! ```text
//! cargo run --release -p collimate-slt --example calibration [RUNS [SEED]]
//! ```

use collimate_slt::{Calibration, CalibrationTarget};
use collimate_stream::RngStream;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let runs = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let calibration = Calibration { n: 1000, runs };
    let mut stream = RngStream::named(seed, "calibration");
    for target in CalibrationTarget::all() {
        let start = Instant::now();
        let case = calibration.of(&target, &mut stream)?;
        println!("{case} ({:.1} s)", start.elapsed().as_secs_f64());
        assert!(2 * case.covered > case.runs, "nominal 95 % intervals cover more often than not");
        let start = Instant::now();
        let case = calibration.with(&target, target.sgld(), &mut stream.child(u64::MAX))?;
        println!("  SGLD: {case} ({:.1} s)", start.elapsed().as_secs_f64());
    }
    Ok(())
}
