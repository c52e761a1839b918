//! A place in a model that a command runs.

use anyhow::{Context, bail, ensure};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use collimate_studies::data::Cache;
use collimate_studies::language_model::LanguageModelSetup;
use collimate_studies::{LeaveOut, Provenance, row_sites, site_name};
use collimate_transformer::{HookPoint, Site, Tokenizer};
use std::path::PathBuf;

/// A place in a model.
#[derive(clap::Args)]
pub(crate) struct ModelPlace {
    /// The layer, counted from 0.
    #[arg(long, value_name = "N")]
    pub(super) layer: Option<usize>,
    /// The site in the layer; by default residual-post.
    #[arg(long, value_parser = site_names())]
    pub(super) site: Option<Site>,
    /// The model, a GGUF file or a folder with config.json, weights and tokenizer.json; by default SmolLM2-135M-Instruct (Q4_1) from the cache.
    #[arg(long, value_name = "MODEL")]
    pub(super) model: Option<PathBuf>,
    /// The cache folder; by default that of the variable COLLIMATE_CACHE, or else the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(super) cache: Option<PathBuf>,
}

/// Returns the sites that hold rows, under the names that files use too.
fn site_names() -> impl TypedValueParser<Value = Site> {
    let names = row_sites().map(|site| PossibleValue::new(site_name(site)).help(sentence(site.content())));
    PossibleValuesParser::new(names.collect::<Vec<_>>())
        .try_map(|name| row_sites().find(|&site| site_name(site) == name).context("an unknown site"))
}

/// Returns words with a capital letter in front.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

impl ModelPlace {
    /// Opens the model and its tokenizer.
    pub(crate) fn setup(&self) -> anyhow::Result<LanguageModelSetup> {
        let cache = match &self.cache {
            Some(folder) => Cache::at(folder),
            None => Cache::user()?,
        };
        Ok(match &self.model {
            None => LanguageModelSetup::open(cache)?,
            Some(path) => LanguageModelSetup::open_other(path, cache)
                .with_context(|| format!("reading the model {}", path.display()))?,
        })
    }

    /// Returns the site in the layer, by default `otherwise`.
    pub(crate) fn point_or(&self, setup: &LanguageModelSetup, otherwise: Site) -> anyhow::Result<HookPoint> {
        let layers = setup.model.description().layers.len();
        let layer = self.layer.context("name the layer with --layer")?;
        ensure!(
            layer < layers,
            "--layer must be below {layers}, the number of layers of the model, but is {layer}"
        );
        let point = self.site.unwrap_or(otherwise).of_layer(layer);
        has_point(setup, point)?;
        Ok(point)
    }

    /// Returns the site in the layer, by default the residual stream after it.
    pub(crate) fn point(&self, setup: &LanguageModelSetup) -> anyhow::Result<HookPoint> {
        self.point_or(setup, Site::ResidualPost)
    }

    /// Returns an error for a missing layer, before anything is loaded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.layer.context("name the layer with --layer")?;
        Ok(())
    }

    /// Returns what is known about rows of this place.
    pub(crate) fn provenance(
        &self,
        setup: &LanguageModelSetup,
        point: HookPoint,
        leave_out: &LeaveOut,
    ) -> Provenance {
        let of_file = |path: &PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let name = self.model.as_ref().and_then(of_file).unwrap_or("SmolLM2-135M-Instruct.Q4_1".to_owned());
        Provenance::of(&setup.model, point, leave_out).with("model_name", name)
    }
}

/// Returns an error if a model lacks an activation.
pub(crate) fn has_point(setup: &LanguageModelSetup, point: HookPoint) -> anyhow::Result<()> {
    ensure!(
        setup.model.has_point(point),
        "this model has no {} in layer {}; `collimate model info` lists the activations of a model",
        site_name(point.site),
        point.layer
    );
    Ok(())
}

/// Returns the token that the value of an option names: by its number, or by its text.
pub(crate) fn named_token(tokenizer: &Tokenizer, option: &str, name: &str) -> anyhow::Result<u32> {
    if let Ok(id) = name.parse::<u32>() {
        let n = tokenizer.len();
        ensure!((id as usize) < n, "{option} {id}: the vocabulary has {n} tokens, from 0 on");
        return Ok(id);
    }
    match tokenizer.encode(name)?[..] {
        [id] => Ok(id),
        ref several => bail!(
            "{option} {name:?} is {} tokens; give a text that is one token (mind the blank in front), or the number of a token",
            several.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_with_rows_is_a_value() {
        let (parser, command) = (site_names(), clap::Command::new("test"));
        let parse = |name: &str| parser.parse_ref(&command, None, name.as_ref()).ok();
        for site in row_sites() {
            assert_eq!(parse(&site_name(site)), Some(site));
        }
        for other in ["residual", "pattern", "scores", "mlp-norm-scale", "logits"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
