use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, windows};
use crate::description::{Description, LayerDescription, Norm};
use crate::error::ModelFileError;
use collimate_grad::primitive::activation::Activation;

/// SmolLM 3: Llama in which some layers have no rotary positions.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { names: &["smollm3"], describe, place: llama::place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [32_768, 4, 0])?;
    let rotary = RotaryDefaults::halves(2e6).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-6)?);
    let bias = keys.flag("attention_bias", false)?;
    let mut attention = sizes.attention();
    (attention.input_bias, attention.output_bias) = (bias, bias);
    let mut mlp = llama::gated(keys, Activation::Silu)?;
    mlp.bias = keys.flag("mlp_bias", false)?;
    let mut d = sizes.description(keys)?;
    d.layers = vec![LayerDescription::new(attention, mlp, norm); sizes.layers];
    let interval = keys.whole("no_rope_layer_interval")?.unwrap_or(4);
    // In the list, 1 stands for a layer with rotary positions.
    let turned: Vec<bool> = match keys.numbers("no_rope_layers")? {
        Some(list) if list.len() == sizes.layers => list.iter().map(|&x| x != 0.0).collect(),
        Some(_) => {
            return Err(
                keys.unusable("no_rope_layers", &format!("one number for each of {} layers", sizes.layers))
            );
        }
        None => (0..sizes.layers).map(|layer| !(layer + 1).is_multiple_of(interval)).collect(),
    };
    let slides = keys.flag("use_sliding_window", false)?;
    let window = keys.whole("sliding_window")?.filter(|_| slides);
    let windows = windows(keys, sizes.layers, window, |layer| !turned[layer])?;
    for ((layer, window), turned) in d.layers.iter_mut().zip(windows).zip(&turned) {
        layer.attention.window = window;
        layer.attention.rotary = turned.then(|| rotary.clone());
    }
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, true)?;
    Ok(d)
}
