//! Norms folded into the matrices that read them.

use super::gains::{Gains, bare, has_gains};
use crate::description::{Arrangement, Description, LayerDescription};
use crate::error::RunError;
use crate::hooks::Capture;
use crate::network::Model;
use crate::parameters::{ParameterName, Part};
use crate::pass::Input;
use crate::precision::Precision;
use crate::site::Site;
use ndarray::Array2;
use std::collections::BTreeMap;

/// The matrices of attention that read its input, with their biases.
const ATTENTION: [(Part, Part); 3] =
    [(Part::Query, Part::QueryBias), (Part::Key, Part::KeyBias), (Part::Value, Part::ValueBias)];
/// The matrices of the MLP that read its input, with their biases.
const MLP: [(Part, Part); 5] = [
    (Part::Gate, Part::GateBias),
    (Part::Up, Part::UpBias),
    (Part::Router, Part::RouterBias),
    (Part::ExpertGate, Part::ExpertGateBias),
    (Part::ExpertUp, Part::ExpertUpBias),
];

impl<F: Precision> Model<F> {
    /// Returns a model with the same logits whose norms have neither gain nor bias: they are folded into the matrices after them.
    ///
    /// ```text
    /// W (x̂ ∘ g + β) + b = (W diag g) x̂ + (W β + b)
    /// ```
    /// The final norm is folded into the head, which is then no longer tied to the table of tokens. A norm of the table of tokens alone is
    /// folded into the table. A matrix that had no bias gets one where the norm has a bias. The new model has no configuration, so it
    /// cannot be saved as a folder.
    ///
    /// # Errors
    /// [`RunError::Folding`] for a norm that no matrix reads: after attention or the MLP, on the stream itself, of queries and keys, of a
    /// sum of tables, or where the residual stream goes on with the normed input. [`RunError::NoHead`] for a model without logits.
    /// [`RunError::Stored`] if parameters are kept as their file stores them.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, GainForm, Model, RngStream, Run};
    /// let model = Model::<f64>::random(Description::small(), &RngStream::new(1, 0));
    /// let folded = model.fold_norms()?;
    /// assert_eq!(folded.description().final_norm.unwrap().gain, GainForm::None);
    /// let run = Run::of(&[7, 3, 9]);
    /// let (before, after) = (model.logits(&run, &mut ())?, folded.logits(&run, &mut ())?);
    /// assert!((before - after).iter().all(|x| x.abs() < 1e-12));
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn fold_norms(&self) -> Result<Self, RunError> {
        self.check_expanded("folding the norms")?;
        let head = self.description.head.as_ref().ok_or(RunError::NoHead)?;
        check(&self.description)?;
        let mut folding = Folding {
            description: self.description.clone(),
            parameters: self.parameters().map(|(name, x)| (name, x.to_owned())).collect(),
        };
        if has_gains(self.description.embedding.norm.as_ref()) {
            folding.put_into_table(self.normed_table()?);
        }
        for (index, layer) in self.description.layers.iter().enumerate() {
            folding.layer(self, index, layer);
        }
        let gains = Gains::of(
            self,
            self.description.final_norm.as_ref(),
            None,
            [Part::FinalNormGain, Part::FinalNormBias],
        );
        folding.description.final_norm = self.description.final_norm.map(bare);
        folding.after_the_layers(gains);
        if let Some((_, norm)) = &head.transform {
            let parts = [Part::HeadTransformNormGain, Part::HeadTransformNormBias];
            let gains = Gains::of(self, Some(norm), None, parts);
            folding.fold_into_head(&gains);
            let head = folding.description.head.as_mut().and_then(|head| head.transform.as_mut());
            head.expect("the head of the model").1 = bare(*norm);
        }
        Ok(folding.model())
    }

    /// Computes the row of each token after the norm of the embedding, `[v, d]`. No position and no type is added before that norm.
    fn normed_table(&self) -> Result<Array2<F>, RunError> {
        let point = Site::Embedding.of_layer(0);
        let tokens = Array2::from_shape_fn((self.description.vocabulary, 1), |(token, _)| token as u32);
        let mut capture = Capture::at([point]);
        self.visit(&Input::new(tokens), &mut capture)?;
        let rows = capture.take(point)?;
        let shape = (self.description.vocabulary, self.description.width);
        Ok(rows.into_shape_with_order(shape).expect("one row for each token"))
    }
}

/// Returns an error for a norm that no matrix reads.
fn check(d: &Description) -> Result<(), RunError> {
    let refuse = |place: String, reason: &'static str| Err(RunError::Folding { place, reason });
    let e = &d.embedding;
    let sum = e.positions.is_some() || e.token_types.is_some() || e.projected_from.is_some();
    if has_gains(e.norm.as_ref()) && sum {
        return refuse("the norm of the embedding".into(), "it takes a sum of rows, which no table holds");
    }
    for (index, layer) in d.layers.iter().enumerate() {
        let added = [&layer.attention_post_norm, &layer.mlp_post_norm];
        if added.into_iter().any(|norm| has_gains(norm.as_ref())) {
            let place = format!("the norm after attention or the MLP of layer {index}");
            return refuse(
                place,
                "its gain acts on what is added to the residual stream, and no matrix reads that alone",
            );
        }
        if has_gains(layer.sum_norm.as_ref()) {
            let place = format!("the norm of the residual stream of layer {index}");
            return refuse(place, "its gain stays in the stream, which later layers add to");
        }
        if layer.attention.head_norm.is_some_and(|norm| has_gains(Some(&norm.norm))) {
            let place = format!("the norm of queries and keys of layer {index}");
            return refuse(place, "no matrix reads its result");
        }
        if layer.residual_is_normed
            && (has_gains(layer.attention_norm.as_ref()) || has_gains(layer.mlp_norm.as_ref()))
        {
            let place = format!("the norm before attention or the MLP of layer {index}");
            return refuse(place, "the residual stream goes on with its result");
        }
    }
    Ok(())
}

