//! Texts that a model writes, token by token.

use super::choice::Choice;
use crate::cache::Cache;
use crate::error::RunError;
use crate::hooks::Hooks;
use crate::network::Model;
use crate::pass::{Forward, Input, Keep, Setting};
use crate::precision::Precision;
use crate::site::Site;
use collimate_stream::RngStream;
use ndarray::s;

/// The way in which a text is continued.
///
/// # Examples
/// ```
/// use collimate_transformer::{Choice, Generation};
/// let generation = Generation { stop: vec![2], ..Generation::greedy(20) };
/// assert_eq!((generation.tokens, generation.choice), (20, Choice::Greedy));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The largest number of tokens that are written.
    pub tokens: usize,
    /// The rule by which each token is chosen.
    pub choice: Choice,
    /// The tokens after which the text ends. The token itself is the last one.
    pub stop: Vec<u32>,
    /// True if the text may go on beyond the context of the model, where positions are not learned. Otherwise it ends there.
    pub beyond_context: bool,
    /// True if keys and values of earlier tokens are kept, so that each step costs one token.
    pub cached: bool,
}

impl Generation {
    /// Returns the most likely token each time, with a cache and without stop tokens.
    pub fn greedy(tokens: usize) -> Self {
        Self { tokens, choice: Choice::Greedy, stop: Vec::new(), beyond_context: false, cached: true }
    }
}

impl<F: Precision> Model<F> {
    /// Continues a text, and returns the new tokens. It ends after a stop token, or where the context of the model ends.
    ///
    /// With a cache the result is that of the whole pass, except with a dynamic base of the rotary angles or with divisors for long
    /// texts: there, earlier keys keep the angles of their time. Hooks see each pass: with a cache, the first one on the prompt and the
    /// others on one token.
    ///
    /// # Determinism
    /// Sampled tokens depend on the stream alone; greedy ones do not use it.
    ///
    /// # Errors
    /// The errors of [`Model::run`]; [`RunError::NoHead`] for a model without logits; [`RunError::NotCausal`] for an encoder;
    /// [`RunError::OutOfRange`] for numbers of a choice that are out of range.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Activation, AttentionDescription, Description, Generation, LayerDescription, MlpDescription};
    /// use collimate_transformer::{Model, Norm, RngStream};
    /// let mlp = MlpDescription::new(16, true, Activation::Silu);
    /// let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
    /// let mut description = Description::new("toy", 11, 8, 32);
    /// description.layers = vec![layer];
    /// let model = Model::<f64>::random(description, &RngStream::new(1, 0));
    /// let mut stream = RngStream::new(2, 0);
    /// let cached = model.generate(&[3, 5], &Generation::greedy(4), &mut stream, &mut ())?;
    /// let whole = Generation { cached: false, ..Generation::greedy(4) };
    /// assert_eq!(model.generate(&[3, 5], &whole, &mut stream, &mut ())?, cached);
    /// # Ok::<(), collimate_transformer::RunError>(())
    /// ```
    pub fn generate(
        &self,
        prompt: &[u32],
        generation: &Generation,
        stream: &mut RngStream,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Vec<u32>, RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        if !self.description.is_causal() {
            return Err(RunError::NotCausal);
        }
        generation.choice.check()?;
        let mut all = prompt.to_vec();
        let mut cache = generation.cached.then(|| Cache::new(self.description.layers.len(), 1));
        let grows = self.description.grows_with_the_input()
            || generation.beyond_context && self.description.embedding.positions.is_none();
        let room =
            if grows { usize::MAX } else { self.description.context.saturating_sub(prompt.len()).max(1) };
        for _ in 0..generation.tokens.min(room) {
            let past = cache.as_ref().map_or(0, Cache::tokens);
            let new = &all[past..];
            let input = Input::of(new);
            let input = if grows { input.beyond_context() } else { input };
            let setting =
                Setting::new(&self.description, &self.program.layout, self.weights(), None, &input, past)?;
            let whole = hooks.wants(Site::Logits.of_layer(0));
            let mut pass = Forward::new(&setting, hooks, Keep::Nothing);
            if let Some(cache) = &mut cache {
                pass = pass.with_cache(cache);
            }
            // The head reads the last position alone, unless a hook wants all logits.
            let end = if whole { usize::MAX } else { self.program.writer_of(self.program.hidden) + 1 };
            let values = self.program.forward(pass, 0..end)?;
            let last = |slot: usize| {
                let rows = values[slot].as_ref().expect("the pass computed the rows");
                rows.value.slice(s![new.len() - 1..new.len(), ..]).to_owned()
            };
            let logits = if whole { last(slot) } else { self.unembed(last(self.program.hidden).view())? };
            let token = generation.choice.choose(logits.row(0), stream);
            all.push(token);
            if generation.stop.contains(&token) {
                break;
            }
        }
        Ok(all.split_off(prompt.len()))
    }
}
