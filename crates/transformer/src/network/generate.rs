//! Texts that a model writes, token by token.

use super::Model;
use crate::cache::Cache;
use crate::error::RunError;
use crate::pass::{Forward, Input, Precision, Setting};
use ndarray::{Array1, Array2};

/// The rule by which the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Choice {
    /// The token with the largest logit; the first of equal ones.
    Greedy,
}

impl<F: Precision> Model<F> {
    /// Continues a text by a number of tokens.
    ///
    /// With `cached` the keys and values of earlier tokens are kept, and each step costs one token. The result is that of the whole
    /// pass, except with a dynamic base of the rotary angles or with divisors for long texts: there, earlier keys keep the angles of
    /// their time.
    ///
    /// # Errors
    /// Those of [`Model::run`]; [`RunError::NoHead`] for a model without logits; [`RunError::NotCausal`] for an encoder.
    pub fn generate(
        &self,
        prompt: &[u32],
        tokens: usize,
        choice: Choice,
        cached: bool,
    ) -> Result<Vec<u32>, RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        if !self.description.is_causal() {
            return Err(RunError::NotCausal);
        }
        let mut all = prompt.to_vec();
        let mut cache = cached.then(|| Cache::new(self.description.layers.len(), 1));
        for _ in 0..tokens {
            let past = cache.as_ref().map_or(0, Cache::tokens);
            let new = &all[past..];
            let input = Input::new(Array2::from_shape_vec((1, new.len()), new.to_vec()).expect("one row"));
            let setting =
                Setting::new(&self.description, &self.program.layout, &self.parameters, None, &input, past)?;
            let mut none = ();
            let mut pass = Forward::new(&setting, &mut none, false);
            if let Some(cache) = &mut cache {
                pass = pass.with_cache(cache);
            }
            let values = self.program.forward(pass, usize::MAX)?;
            let logits = values[slot].as_ref().expect("the pass computed the logits");
            let last = logits.value.row(new.len() - 1).to_owned();
            all.push(choose(&last, choice));
        }
        Ok(all.split_off(prompt.len()))
    }
}

fn choose<F: Precision>(logits: &Array1<F>, choice: Choice) -> u32 {
    let Choice::Greedy = choice;
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}
