//! The diagnosis of losses that another sampler recorded.

use super::options::Options;
use crate::session::say;
use anyhow::{Context, Result, bail};
use collimate_slt::{ChainMean, ExternalTrace, NBeta, read_csv};
use collimate_tensor::files::read_npy;
use serde_json::json;
use std::io::Read;

/// Prints the estimate and the diagnosis of a trace.
pub(super) fn run(options: &Options) -> Result<()> {
    if options.sizes.is_empty() {
        bail!("trace takes one file or more (a table as text, or .npy), but none was given");
    }
    let (Some(n_beta), Some(baseline)) = (options.n_beta, options.baseline) else {
        bail!("a trace needs --n-beta (the factor of its mean loss) and --baseline (the loss at w*)");
    };
    if !baseline.is_finite() {
        bail!("--baseline must be a finite number, but is {baseline}");
    }
    let traces = options.sizes.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let trace = ExternalTrace::joined(traces).context("the files do not fit each other")?;
    let (chains, draws) = (trace.losses().len(), trace.losses()[0].len());
    let note = trace.looks_transposed().then(|| {
        format!("{chains} chains of only {draws} draws: if each row is a chain, transpose the array, because each row of a table is a draw and each row of an npy array is a chain")
    });
    let trace = trace.without_burn_in(options.burn_in.unwrap_or(0))?;
    let gamma = options.gamma.unwrap_or(0.0);
    let diagnosis = trace.diagnose(NBeta::new(n_beta)?, gamma, baseline);
    let mean = ChainMean::of(trace.losses())?;
    let (value, error) = (n_beta * (mean.value - baseline), n_beta * mean.standard_error);
    if options.json {
        println!(
            "{:#}",
            json!({
                "estimate": value,
                "standard_error": error,
                "ess": mean.ess,
                "r_hat": diagnosis.r_hat,
                "chains": trace.losses().len(),
                "draws": trace.losses()[0].len(),
                "trusted": diagnosis.trusted(),
                "doubts": diagnosis.doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "note": note,
            })
        );
    } else {
        println!("{} chains of {} draws", trace.losses().len(), trace.losses()[0].len());
        println!("tempered estimate {value:.4} ± {error:.4} (ESS {:.0})\n{diagnosis}", mean.ess);
    }
    note.iter().for_each(|note| say(&format!("note: {note}")));
    Ok(())
}

/// Reads one file, by its content and not by its name.
fn read(path: &str) -> Result<ExternalTrace> {
    let mut start = Vec::new();
    let mut file = std::fs::File::open(path).with_context(|| format!("reading {path}"))?;
    file.by_ref().take(6).read_to_end(&mut start).with_context(|| format!("reading {path}"))?;
    if start.starts_with(b"\x93NUMPY") {
        return ExternalTrace::from_any(&*read_npy(path)?.to_f64()).with_context(|| format!("in {path}"));
    }
    if start.starts_with(b"PK") {
        bail!("{path} is a zip archive, such as .npz or .xlsx; save the losses alone as .npy or as text");
    }
    let mut bytes = start;
    file.read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
    read_csv(&text(bytes).with_context(|| format!("reading {path}"))?).with_context(|| format!("in {path}"))
}

/// Decodes a text in UTF-8, or in UTF-16 after its byte order mark, as PowerShell writes it.
fn text(bytes: Vec<u8>) -> Result<String> {
    let wide = |read: fn([u8; 2]) -> u16| -> Result<String> {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        Ok(String::from_utf16(&units)?)
    };
    match bytes[..] {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8(bytes).context("the file is neither an npy array nor text in UTF-8"),
    }
}
