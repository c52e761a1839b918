use crate::Losses;
use std::fmt::Write;

/// One entry of the log of a training run.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Rows seen.
    pub rows: u64,
    /// The losses of the last batch, before its update, in normalised units.
    pub losses: Losses,
    /// λ of the last step.
    pub penalty: f64,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// 1 − Σ‖e‖²/Σ‖x − x̄‖² over the last batch.
    pub explained_variance: f64,
    /// The relative reconstruction bias Σ‖x̂‖²/Σx̂·x over the last batch.
    pub gamma: f64,
    /// The share of latents that count as dead.
    pub dead_fraction: f64,
}

/// The names of the numbers of an entry, in their order.
const NAMES: [&str; 19] = [
    "step",
    "rows",
    "total",
    "reconstruction",
    "sparsity",
    "auxiliary",
    "further",
    "l0",
    "input_norm2",
    "output_norm2",
    "input_output",
    "dense",
    "gradient_norm",
    "smallest_kept",
    "penalty",
    "learning_rate",
    "explained_variance",
    "gamma",
    "dead_fraction",
];

impl Progress {
    /// The number of numbers in an entry.
    pub(crate) const NUMBERS: usize = NAMES.len();

    /// Returns the entry as numbers, each exact in f64.
    pub(crate) fn to_numbers(&self) -> [f64; Self::NUMBERS] {
        let l = &self.losses;
        [
            self.step as f64,
            self.rows as f64,
            l.total,
            l.reconstruction,
            l.sparsity,
            l.auxiliary,
            l.further,
            l.l0,
            l.input_norm2,
            l.output_norm2,
            l.input_output,
            f64::from(u8::from(l.dense)),
            l.gradient_norm,
            l.smallest_kept,
            self.penalty,
            self.learning_rate,
            self.explained_variance,
            self.gamma,
            self.dead_fraction,
        ]
    }

    /// Returns the entry from its numbers; `None` for another number of them.
    #[cfg(feature = "files")]
    pub(crate) fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let n: &[f64; Self::NUMBERS] = numbers.try_into().ok()?;
        Some(Self {
            step: n[0] as u64,
            rows: n[1] as u64,
            losses: Losses {
                total: n[2],
                reconstruction: n[3],
                sparsity: n[4],
                auxiliary: n[5],
                further: n[6],
                l0: n[7],
                input_norm2: n[8],
                output_norm2: n[9],
                input_output: n[10],
                dense: n[11] != 0.0,
                gradient_norm: n[12],
                smallest_kept: n[13],
            },
            penalty: n[14],
            learning_rate: n[15],
            explained_variance: n[16],
            gamma: n[17],
            dead_fraction: n[18],
        })
    }

    /// Returns the entry as one line of JSON without the line feed; a value that is not finite becomes `null`.
    ///
    /// # Examples
    /// ```
    /// # use collimate_sae::{Losses, Progress};
    /// # let (losses, penalty, learning_rate) = (Losses { l0: 7.5, ..Losses::default() }, 0.1, 1e-3);
    /// let progress = Progress { step: 3, rows: 96, losses, penalty, learning_rate, explained_variance: 0.5,
    ///     gamma: f64::NAN, dead_fraction: 0.0 };
    /// let line = progress.json_line();
    /// assert!(line.starts_with(r#"{"step":3,"rows":96,"#) && line.contains(r#""l0":7.5,"#));
    /// assert!(line.contains(r#""dense":false"#) && line.contains(r#""gamma":null"#));
    /// ```
    pub fn json_line(&self) -> String {
        let mut line = String::from("{");
        for (name, value) in NAMES.iter().zip(self.to_numbers()) {
            let comma = if line.len() > 1 { "," } else { "" };
            let written = match *name {
                "step" | "rows" => write!(line, "{comma}\"{name}\":{}", value as u64),
                "dense" => write!(line, "{comma}\"{name}\":{}", value != 0.0),
                _ if value.is_finite() => write!(line, "{comma}\"{name}\":{value:?}"),
                _ => write!(line, "{comma}\"{name}\":null"),
            };
            written.expect("writing to a string does not fail");
        }
        line.push('}');
        line
    }
}
