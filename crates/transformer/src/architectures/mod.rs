//! The architectures: one file for each family, one line in the table.

mod architecture;
mod bert;
mod bloom;
mod cohere;
mod diffllama;
mod falcon;
mod gemma;
pub(crate) mod gguf;
mod gguf_neutral;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod gpt_oss;
mod gptj;
mod granite;
mod keys;
mod llama;
mod mistral;
mod mixtral;
mod olmo2;
mod opt;
mod parts;
mod phi;
mod phi3;
mod qwen;
mod qwen3_moe;
mod smollm3;
mod stablelm;

pub(crate) use keys::Keys;

use crate::error::ModelFileError;
use architecture::Architecture;

/// All architectures.
pub(crate) const ALL: [&Architecture; 23] = [
    &llama::ARCHITECTURE,
    &mistral::ARCHITECTURE,
    &mixtral::ARCHITECTURE,
    &qwen::ARCHITECTURE,
    &qwen3_moe::ARCHITECTURE,
    &gemma::ARCHITECTURE,
    &gpt2::ARCHITECTURE,
    &gpt_neo::ARCHITECTURE,
    &gpt_neox::ARCHITECTURE,
    &gptj::ARCHITECTURE,
    &gpt_oss::ARCHITECTURE,
    &opt::ARCHITECTURE,
    &phi::ARCHITECTURE,
    &phi3::ARCHITECTURE,
    &olmo2::ARCHITECTURE,
    &smollm3::ARCHITECTURE,
    &granite::ARCHITECTURE,
    &stablelm::ARCHITECTURE,
    &falcon::ARCHITECTURE,
    &bloom::ARCHITECTURE,
    &cohere::ARCHITECTURE,
    &bert::ARCHITECTURE,
    &diffllama::ARCHITECTURE,
];

/// Returns the architecture with a `model_type`.
pub(crate) fn find(keys: &Keys) -> Result<&'static Architecture, ModelFileError> {
    let given = keys.text("model_type")?.unwrap_or_default();
    let known = || ALL.iter().flat_map(|one| one.names).copied();
    ALL.iter().find(|one| one.names.contains(&given.as_str())).copied().ok_or_else(|| {
        keys.unusable("model_type", &format!("one of {}", known().collect::<Vec<_>>().join(", ")))
    })
}
