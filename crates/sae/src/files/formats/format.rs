use std::fmt;

/// Calls a macro with the list of the formats: those of single rows, and after a semicolon those whose input has further axes. A new
/// format is one file and one line here. A format of single rows has `recognises` and `read`, and the first one that recognises the
/// content of a file reads it. The others are recognised in `arranged/layout.rs`.
macro_rules! formats {
    ($with:ident) => {
        $with! {
            /// One file of [`Sae::save`](crate::Sae::save).
            Collimate = "collimate" in own,
            /// A folder of SAELens, from version 6 or before, or a file of `torch.save` with its `cfg` and its `state_dict`.
            SaeLens = "saelens" in saelens,
            /// `params.npz` of Gemma Scope.
            GemmaScope = "gemma-scope" in gemma_scope,
            /// `config.json` and `params.safetensors` of Gemma Scope 2.
            GemmaScope2 = "gemma-scope-2" in gemma_scope_2,
            /// `cfg.json` and `sae.safetensors` of sparsify.
            Sparsify = "sparsify" in sparsify,
            /// Llama Scope: `hyperparams.json` and `checkpoints/final.safetensors`, or a newer release with `config.json`.
            LlamaScope = "llama-scope" in llama_scope,
            /// A `.pt` file of OpenAI's sparse_autoencoder.
            OpenAi = "openai" in openai,
            /// A `.pt` or `.pth` file of Goodfire.
            Goodfire = "goodfire" in goodfire,
            /// `layerN.sae.pt` of Qwen Scope, whose k stands in the name of its folder.
            QwenScope = "qwen-scope" in qwen_scope,
            /// `ae.pt` of dictionary_learning, and files with the same tensors.
            DictionaryLearning = "dictionary-learning" in dictionary_learning,
            ;
            /// A cross-layer transcoder of circuit-tracer: `W_enc_N.safetensors` and `W_dec_N.safetensors` for each layer.
            CrossLayer = "circuit-tracer-cross-layer" in cross_layer::read,
            /// A set of transcoders of circuit-tracer: `layer_N.safetensors` for each layer.
            PerLayer = "circuit-tracer-per-layer" in per_layer::read,
            /// A cross-layer transcoder of Gemma Scope 2: one safetensors file for each layer, with `config.json`.
            GemmaScope2CrossLayer = "gemma-scope-2-cross-layer" in cross_layer::read_gemma_scope,
            /// A crosscoder of the fork of dictionary_learning: `model.pt`.
            Crosscoder = "dictionary-learning-crosscoder" in crosscoder::read,
            /// A temporal dictionary: `conf.yaml` and `latest_ckpt.safetensors`, or a folder of SAELens.
            Temporal = "temporal" in temporal::read,
        }
    };
}
pub(super) use formats;

macro_rules! define {
    (
        $($(#[$doc:meta])* $format:ident = $name:literal in $module:ident,)*;
        $($(#[$of_arranged:meta])* $arranged:ident = $its_name:literal in $file:ident::$read:ident,)*
    ) => {
        /// The layouts in which dictionaries are published.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Format {
            $($(#[$doc])* $format,)*
            $($(#[$of_arranged])* $arranged,)*
        }

        impl Format {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$format,)* $(Self::$arranged),*];

            /// Returns the name for options and messages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$format => $name,)* $(Self::$arranged => $its_name),* }
            }
        }
    };
}

formats!(define);

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