/// A model whose norms are being folded.
struct Folding<F> {
    description: Description,
    parameters: BTreeMap<ParameterName, Array2<F>>,
}

impl<F: Precision> Folding<F> {
    /// Folds the norms before attention and the MLP of a layer.
    fn layer(&mut self, model: &Model<F>, index: usize, layer: &LayerDescription) {
        let layer_name = Some(index);
        let parts = [Part::AttentionNormGain, Part::AttentionNormBias];
        let gains = Gains::of(model, layer.attention_norm.as_ref(), layer_name, parts);
        self.fold(layer_name, &gains, &ATTENTION);
        let to = &mut self.description.layers[index];
        to.attention_norm = layer.attention_norm.map(bare);
        to.attention.input_bias |= gains.bias.is_some();
        to.mlp_norm = layer.mlp_norm.map(bare);
        let gains = match layer.arrangement {
            Arrangement::ParallelOneNorm => gains,
            _ => {
                Gains::of(model, layer.mlp_norm.as_ref(), layer_name, [Part::MlpNormGain, Part::MlpNormBias])
            }
        };
        if gains.bias.is_some() {
            let experts = to.mlp.experts.as_mut();
            let (part, rows) = match experts {
                Some(experts) => {
                    experts.router_bias = true;
                    (Part::ExpertDownBias, experts.count)
                }
                None => (Part::DownBias, 1),
            };
            to.mlp.bias = true;
            let name = ParameterName { layer: layer_name, part };
            let zeros = || Array2::zeros((rows, self.description.width));
            self.parameters.entry(name).or_insert_with(zeros);
        }
        self.fold(layer_name, &gains, &MLP);
    }

    /// Folds the final norm into the projection back, or into what reads the hidden states.
    fn after_the_layers(&mut self, gains: Gains<F>) {
        let project = ParameterName { layer: None, part: Part::ProjectOut };
        let Some(matrix) = self.parameters.get_mut(&project) else {
            self.fold_into_readers_of_hidden(&gains);
            return;
        };
        let bias = gains.bias.map(|bias| matrix.dot(&bias));
        if let Some(gain) = &gains.gain {
            *matrix *= gain;
        }
        self.fold_into_readers_of_hidden(&Gains { gain: None, bias });
    }

    fn fold_into_readers_of_hidden(&mut self, gains: &Gains<F>) {
        let transform = self.description.head.as_ref().is_some_and(|head| head.transform.is_some());
        self.fold(None, gains, &[(Part::Pooler, Part::PoolerBias)]);
        match transform {
            true => self.fold(None, gains, &[(Part::HeadTransform, Part::HeadTransformBias)]),
            false => self.fold_into_head(gains),
        }
    }

    fn fold_into_head(&mut self, gains: &Gains<F>) {
        if gains.gain.is_none() && gains.bias.is_none() {
            return;
        }
        self.untie();
        self.fold(None, gains, &[(Part::Head, Part::HeadBias)]);
        self.description.head.iter_mut().for_each(|head| head.bias |= gains.bias.is_some());
    }

    /// Gives the head a matrix of its own.
    fn untie(&mut self) {
        let head = self.description.head.as_mut().expect("a model with a head");
        if std::mem::replace(&mut head.tied, false) {
            let of = |part| ParameterName { layer: None, part };
            let table = self.parameters[&of(Part::TokenEmbedding)].clone();
            self.parameters.insert(of(Part::Head), table);
        }
    }

    /// Replaces the table of tokens, its scale and the norm of the embedding by the rows after that norm.
    fn put_into_table(&mut self, rows: Array2<F>) {
        self.untie();
        self.parameters.insert(ParameterName { layer: None, part: Part::TokenEmbedding }, rows);
        let embedding = &mut self.description.embedding;
        (embedding.scale, embedding.norm) = (1.0, None);
    }

    /// Folds a gain and a bias into the matrices that read the norm, and into their biases.
    fn fold(&mut self, layer: Option<usize>, gains: &Gains<F>, readers: &[(Part, Part)]) {
        for &(weight, bias) in readers {
            let [weight, bias] = [weight, bias].map(|part| ParameterName { layer, part });
            let Some(matrix) = self.parameters.get_mut(&weight) else { continue };
            let more = gains.bias.as_ref().map(|bias| matrix.dot(bias));
            if let Some(gain) = &gains.gain {
                *matrix *= gain;
            }
            if let Some(more) = more {
                let rows = if of_experts(weight.part) { self.experts(layer) } else { 1 };
                let shape = (rows, more.len() / rows);
                let more = more.into_shape_with_order(shape).expect("as many outputs for each expert");
                let to = self.parameters.entry(bias).or_insert_with(|| Array2::zeros(shape));
                *to += &more;
            }
        }
    }

    /// Returns the number of experts of a layer.
    fn experts(&self, layer: Option<usize>) -> usize {
        let experts = layer.and_then(|layer| self.description.layers[layer].mlp.experts);
        experts.map_or(1, |experts| experts.count)
    }

    fn model(mut self) -> Model<F> {
        let number = |name: ParameterName| move || panic!("{name} is a parameter of the folded model");
        Model::of_description(self.description, |_, name, _| {
            self.parameters.remove(&name).unwrap_or_else(number(name))
        })
    }
}

/// Returns true for a matrix that has a bias for each expert.
fn of_experts(part: Part) -> bool {
    matches!(part, Part::ExpertGate | Part::ExpertUp)
}
