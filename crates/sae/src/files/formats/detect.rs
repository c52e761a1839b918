use super::any_checkpoint::AnyCheckpoint;
use super::arranged::{cross_layer, crosscoder, layout, per_layer, temporal};
use super::checkpoint::Checkpoint;
use super::format::{Format, formats};
use super::given::Given;
use super::place::Place;
use super::{
    dictionary_learning, gemma_scope, gemma_scope_2, goodfire, llama_scope, openai, own, qwen_scope, saelens,
    sparsify,
};
use crate::{Precision, SaeError};
use std::path::Path;

macro_rules! dispatch {
    (
        $($(#[$doc:meta])* $format:ident = $name:literal in $module:ident,)*;
        $($(#[$of_arranged:meta])* $arranged:ident = $its_name:literal in $file:ident::$read:ident,)*
    ) => {
        impl Format {
            /// Returns true if the tensors and configurations of a place are those of this format.
            fn recognises(self, place: &Place) -> bool {
                match self { $(Self::$format => $module::recognises(place),)* $(Self::$arranged)|* => false }
            }

            /// Reads a dictionary of this format.
            pub(super) fn read<F: Precision>(
                self,
                place: &Place,
                given: &Given,
            ) -> Result<Checkpoint<F>, SaeError> {
                match self {
                    $(Self::$format => $module::read(place, given),)*
                    $(Self::$arranged)|* => Err(place.wrong(format!(
                        "the format {self} holds no dictionary of single rows; read it with read_any"
                    ))),
                }
            }

            /// Reads a dictionary whose input has further axes; `None` for a format of single rows.
            pub(super) fn read_arranged<F: Precision>(
                self,
                path: &Path,
            ) -> Option<Result<AnyCheckpoint<F>, SaeError>> {
                match self {
                    $(Self::$arranged => Some($file::$read(path)),)*
                    _ => None,
                }
            }
        }
    };
}

formats!(dispatch);

impl Format {
    /// Tells the format of a file or folder by its tensors and configurations, and never by its name.
    ///
    /// # Errors
    /// [`SaeError::File`] when it is none of them, with what was looked for; [`SaeError::Format`] for a broken file.
    pub fn detect(path: &Path) -> Result<Self, SaeError> {
        match layout::detect(path)? {
            Some(format) => Ok(format),
            None => Self::of(&Place::open(path)?),
        }
    }

    pub(super) fn of(place: &Place) -> Result<Self, SaeError> {
        if let Some(format) = Self::ALL.iter().find(|format| format.recognises(place)) {
            return Ok(*format);
        }
        let names: Vec<&str> = place.tensors.names().take(12).collect();
        Err(place.wrong(format!(
            "its tensors {names:?} are not those of a known dictionary: expected W_enc and W_dec (SAELens, dictionary_learning, \
             Qwen Scope), w_enc and w_dec (Gemma Scope), encoder.weight with W_dec (sparsify) or decoder.weight \
             (dictionary_learning, Llama Scope), W_E and W_D (Llama Scope 2), encoder_linear.weight (Goodfire), or pre_bias (OpenAI)"
        )))
    }
}
