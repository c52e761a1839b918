use super::keys::Keys;
use crate::description::Description;
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Source};

/// An architecture: its names in files, its description, and the places of its parameters.
pub(crate) struct Architecture {
    /// The values of `model_type`.
    pub(crate) names: &'static [&'static str],
    /// Reads the description from the configuration.
    pub(crate) describe: fn(&Keys) -> Result<Description, ModelFileError>,
    /// Returns the place of a parameter in the tensors of the file.
    pub(crate) place: fn(ParameterName, &Description) -> Source,
}
