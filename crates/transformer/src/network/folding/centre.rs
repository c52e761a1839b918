//! Writing into the residual stream without a mean, where layer norms take it away.

use crate::description::{Arrangement, Description, Norm, NormKind};
use crate::error::RunError;
use crate::network::Model;
use crate::network::folding::gains::has_gains;
use crate::parameters::{ParameterName, Part};
use crate::precision::Precision;
use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayRef2, Axis};

impl<F: Precision> Model<F> {
    /// Returns a model with the same logits whose residual stream has the mean 0 at every token.
    ///
    /// Where everything reads the stream through a layer norm, the mean over the coordinates of what is written has no effect. It is taken
    /// off the rows of the tables, off the outputs of W_O and of the last matrix of each MLP, and off their biases. A tied head keeps its
    /// numbers and is then no longer tied. The new model has no configuration, so it cannot be saved as a folder.
    ///
    /// # Errors
    /// [`RunError::Folding`] where something reads the stream without a layer norm, or where a norm writes into the stream.
    /// [`RunError::Stored`] if parameters are kept as their file stores them.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, Model, Norm, RngStream, Run};
    /// let mut description = Description::small();
    /// let norm = Some(Norm::layer(1e-5));
    /// description.layers.iter_mut().for_each(|layer| (layer.attention_norm, layer.mlp_norm) = (norm, norm));
    /// description.final_norm = norm;
    /// let centred = Model::<f64>::random(description, &RngStream::new(1, 0)).centre_writes()?;
    /// let stream = centred.residual(&Run::of(&[7, 3, 9]), 3, &mut ())?; // [1, 3, 32]
    /// assert!(stream.mean_axis(ndarray::Axis(2)).unwrap().iter().all(|mean| mean.abs() < 1e-14));
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn centre_writes(&self) -> Result<Self, RunError> {
        self.check_expanded("centring what is written")?;
        check(&self.description)?;
        let mut description = self.description.clone();
        let tied = description.head.as_mut().is_some_and(|head| std::mem::replace(&mut head.tied, false));
        let projected = description.embedding.projected_from.is_some();
        let width = description.width;
        let read = |name| self.read_parameter(name).expect("a parameter of the model");
        Ok(Self::of_description(description, |_, name, _| match name.part {
            Part::Head if tied => read(ParameterName { layer: None, part: Part::TokenEmbedding }),
            Part::TokenEmbedding if !projected => without_row_means(&read(name)),
            Part::PositionEmbedding
            | Part::TypeEmbedding
            | Part::AttentionOutputBias
            | Part::DownBias
            | Part::ExpertDownBias => without_row_means(&read(name)),
            Part::ProjectIn | Part::AttentionOutput | Part::Down | Part::ExpertDown => {
                without_column_means(read(name), width)
            }
            _ => read(name),
        }))
    }
}

/// Returns an error if the mean of the stream has an effect, or is not made by matrices and tables.
fn check(d: &Description) -> Result<(), RunError> {
    let refuse = |place: String, reason: &'static str| Err(RunError::Folding { place, reason });
    let takes_the_mean = |norm: Option<&Norm>| norm.is_some_and(|norm| norm.kind == NormKind::Layer);
    for (index, layer) in d.layers.iter().enumerate() {
        let mlp =
            layer.arrangement == Arrangement::ParallelOneNorm || takes_the_mean(layer.mlp_norm.as_ref());
        if !takes_the_mean(layer.attention_norm.as_ref()) || !mlp {
            return refuse(
                format!("the mean of the stream before layer {index}"),
                "no layer norm takes it away",
            );
        }
        let writes = [&layer.attention_post_norm, &layer.mlp_post_norm, &layer.sum_norm];
        if writes.into_iter().any(Option::is_some) || layer.residual_is_normed {
            return refuse(
                format!("the mean of the stream in layer {index}"),
                "a norm writes into the stream",
            );
        }
    }
    if !takes_the_mean(d.final_norm.as_ref()) {
        return refuse("the mean of the last stream".into(), "no layer norm takes it away");
    }
    // A norm without gain and bias writes rows of mean 0 itself.
    match d.embedding.norm {
        Some(norm) if norm.kind != NormKind::Layer || has_gains(Some(&norm)) => {
            refuse("the mean of the first stream".into(), "the norm of the embedding writes it")
        }
        _ => Ok(()),
    }
}

/// Returns a matrix whose rows have the mean 0.
fn without_row_means<F: Precision>(x: &ArrayRef2<F>) -> Array2<F> {
    let columns = <F as Scalar>::from_f64(x.ncols() as f64);
    x.to_owned() - (x.sum_axis(Axis(1)) / columns).insert_axis(Axis(1))
}

/// Returns a matrix whose outputs have the mean 0 for every input.
fn without_column_means<F: Precision>(mut x: Array2<F>, outputs: usize) -> Array2<F> {
    for mut block in x.axis_chunks_iter_mut(Axis(0), outputs) {
        let mean = block.sum_axis(Axis(0)) / <F as Scalar>::from_f64(outputs as f64);
        block -= &mean;
    }
    x
}
