use crate::{ChainDiagnosis, DiagnosisInput, NBeta, SltError, TraceError};
use collimate_measure::ensure;
use ndarray::{ArrayRef, Dimension, Ix2};

/// The losses of chains that another program ran.
///
/// # Examples
/// ```
/// use collimate_slt::{NBeta, ExternalTrace, read_csv};
/// let text = "chain,draw,loss\n0,0,1.10\n0,1,1.05\n1,0,1.20\n1,1,1.15\n";
/// let trace = read_csv(text)?;
/// assert_eq!(trace.losses(), [vec![1.10, 1.05], vec![1.20, 1.15]]);
/// # Ok::<(), collimate_slt::TraceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalTrace {
    losses: Vec<Vec<f64>>,
}

impl ExternalTrace {
    /// Takes the losses from an array `[chains, draws]`, for example the content of an npy file.
    ///
    /// # Errors
    /// [`TraceError`] for an array without chains or draws, and for NaN or infinity.
    pub fn from_array(losses: &ArrayRef<f64, Ix2>) -> Result<Self, TraceError> {
        Self::new(losses.rows().into_iter().map(|row| row.to_vec()).collect())
    }

    /// Takes the losses from an array whose number of axes is known only at run time: `[draws]` or `[chains, draws]`.
    ///
    /// # Errors
    /// As [`ExternalTrace::from_array`], and for any other number of axes.
    pub fn from_any<D: Dimension>(losses: &ArrayRef<f64, D>) -> Result<Self, TraceError> {
        let (chains, draws) = match losses.shape() {
            [draws] => (1, *draws),
            [chains, draws] => (*chains, *draws),
            shape => {
                return Err(TraceError {
                    place: "the array".to_owned(),
                    problem: format!("its shape is {shape:?}; expected [chains, draws] or [draws]"),
                });
            }
        };
        let values: Vec<f64> = losses.iter().copied().collect();
        Self::new((0..chains).map(|c| values[c * draws..(c + 1) * draws].to_vec()).collect())
    }

    /// Checks the losses of all chains.
    fn new(losses: Vec<Vec<f64>>) -> Result<Self, TraceError> {
        let draws = losses.first().map_or(0, Vec::len);
        if draws == 0 {
            return Err(TraceError {
                place: "the trace".to_owned(),
                problem: "it has no draws; expected at least one chain with one draw".to_owned(),
            });
        }
        if let Some(chain) = losses.iter().position(|chain| chain.len() != draws) {
            return Err(TraceError {
                place: format!("chain {chain}"),
                problem: format!(
                    "it has {} draws, but chain 0 has {draws}; expected equal lengths",
                    losses[chain].len()
                ),
            });
        }
        for (index, chain) in losses.iter().enumerate() {
            if let Some(draw) = chain.iter().position(|loss| !loss.is_finite()) {
                return Err(TraceError {
                    place: format!("chain {index}, draw {draw}"),
                    problem: format!("the loss is {}; expected a finite number", chain[draw]),
                });
            }
        }
        Ok(Self { losses })
    }

    /// Returns the losses, chain by chain.
    pub fn losses(&self) -> &[Vec<f64>] {
        &self.losses
    }

    /// Returns the trace without the first `draws` draws of each chain.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] if no draw would remain.
    pub fn without_burn_in(&self, draws: usize) -> Result<Self, SltError> {
        let given = draws as f64;
        ensure(draws < self.losses[0].len(), "the burn-in", "less than the number of draws", given)?;
        Ok(Self { losses: self.losses.iter().map(|chain| chain[draws..].to_vec()).collect() })
    }

    /// Diagnoses the trace, with the baseline `L_n(w*)`, nβ and γ of its run.
    pub fn diagnose(&self, n_beta: NBeta, gamma: f64, baseline: f64) -> ChainDiagnosis {
        ChainDiagnosis::of(&DiagnosisInput {
            n_beta: n_beta.get(),
            gamma,
            baseline,
            losses: self.losses.clone(),
            ..DiagnosisInput::default()
        })
    }
}

/// Reads a trace from comma-separated text.
///
/// A text with a header has the columns `loss` and, for more than one chain, `chain`. Each row is one draw, in the order of
/// the file; other columns are ignored. In a text without a header each row is one draw and each column one chain.
///
/// # Errors
/// [`TraceError`] with the place, for a cell that is not a number, a missing column, chains of different lengths, and NaN or
/// infinity.
pub fn read_csv(text: &str) -> Result<ExternalTrace, TraceError> {
    let bad = |line: usize, problem: String| TraceError { place: format!("line {}", line + 1), problem };
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let cells = |line: &str| -> Vec<String> { line.split(',').map(|cell| cell.trim().to_owned()).collect() };
    let number = |line: usize, cell: &str| {
        cell.parse::<f64>().map_err(|_| bad(line, format!("{cell:?} is not a number")))
    };
    let Some(&(first, header)) = lines.peek() else { return ExternalTrace::new(Vec::new()) };
    let header = cells(header);
    let mut losses: Vec<Vec<f64>> = Vec::new();
    if header.iter().all(|cell| cell.parse::<f64>().is_ok()) {
        losses.resize(header.len(), Vec::new());
        for (at, line) in lines {
            let row = cells(line);
            if row.len() != header.len() {
                let problem =
                    format!("{} columns; expected {} as in the first line", row.len(), header.len());
                return Err(bad(at, problem));
            }
            for (chain, cell) in losses.iter_mut().zip(&row) {
                chain.push(number(at, cell)?);
            }
        }
        return ExternalTrace::new(losses);
    }
    lines.next();
    let column = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    let Some(loss) = column("loss") else {
        return Err(bad(first, "the header has no column `loss`".to_owned()));
    };
    let chain_column = column("chain");
    let mut names: Vec<String> = Vec::new();
    for (at, line) in lines {
        let row = cells(line);
        let cell = |i: usize| {
            row.get(i).ok_or_else(|| {
                bad(at, format!("only {} columns; expected {} as in the header", row.len(), header.len()))
            })
        };
        let name = match chain_column {
            Some(i) => cell(i)?.clone(),
            None => String::new(),
        };
        let chain = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            losses.push(Vec::new());
            names.len() - 1
        });
        losses[chain].push(number(at, cell(loss)?)?);
    }
    ExternalTrace::new(losses)
}
