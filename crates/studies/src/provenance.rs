use crate::leave_out::LeaveOut;
use collimate_transformer::{HookPoint, Model, Site};
use std::collections::BTreeMap;

/// The properties that two provenances must share, with their names for messages.
const COMPARED: [(&str, &str); 4] = [
    ("model_fingerprint", "the model"),
    ("layer", "the layer"),
    ("site", "the site"),
    ("left_out", "the rows that are left out"),
];

/// The origin of rows or of a dictionary, key by key: the model, the layer, the site, the text, and the rows
/// that were left out.
///
/// Shards and dictionaries store it. What a file does not say is not compared.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_studies::{LeaveOut, Provenance};
/// use collimate_transformer::{Description, Model, Site};
/// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
/// let at = |layer| Provenance::of(&model, Site::ResidualPost.of_layer(layer), &LeaveOut::default());
/// assert_eq!(at(2).differences(&at(1)), ["the layer: 2 and not 1"]);
/// // A file of SAELens names its place by a hook of TransformerLens.
/// let file = [("hook_name".to_owned(), "blocks.1.hook_resid_post".to_owned())].into();
/// assert!(at(1).differences(&Provenance::new(file)).is_empty());
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    known: BTreeMap<String, String>,
}

impl Provenance {
    /// Returns what a file says. The layer and the site are also taken from a hook name of TransformerLens.
    pub fn new(mut known: BTreeMap<String, String>) -> Self {
        if let Some(point) = known.get("hook_name").or(known.get("hook_point")).and_then(|name| of_hook(name))
        {
            known.entry("layer".to_owned()).or_insert(point.layer.to_string());
            known.entry("site".to_owned()).or_insert(site_name(point.site));
        }
        Self { known }
    }

    /// Returns what is known about rows of a place in a model.
    pub fn of(model: &Model<f32>, point: HookPoint, leave_out: &LeaveOut) -> Self {
        let left_out = match leave_out.describe() {
            rule if rule.is_empty() => "position 0".to_owned(),
            rule => format!("position 0, {rule}"),
        };
        let known = [
            ("model_fingerprint", model.fingerprint().to_string()),
            ("layer", point.layer.to_string()),
            ("site", site_name(point.site)),
            ("hook_name", hook_name(point)),
            ("left_out", left_out),
        ];
        Self { known: known.map(|(key, value)| (key.to_owned(), value)).into() }
    }

    /// Adds or replaces a property.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.known.insert(key.to_owned(), value.into());
        self
    }

    /// Returns the properties, key by key.
    pub fn known(&self) -> &BTreeMap<String, String> {
        &self.known
    }

    /// Returns the properties, key by key, as files store them.
    pub fn into_known(self) -> BTreeMap<String, String> {
        self.known
    }

    /// Returns the properties of rows of several places side by side: values that differ are joined by commas.
    pub fn side_by_side<'a>(places: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut known: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for place in places {
            for (key, value) in &place.known {
                let values = known.entry(key.clone()).or_default();
                if !values.contains(&value.as_str()) {
                    values.push(value);
                }
            }
        }
        Self { known: known.into_iter().map(|(key, values)| (key, values.join(", "))).collect() }
    }

    /// Returns the properties that both know and that differ, in words: "the layer: 3 and not 9". The value of `other` comes last.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let value = |side: &Self, key: &str| side.known.get(key).cloned();
        let mut found = Vec::new();
        for (key, name) in COMPARED {
            if let (Some(ours), Some(theirs)) = (value(self, key), value(other, key))
                && ours != theirs
            {
                found.push(format!("{name}: {ours} and not {theirs}"));
            }
        }
        found
    }
}

/// Returns the sites of a layer that hold rows, in the order in which a layer passes them.
///
/// The sums that attention and the MLP add are left out: files call them by the names of the outputs of attention and of the MLP.
///
/// # Examples
/// ```
/// use collimate_transformer::Site;
/// let sites: Vec<Site> = collimate_studies::row_sites().collect();
/// assert!(sites.contains(&Site::MlpInput) && !sites.contains(&Site::Pattern));
/// assert_eq!(sites.len(), 20);
/// ```
pub fn row_sites() -> impl Iterator<Item = Site> {
    let named = |site: &Site| !matches!(site, Site::AttentionAdded | Site::MlpAdded);
    Site::every().filter(|site| site.has_rows() && !site.is_of_the_model()).filter(named)
}

/// Returns the name of a site in options and files, for example `residual-post`.
pub fn site_name(site: Site) -> String {
    site.of_layer(0).name().trim_end_matches(".0").replace('_', "-")
}

/// Returns the name that TransformerLens gives to a place in a model; empty if it has none.
///
/// The output of attention or of the MLP gets the name of the sum that is added to the residual stream. The two differ only where a norm
/// lies between them.
///
/// # Examples
/// ```
/// use collimate_transformer::Site;
/// assert_eq!(collimate_studies::hook_name(Site::MlpOutput.of_layer(3)), "blocks.3.hook_mlp_out");
/// ```
pub fn hook_name(point: HookPoint) -> String {
    let site = match point.site {
        Site::AttentionOutput => Site::AttentionAdded,
        Site::MlpOutput => Site::MlpAdded,
        site => site,
    };
    HookPoint { site, ..point }.transformer_lens_name().unwrap_or_default()
}

/// Returns the place in a layer that TransformerLens calls by this name, if there is one.
fn of_hook(name: &str) -> Option<HookPoint> {
    let point: HookPoint = name.strip_prefix("blocks.").and_then(|_| name.parse().ok())?;
    let site = match point.site {
        Site::AttentionAdded => Site::AttentionOutput,
        Site::MlpAdded => Site::MlpOutput,
        site => site,
    };
    Some(HookPoint { site, ..point })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_has_names_that_lead_back_to_it() {
        for site in row_sites() {
            let (point, name) = (site.of_layer(12), hook_name(site.of_layer(12)));
            // TransformerLens has no name for the inputs of attention and of the MLP after their norms, and for the logits of routers.
            let unnamed = matches!(site, Site::AttentionInput | Site::MlpInput | Site::RouterLogits);
            assert_eq!(name.is_empty(), unnamed);
            assert_eq!(of_hook(&name), Some(point).filter(|_| !name.is_empty()));
            assert!(!site_name(site).is_empty());
        }
        for name in ["hook_embed", "blocks.x.hook_resid_post", "blocks.3", "blocks.3.hook_other", ""] {
            assert_eq!(of_hook(name), None, "{name}");
        }
    }

    #[test]
    fn only_what_both_know_is_compared() {
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().fold(Provenance::default(), |all, (key, value)| all.with(key, *value))
        };
        let shards = of(&[("layer", "3"), ("site", "mlp-output"), ("text", "a"), ("left_out", "position 0")]);
        let dictionary = of(&[("layer", "9"), ("text", "b"), ("model_fingerprint", "7")]);
        assert_eq!(shards.differences(&dictionary), ["the layer: 3 and not 9"]);
        assert!(shards.differences(&Provenance::default()).is_empty());
        let both = Provenance::side_by_side([&shards, &dictionary]);
        assert_eq!((both.known()["layer"].as_str(), both.known()["site"].as_str()), ("3, 9", "mlp-output"));
    }
}
