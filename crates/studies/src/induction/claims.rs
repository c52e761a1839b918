//! Induction learned by one layer, and by two.

use super::attention_only::{AttentionOnly, Size};
use super::bigrams::Bigrams;
use collimate_claims::{Claim, Claims, Meta, Proportion, Subject, Tier};
use collimate_stream::RngStream;

const SANFORD: &str =
    "Sanford, Hsu and Telgarsky (2024), One-layer transformers fail to solve the induction heads task";

const TWO: Meta = Meta::empirical(
    "attention/two-layers-learn-induction",
    Subject::Attention,
    "Two attention-only layers of one head each learn to predict the token that followed a given token, on bigrams they have never seen.",
    "Sequences hold 12 different tokens out of 16, then 4 of them as questions. An eighth of all bigrams never occurs in training. The model has \
     width 32, heads of width 16 and 5,632 weights, and is trained by 300 steps of Adam at 1e-2 with a cosine, 64 sequences each. A trial succeeds \
     when 80 % of the questions on held-out bigrams are answered, in 512 sequences. Supported above a rate of 0.2, refuted below 0.8, errors \
     1e-3. The settings were chosen on other seeds.",
)
.code("B26")
.source(SANFORD);

const ONE: Meta = Meta::empirical(
    "attention/one-layer-learns-induction",
    Subject::Attention,
    "One attention-only layer of two heads learns to predict the token that followed a given token, on bigrams it has never seen.",
    "Like attention/two-layers-learn-induction, with both heads in one layer: the number of weights, the training and the threshold are \
     the same.",
)
.code("B26")
.source(SANFORD);

/// Returns the size of a model with two heads: both in one layer, or one in each of two layers.
fn size(layers: usize) -> Size {
    Size { vocabulary: 16, positions: 16, width: 32, head_width: 16, heads: 2 / layers, layers }
}

/// Trains a model and returns the share of questions on unseen bigrams that it answers.
fn accuracy(layers: usize, stream: &mut RngStream) -> f64 {
    let size = size(layers);
    let bigrams = Bigrams::draw(size.vocabulary, 12, 4, 0.125, stream);
    let mut model = AttentionOnly::<f32>::new(size, stream);
    // Training that fails says nothing about layers, so it must not count as a trial without success.
    model.train(300, 1e-2, || bigrams.seen(64, stream)).expect("training at this rate does not diverge");
    model.accuracy(&bigrams.unseen(512, stream)).expect("trained scores are small")
}

fn learns(meta: Meta, layers: usize) -> impl Claim {
    Proportion::new(meta.tier(Tier::Standard))
        .hypotheses(0.2, 0.8)
        .errors(1e-3, 1e-3)
        .cap(60)
        .trial(move |stream| accuracy(layers, stream) >= 0.8)
}

/// Returns the claims about induction.
pub fn claims() -> Claims {
    Claims::new().with(learns(TWO, 2)).with(learns(ONE, 1))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn both_models_have_the_same_number_of_weights() {
        assert_eq!((size(1).parameters(), size(2).parameters()), (5632, 5632));
    }
}
