//! The output of `collimate sae eval`.

use collimate_sae::{Usage, WithNull};
use serde_json::{Value, json};

/// Prints the metrics of a dictionary, or of one layer of it, and the histogram of its densities.
pub(super) fn print(as_json: bool, layer: Option<usize>, metrics: &[WithNull], usage: &Usage) {
    if as_json {
        metrics.iter().for_each(|metric| println!("{}", of_layer(metric_json(metric), layer)));
        println!("{}", of_layer(densities_json(usage), layer));
        return;
    }
    if let Some(layer) = layer {
        println!("{}layer {layer}:", if layer > 0 { "\n" } else { "" });
    }
    metrics.iter().for_each(|metric| println!("{metric}"));
    print_densities(usage);
}

/// Prints the metrics of the model with all layers of a transcoder in it.
pub(super) fn print_in_model(as_json: bool, metrics: &[WithNull]) {
    if as_json {
        metrics.iter().for_each(|metric| println!("{}", metric_json(metric)));
        return;
    }
    println!("\nall layers in the model:");
    metrics.iter().for_each(|metric| println!("{metric}"));
}

/// Returns a metric as a line of JSON.
fn metric_json(metric: &WithNull) -> Value {
    let WithNull { measured, null: shuffled, null_is } = metric;
    json!({ "measured": measured, "null": shuffled.value, "null_is": null_is })
}

/// Adds the number of a layer to a line.
fn of_layer(mut line: Value, layer: Option<usize>) -> Value {
    if let Some(layer) = layer {
        line["layer"] = layer.into();
    }
    line
}

/// Returns the number of latents in each half decade of density that has some: the lower end as a logarithm, and `None` for latents that
/// never fire.
fn densities(usage: &Usage) -> Vec<(Option<f64>, u64)> {
    let histogram = usage.histogram(20).into_iter().enumerate();
    let from = |bin: usize| (bin > 0).then(|| -10.0 + bin as f64 * 0.5);
    histogram.filter(|(_, count)| *count > 0).map(|(bin, count)| (from(bin), count)).collect()
}

/// Prints a histogram of the latents by the logarithm of their density.
fn print_densities(usage: &Usage) {
    println!("\nlatents by log10 density:");
    let bins = densities(usage);
    let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(1);
    for (from, count) in bins {
        let name = from.map_or("dead".to_owned(), |from| format!("{from:.1}"));
        println!("{name:>6} {:<40} {count}", "█".repeat(((count * 40).div_ceil(most)) as usize));
    }
}

/// Returns the histogram of [`print_densities`] as JSON. Dead latents have no logarithm.
fn densities_json(usage: &Usage) -> Value {
    let bins: Vec<_> = densities(usage)
        .into_iter()
        .map(|(from, count)| json!({ "log10_from": from, "latents": count }))
        .collect();
    json!({ "densities": bins })
}
