use super::columns::Columns;
use super::table::{Row, Table, bad};
use crate::{ChainDiagnosis, DiagnosisInput, NBeta, SltError, TraceError};
use collimate_measure::ensure;
use ndarray::{ArrayRef, Dimension, Ix2};
use std::collections::HashMap;

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

    /// Takes the losses from an array whose number of axes is known only at run time: `[draws]` or `[chains, draws]`. Last axes
    /// of length 1 do not count.
    ///
    /// # Errors
    /// As [`ExternalTrace::from_array`], and for any other number of axes.
    pub fn from_any<D: Dimension>(losses: &ArrayRef<f64, D>) -> Result<Self, TraceError> {
        let shape = losses.shape();
        let mut long = shape.to_vec();
        while long.len() > 2 && long.last() == Some(&1) {
            long.pop();
        }
        let (chains, draws) = match long[..] {
            [draws] => (1, draws),
            [chains, draws] => (chains, draws),
            _ => {
                return Err(TraceError {
                    place: "the array".to_owned(),
                    problem: format!("its shape is {shape:?}; expected [chains, draws] or [draws]"),
                });
            }
        };
        let values: Vec<f64> = losses.iter().copied().collect();
        Self::new((0..chains).map(|c| values[c * draws..(c + 1) * draws].to_vec()).collect())
    }

    /// Joins the chains of several traces, for example of one file for each chain.
    ///
    /// # Errors
    /// [`TraceError`] if there is no trace, or the chains differ in length.
    pub fn joined(traces: impl IntoIterator<Item = Self>) -> Result<Self, TraceError> {
        Self::new(traces.into_iter().flat_map(|trace| trace.losses).collect())
    }

    /// Checks the losses of all chains, which are called by their numbers.
    fn new(losses: Vec<Vec<f64>>) -> Result<Self, TraceError> {
        let names: Vec<String> = (0..losses.len()).map(|chain| chain.to_string()).collect();
        Self::named(losses, &names, |_, draw| draw.to_string())
    }

    /// Checks the losses of all chains. `names` are the names of the chains, and `draw(chain, i)` is that of a draw.
    fn named(
        losses: Vec<Vec<f64>>,
        names: &[String],
        draw: impl Fn(usize, usize) -> String,
    ) -> Result<Self, TraceError> {
        let draws = losses.first().map_or(0, Vec::len);
        if draws == 0 {
            return Err(TraceError {
                place: "the trace".to_owned(),
                problem: "it has no draws; expected at least one chain with one draw".to_owned(),
            });
        }
        for (index, chain) in losses.iter().enumerate() {
            if let Some(i) = chain.iter().position(|loss| !loss.is_finite()) {
                return Err(TraceError {
                    place: format!("chain {}, draw {}", names[index], draw(index, i)),
                    problem: format!("the loss is {}; expected a finite number", chain[i]),
                });
            }
        }
        if let Some(chain) = losses.iter().position(|chain| chain.len() != draws) {
            return Err(TraceError {
                place: format!("chain {}", names[chain]),
                problem: format!(
                    "it has {} draws, but chain {} has {draws}; expected equal lengths",
                    losses[chain].len(),
                    names[0]
                ),
            });
        }
        Ok(Self { losses })
    }

    /// Returns true if there are more chains than draws, so that the axes are probably exchanged.
    pub fn looks_transposed(&self) -> bool {
        self.losses.len() > self.losses[0].len()
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
        .expect("the chains of a trace have equal lengths")
    }
}

/// Reads a trace from the text of a table: comma, semicolon, tab or space separated.
///
/// A table with a header has the columns `loss` and, for more than one chain, `chain`, in one row for each draw. Or it has one column
/// for each chain, with names that count (`0`, `V1`, `chain_1`) or end in `- loss`. With a column of draws (`draw`, `iteration`,
/// `step`), the draws of each chain are ordered by it. In a table without a header each row is one draw and each column one chain. So
/// the tables of R, pandas, ArviZ, Stan, Weights & Biases and `savetxt` can be read, with quotes, comments after `#`, a byte order mark,
/// and a column of row names. Other columns are ignored.
///
/// # Errors
/// [`TraceError`] with the place, for a cell that is not a number, a missing column, a column that is not understood, chains of
/// different lengths, a draw that occurs twice, and NaN, infinity or a missing number.
///
/// # Examples
/// ```
/// use collimate_slt::read_csv;
/// // As Weights & Biases exports two runs.
/// let text = "\"Step\",\"a - loss\",\"b - loss\"\n\"0\",\"1.10\",\"1.20\"\n\"1\",\"1.05\",\"1.15\"\n";
/// assert_eq!(read_csv(text)?.losses(), [vec![1.10, 1.05], vec![1.20, 1.15]]);
/// # Ok::<(), collimate_slt::TraceError>(())
/// ```
pub fn read_csv(text: &str) -> Result<ExternalTrace, TraceError> {
    let table = Table::of(text)?;
    let Some(first) = table.rows.first() else { return ExternalTrace::new(Vec::new()) };
    let is_number = |cell: &String| table.number(cell).is_some();
    let named = |row: &Row| row.cells.iter().any(|cell| cell.to_lowercase().contains("loss"));
    if first.cells.iter().all(is_number) && !counts_columns(&table) {
        return match &table.comment {
            Some(header) if header.cells.len() == first.cells.len() && named(header) => {
                with_header(&table, &header.cells, header.line, &table.rows)
            }
            _ => without_header(&table, &table.rows),
        };
    }
    let mut header = first.cells.clone();
    let rows = &table.rows[1..];
    // R leaves out the header of the row names.
    if rows.first().is_some_and(|row| row.cells.len() == header.len() + 1) {
        header.insert(0, String::new());
    }
    with_header(&table, &header, first.line, rows)
}

