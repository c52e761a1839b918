use super::architecture::Architecture;
use super::keys::Keys;
use super::parts::{Sizes, activation, is_tied, whole};
use crate::description::{Description, LayerDescription, LearnedPositions, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// BERT: an encoder whose norms lie after the sums, with token types, a pooler and a head for masked words.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["bert"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [512, 0, 0])?;
    let norm = Norm::layer(keys.number_or("layer_norm_eps", 1e-12)?);
    for key in ["is_decoder", "add_cross_attention"] {
        keys.refuse(key, "an encoder: false")?;
    }
    if keys.text("position_embedding_type")?.is_some_and(|kind| kind != "absolute") {
        return Err(keys.unusable("position_embedding_type", "absolute"));
    }
    let mut attention = sizes.attention();
    (attention.input_bias, attention.output_bias, attention.causal) = (true, true, false);
    let active = activation(keys, &["hidden_act"], Activation::GeluErf)?;
    let mut mlp = MlpDescription::new(keys.need(&["intermediate_size"])?, false, active);
    mlp.bias = true;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    (layer.attention_norm, layer.mlp_norm, layer.sum_norm) = (None, None, Some(norm));
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.embedding.positions = Some(LearnedPositions { rows: sizes.context, offset: 0, skip_padding: false });
    d.embedding.token_types = Some(keys.whole("type_vocab_size")?.unwrap_or(2));
    d.embedding.norm = Some(norm);
    let class = keys.texts("architectures")?.unwrap_or_default();
    let masked = keys.is_alone() && class.iter().any(|name| name == "BertForMaskedLM");
    d.pooler = keys.has_tensor("pooler.dense.weight") || (keys.is_alone() && !masked);
    d.next_sentence = keys.has_tensor("cls.seq_relationship.weight");
    if masked || keys.has_tensor("cls.predictions.transform.dense.weight") {
        let tied = is_tied(keys, true, "cls.predictions.decoder.weight", "word_embeddings.weight")?;
        if let Some(head) = &mut d.head {
            (head.tied, head.bias, head.transform) = (tied, true, Some((active, norm)));
        }
    } else {
        keys.flag("tie_word_embeddings", true)?;
        d.head = None;
    }
    Ok(d)
}

fn place(name: ParameterName, _: &Description) -> Source {
    let pattern = match name.part {
        Part::TokenEmbedding => "bert.embeddings.word_embeddings.weight",
        Part::PositionEmbedding => "bert.embeddings.position_embeddings.weight",
        Part::TypeEmbedding => "bert.embeddings.token_type_embeddings.weight",
        Part::EmbeddingNormGain => "bert.embeddings.LayerNorm.weight",
        Part::EmbeddingNormBias => "bert.embeddings.LayerNorm.bias",
        Part::Query => "bert.encoder.layer.{}.attention.self.query.weight",
        Part::QueryBias => "bert.encoder.layer.{}.attention.self.query.bias",
        Part::Key => "bert.encoder.layer.{}.attention.self.key.weight",
        Part::KeyBias => "bert.encoder.layer.{}.attention.self.key.bias",
        Part::Value => "bert.encoder.layer.{}.attention.self.value.weight",
        Part::ValueBias => "bert.encoder.layer.{}.attention.self.value.bias",
        Part::AttentionOutput => "bert.encoder.layer.{}.attention.output.dense.weight",
        Part::AttentionOutputBias => "bert.encoder.layer.{}.attention.output.dense.bias",
        Part::AttentionSumNormGain => "bert.encoder.layer.{}.attention.output.LayerNorm.weight",
        Part::AttentionSumNormBias => "bert.encoder.layer.{}.attention.output.LayerNorm.bias",
        Part::Up => "bert.encoder.layer.{}.intermediate.dense.weight",
        Part::UpBias => "bert.encoder.layer.{}.intermediate.dense.bias",
        Part::Down => "bert.encoder.layer.{}.output.dense.weight",
        Part::DownBias => "bert.encoder.layer.{}.output.dense.bias",
        Part::MlpSumNormGain => "bert.encoder.layer.{}.output.LayerNorm.weight",
        Part::MlpSumNormBias => "bert.encoder.layer.{}.output.LayerNorm.bias",
        Part::Pooler => "bert.pooler.dense.weight",
        Part::PoolerBias => "bert.pooler.dense.bias",
        Part::HeadTransform => "cls.predictions.transform.dense.weight",
        Part::HeadTransformBias => "cls.predictions.transform.dense.bias",
        Part::HeadTransformNormGain => "cls.predictions.transform.LayerNorm.weight",
        Part::HeadTransformNormBias => "cls.predictions.transform.LayerNorm.bias",
        Part::Head => "cls.predictions.decoder.weight",
        Part::HeadBias => "cls.predictions.bias",
        Part::NextSentence => "cls.seq_relationship.weight",
        Part::NextSentenceBias => "cls.seq_relationship.bias",
        _ => return Source::new(),
    };
    whole(pattern, name)
}
