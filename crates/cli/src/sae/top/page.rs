//! The page of latents: one file that holds its data and needs no network.

use super::latents::{Corpus, Latent};
use collimate_output::{Existing, write};
use collimate_studies::latents::LogitEffect;
use serde_json::{Value, json};
use std::path::Path;

const PAGE: &str = include_str!("page.html");

/// Writes the page, and replaces an existing file.
pub(super) fn write_page(path: &Path, data: &Value) -> anyhow::Result<()> {
    let page = filled(data);
    Ok(write(path, Existing::Replace, |out| out.write_all(page.as_bytes()))?)
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
            let (tokens, range) = (corpus.tokens(firing), corpus.window(firing));
            let shown: Vec<Value> = range
                .clone()
                .map(|i| Ok(json!([corpus.piece(tokens[i])?, firing.around[i]])))
                .collect::<anyhow::Result<_>>()?;
            Ok(json!({
                "code": firing.code, "at": firing.position - range.start,
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
        "largest": top.firings.first().map_or(0.0, |firing| firing.code), "effects": effects, "places": places,
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
