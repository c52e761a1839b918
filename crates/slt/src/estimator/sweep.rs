use super::llc::Llc;
use crate::sampler::StepSize;
use crate::{Beta, NBeta, SltError};
use collimate_grad::Objective;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use std::fmt::Write;

/// The estimates on a grid of ε × nβ × γ, each with its diagnosis.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The step sizes.
    pub epsilons: Vec<f64>,
    /// The inverse temperatures.
    pub n_betas: Vec<f64>,
    /// The localisations.
    pub gammas: Vec<f64>,
    /// One cell per γ, nβ and ε, with ε varying fastest.
    pub cells: Vec<SweepCell>,
}

/// One setting of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepCell {
    /// The estimate λ̂, or `None` if the chains diverged or reached a loss of NaN.
    pub value: Option<f64>,
    /// The Monte-Carlo error of the estimate.
    pub standard_error: f64,
    /// True if the diagnosis found no doubts.
    pub trusted: bool,
    /// The doubts in words.
    pub doubts: Vec<String>,
}

impl Sweep {
    /// Runs `base` at every setting, each with its own random stream.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for an empty axis or a setting out of range. If a chain diverges, its cell has no value, and
    /// there is no error.
    pub fn run(
        base: &Llc,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        [epsilons, n_betas, gammas]: [&[f64]; 3],
        stream: &mut RngStream,
    ) -> Result<Self, SltError> {
        for (argument, axis) in [
            ("the number of epsilons", epsilons),
            ("the number of n_betas", n_betas),
            ("the number of gammas", gammas),
        ] {
            ensure(!axis.is_empty(), argument, "at least 1", axis.len() as f64)?;
        }
        let parent = RngStream::new(stream.bits(), 0);
        let mut cells = Vec::with_capacity(epsilons.len() * n_betas.len() * gammas.len());
        for &gamma in gammas {
            for &n_beta in n_betas {
                for &epsilon in epsilons {
                    let mut llc = base.clone();
                    llc.beta = Beta::of_n_beta(NBeta::new(n_beta)?, llc.n);
                    llc.localisation = gamma;
                    llc.sampling.step_size = StepSize::Fixed(epsilon);
                    let mut stream = parent.child(cells.len() as u64);
                    cells.push(match llc.estimate(objective, w_star, &mut stream) {
                        Ok(found) => {
                            let diagnosis = found.diagnosis();
                            SweepCell {
                                value: Some(found.value),
                                standard_error: found.standard_error,
                                trusted: diagnosis.trusted(),
                                doubts: diagnosis.doubts.iter().map(ToString::to_string).collect(),
                            }
                        }
                        Err(error @ (SltError::Diverged { .. } | SltError::Undefined { .. })) => SweepCell {
                            value: None,
                            standard_error: f64::NAN,
                            trusted: false,
                            doubts: vec![error.to_string()],
                        },
                        Err(error) => return Err(error),
                    });
                }
            }
        }
        let [epsilons, n_betas, gammas] = [epsilons, n_betas, gammas].map(<[f64]>::to_vec);
        Ok(Self { epsilons, n_betas, gammas, cells })
    }

    /// Returns the cell at the given positions of the axes.
    pub fn cell(&self, epsilon: usize, n_beta: usize, gamma: usize) -> &SweepCell {
        &self.cells[(gamma * self.n_betas.len() + n_beta) * self.epsilons.len() + epsilon]
    }

    /// Draws the sweep: one panel per γ, with columns ε and rows nβ and the estimate in each cell.
    ///
    /// Trusted cells have a frame. The tooltip of another cell lists its doubts.
    ///
    /// # Determinism
    /// Equal sweeps give equal bytes.
    pub fn svg(&self) -> String {
        let (cell_width, cell_height, left, top) = (64.0, 30.0, 62.0, 30.0);
        let (columns, rows) = (self.epsilons.len() as f64, self.n_betas.len() as f64);
        let panel = left + columns * cell_width + 16.0;
        let (width, height) = (panel * self.gammas.len() as f64, top + rows * cell_height + 44.0);
        let values = || self.cells.iter().filter_map(|cell| cell.value);
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" \
             font-size=\"12\" fill=\"currentColor\" role=\"img\"><title>λ̂ over ε, nβ and γ</title>"
        );
        for (g, gamma) in self.gammas.iter().enumerate() {
            let x0 = panel * g as f64 + left;
            let middle = x0 + 0.5 * columns * cell_width;
            text(&mut svg, middle, 18.0, "middle", &format!("γ = {gamma}"));
            for (b, n_beta) in self.n_betas.iter().enumerate() {
                let y = top + b as f64 * cell_height;
                text(&mut svg, x0 - 6.0, y + 19.0, "end", &format!("{n_beta}"));
                for e in 0..self.epsilons.len() {
                    let cell = self.cell(e, b, g);
                    let x = x0 + e as f64 * cell_width;
                    let shade = match cell.value {
                        Some(value) if high > low => 0.08 + 0.5 * (value - low) / (high - low),
                        Some(_) => 0.3,
                        None => 0.0,
                    };
                    let frame = if cell.trusted {
                        "stroke=\"#009e73\" stroke-width=\"3\""
                    } else {
                        "stroke=\"currentColor\" stroke-opacity=\"0.2\""
                    };
                    let tip = if cell.trusted { "trusted".to_owned() } else { cell.doubts.join("; ") };
                    let _ = write!(
                        svg,
                        "<g><title>{tip}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                         fill=\"#0b7cc0\" fill-opacity=\"{shade:.3}\" {frame}/>",
                        x + 2.0,
                        y + 2.0,
                        cell_width - 4.0,
                        cell_height - 4.0
                    );
                    let shown = cell.value.map_or("diverged".to_owned(), |value| format!("{value:.3}"));
                    text(&mut svg, x + 0.5 * cell_width, y + 19.0, "middle", &shown);
                    svg.push_str("</g>");
                }
            }
            let bottom = top + rows * cell_height;
            for (e, epsilon) in self.epsilons.iter().enumerate() {
                let x = x0 + (e as f64 + 0.5) * cell_width;
                text(&mut svg, x, bottom + 16.0, "middle", &format!("{epsilon:.0e}"));
            }
            text(&mut svg, middle, bottom + 34.0, "middle", "ε");
        }
        text(&mut svg, 8.0, 18.0, "start", "nβ");
        svg.push_str("</svg>");
        svg
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}
