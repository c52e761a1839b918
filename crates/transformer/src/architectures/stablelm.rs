use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes};
use crate::description::{Arrangement, Description, HeadNorm, HeadNormOver, LayerDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Piece, Source};
use collimate_grad::primitive::activation::Activation;

/// StableLM: layer norms, a gated MLP, a quarter of each head turned.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["stablelm"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [4096, 32, 0])?;
    let rotary = RotaryDefaults { part: 0.25, ..RotaryDefaults::halves(1e4) }.read(keys, &sizes)?;
    let norm = Norm::layer(keys.number_or("layer_norm_eps", 1e-5)?);
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    attention.input_bias = keys.flag("use_qkv_bias", false)?;
    if keys.flag("qk_layernorm", false)? {
        attention.head_norm = Some(HeadNorm { norm: norm.with_bias(false), over: HeadNormOver::OwnGain });
    }
    let mut layer = LayerDescription::new(attention, llama::gated(keys, Activation::Silu)?, norm);
    if keys.flag("use_parallel_residual", false)? {
        layer.arrangement = Arrangement::ParallelOneNorm;
        layer.mlp_norm = None;
    }
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}

/// The gains of the heads are tensors of their own.
fn place(name: ParameterName, d: &Description) -> Source {
    let layer = name.layer.unwrap_or_default();
    let heads = |letter: &str, heads: usize| -> Source {
        let of = |head| {
            Piece::whole(format!("model.layers.{layer}.self_attn.{letter}_layernorm.norms.{head}.weight"))
        };
        (0..heads).map(of).collect()
    };
    match name.part {
        Part::QueryNormGain => heads("q", d.layers[layer].attention.heads),
        Part::KeyNormGain => heads("k", d.layers[layer].attention.key_heads),
        _ => llama::place(name, d),
    }
}
