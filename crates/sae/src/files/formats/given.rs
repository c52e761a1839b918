use crate::SaeError;
use std::path::Path;

/// The facts that some files do not hold, so that their user gives them.
///
/// The default gives nothing. A fact that the file itself holds is refused.
///
/// # Examples
/// ```
/// use collimate_sae::formats::Given;
/// let given = Given { k: Some(50), ..Given::default() };
/// assert_eq!((given.k, given.embedding), (Some(50), false));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The number of active latents of a row, for Qwen Scope files outside their repository's folder. From 1.
    pub k: Option<usize>,
    /// True if a `params.npz` holds a dictionary of embeddings, whose inputs were divided by √d.
    pub embedding: bool,
}

impl Given {
    /// Refuses facts that a format does not take.
    pub(super) fn only(&self, path: &Path, format: &str, k: bool, embedding: bool) -> Result<(), SaeError> {
        let refuse = |fact: &str| {
            let reason =
                format!("{fact} was given, but a file of the format {format} says it itself; leave it out");
            Err(SaeError::File { path: path.to_owned(), reason })
        };
        match self {
            Self { k: Some(_), .. } if !k => refuse("the number k of active latents"),
            Self { embedding: true, .. } if !embedding => refuse("the kind of embeddings"),
            _ => Ok(()),
        }
    }
}
