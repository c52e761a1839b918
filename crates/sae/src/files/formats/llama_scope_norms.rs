//! The norms of rows by which Llama Scope scales inputs and outputs.

use super::json::Config;
use super::tensors::Tensors;
use crate::SaeError;

const NORMS: &str = "dataset_average_activation_norm";

/// The factors on inputs and outputs in training.
pub(super) struct Scales {
    pub(super) input: f64,
    pub(super) output: f64,
    pub(super) note: Option<String>,
}

/// Returns the factors √d/norm, or ones if the weights already take raw rows.
pub(super) fn scales(
    file: &Tensors,
    config: &Config,
    d: usize,
    hooks: [Option<&str>; 2],
) -> Result<Scales, SaeError> {
    let stored: Vec<String> =
        file.names().filter(|name| name.starts_with(&format!("{NORMS}."))).map(str::to_owned).collect();
    file.set_aside(&stored.iter().map(String::as_str).collect::<Vec<_>>());
    match config.text("norm_activation")? {
        Some("inference") => {
            config.get(NORMS);
            return Ok(Scales { input: 1.0, output: 1.0, note: None });
        }
        Some("dataset-wise") => {}
        other => {
            let other = other.unwrap_or("missing");
            return Err(config.wrong(format!(
                "norm_activation is {other}, which is not read (dataset-wise and inference are)"
            )));
        }
    }
    let section = config.section(NORMS)?;
    let norm = |key: &str, hook: Option<&str>| -> Result<f64, SaeError> {
        let hook = hook.unwrap_or(key);
        let tensor = format!("{NORMS}.{hook}");
        let value = match &section {
            Some(section) if section.get(key).is_some() => section.number(key)?,
            Some(section) if section.get(hook).is_some() => section.number(hook)?,
            _ if stored.contains(&tensor) => file.number(&tensor)?,
            _ => {
                return Err(config.wrong(format!(
                    "norm_activation is dataset-wise, but {NORMS} does not say the norm of '{key}'; take it from the release"
                )));
            }
        };
        if value > 0.0 && value.is_finite() {
            Ok(value)
        } else {
            Err(config.wrong(format!(
                "{NORMS} of '{key}' must be positive and finite, but is {value}: it was never set"
            )))
        }
    };
    let root = (d as f64).sqrt();
    let (input, output) = (root / norm("in", hooks[0])?, root / norm("out", hooks[1])?);
    let note = format!(
        "the norms of the data set are folded in: inputs × {input:.6}, outputs ÷ {output:.6}; it takes raw rows"
    );
    Ok(Scales { input, output, note: Some(note) })
}