/// Returns true if the first row counts the columns, as the header that pandas writes for an array: 0, 1, 2, … with or without a
/// column of row numbers, above rows that do not all consist of whole numbers.
fn counts_columns(table: &Table) -> bool {
    let header = &table.rows[0].cells;
    let start = usize::from(header[0].is_empty());
    let counts = |from: usize| {
        (header[start..].iter().enumerate()).all(|(i, cell)| cell.parse::<usize>() == Ok(i + from))
    };
    let whole =
        |row: &Row| row.cells[start.min(row.cells.len())..].iter().all(|cell| cell.parse::<i64>().is_ok());
    header.len() > start
        && (start == 1 || header.len() > 1)
        && (counts(0) || counts(1))
        && !table.rows[1..].iter().all(whole)
}

/// Returns the number in a cell of a row.
fn number(table: &Table, row: &Row, cell: &str) -> Result<f64, TraceError> {
    table.number(cell).ok_or_else(|| bad(row.line, format!("{cell:?} is not a number")))
}

/// Reads a table in which each row is one draw and each column one chain.
fn without_header(table: &Table, rows: &[Row]) -> Result<ExternalTrace, TraceError> {
    let columns = rows[0].cells.len();
    let mut losses = vec![Vec::with_capacity(rows.len()); columns];
    for row in rows {
        if row.cells.len() != columns {
            let problem = format!("{} columns; expected {columns} as in the first line", row.cells.len());
            return Err(bad(row.line, problem));
        }
        for (chain, cell) in losses.iter_mut().zip(&row.cells) {
            chain.push(number(table, row, cell)?);
        }
    }
    ExternalTrace::new(losses)
}

/// The draws of one chain, each with its number in the file.
struct Draws {
    name: String,
    draws: Vec<(f64, f64)>,
}

/// Reads a table with the names of its columns.
fn with_header(
    table: &Table,
    header: &[String],
    line: usize,
    rows: &[Row],
) -> Result<ExternalTrace, TraceError> {
    let columns = Columns::of(header).map_err(|problem| bad(line, problem))?;
    let mut chains: Vec<Draws> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let cell = |i: usize| {
            row.cells.get(i).ok_or_else(|| {
                let problem =
                    format!("only {} columns; expected {} as in the header", row.cells.len(), header.len());
                bad(row.line, problem)
            })
        };
        let draw_of = |draw: Option<usize>| match draw {
            Some(i) => number(table, row, cell(i)?),
            None => Ok(index as f64),
        };
        match &columns {
            Columns::Long { loss, chain, draw } => {
                let name = chain.map_or(Ok("0".to_owned()), |i| cell(i).cloned())?;
                let at = *places.entry(name).or_insert_with_key(|name| {
                    chains.push(Draws { name: name.clone(), draws: Vec::new() });
                    chains.len() - 1
                });
                chains[at].draws.push((draw_of(*draw)?, number(table, row, cell(*loss)?)?));
            }
            Columns::Wide { chains: positions, draw } => {
                if chains.is_empty() {
                    chains.extend(
                        positions.iter().map(|(_, name)| Draws { name: name.clone(), draws: Vec::new() }),
                    );
                }
                for (chain, (i, _)) in chains.iter_mut().zip(positions) {
                    chain.draws.push((draw_of(*draw)?, number(table, row, cell(*i)?)?));
                }
            }
        }
    }
    let (draw, chain) = match columns {
        Columns::Long { draw, chain, .. } => (draw, chain),
        Columns::Wide { draw, .. } => (draw, Some(0)),
    };
    for known in &mut chains {
        known.draws.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(pair) = known.draws.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let missing = if chain.is_none() { "; a column `chain` is needed" } else { "" };
            return Err(TraceError {
                place: format!("chain {}", known.name),
                problem: format!("draw {} occurs twice{missing}", pair[0].0),
            });
        }
    }
    let names: Vec<String> = chains.iter().map(|known| known.name.clone()).collect();
    let losses = chains.iter().map(|known| known.draws.iter().map(|(_, loss)| *loss).collect()).collect();
    let name_of = |chain: usize, i: usize| match draw {
        Some(_) => chains[chain].draws[i].0.to_string(),
        None => i.to_string(),
    };
    ExternalTrace::named(losses, &names, name_of)
}
