//! The page of latents: one file that holds its data and needs no network.

use super::latents::{Corpus, Latent};
use crate::session::existing;
use collimate_output::write;
use collimate_studies::latents::LogitEffect;
use serde_json::{Value, json};
use std::path::Path;

const PAGE: &str = include_str!("page.html");

/// Writes the page, and replaces an existing file only with `force`.
pub(super) fn write_page(path: &Path, force: bool, data: &Value) -> anyhow::Result<()> {
    let page = filled(data);
    Ok(write(path, existing(force), |out| out.write_all(page.as_bytes()))?)
}

/// Puts the data into the page. A text of the corpus may contain anything, even the end of a script element.
fn filled(data: &Value) -> String {
    PAGE.replacen("DATA", &data.to_string().replace('<', "\\u003c"), 1)
}

/// Returns a latent as the page reads it.
pub(super) fn latent(latent: &Latent, corpus: &Corpus) -> anyhow::Result<Value> {
    let top = &latent.top;
    let places: Vec<Value> = top
        .firings
        .iter()
        .map(|firing| {
            let parts = corpus.shown(firing)?;
            let at = parts.iter().position(|shown| shown.peak);
            let shown: Vec<Value> = parts.iter().map(|shown| json!([shown.text, shown.code])).collect();
            Ok(json!({
                "code": firing.code, "at": at,
                "document": corpus.sequences[firing.sequence].document, "tokens": shown,
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    let list = |effects: &[LogitEffect]| -> anyhow::Result<Vec<Value>> {
        effects.iter().map(|e| Ok(json!([corpus.piece(e.token)?, e.effect]))).collect()
    };
    let effects = match &latent.effects {
        Some(effects) => json!({ "raised": list(&effects.raised)?, "lowered": list(&effects.lowered)? }),
        None => Value::Null,
    };
    Ok(json!({
        "latent": top.latent, "density": top.fired as f64 / corpus.rows as f64, "histogram": top.histogram,
        "largest": top.range[1].max(-top.range[0]), "range": top.range, "effects": effects, "places": places,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_corpus_cannot_end_the_data() {
        let page = filled(&serde_json::json!({ "title": "</script><script>alert(1)" }));
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("\\u003c/script>"));
    }
}
