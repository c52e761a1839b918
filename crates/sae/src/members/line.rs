//! A member as one line of text, `name key=value …`, and back.

use crate::members::aux_k::{AuxCodes, AuxK, AuxScale};
use crate::members::choices::{DecoderRows, InputBias, PenaltyWeight, PullOver, Ranking};
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// A choice as one word, and back.
pub(crate) trait Word: Sized {
    fn word(&self) -> &'static str;
    fn of(word: &str) -> Option<Self>;
}

macro_rules! words {
    ($($choice:ident { $($variant:ident = $word:literal),* })*) => {$(
        impl $crate::members::line::Word for $choice {
            fn word(&self) -> &'static str {
                match self { $($choice::$variant => $word),* }
            }
            fn of(word: &str) -> Option<Self> {
                match word { $($word => Some($choice::$variant),)* _ => None }
            }
        }
    )*};
}
pub(crate) use words;

words! {
    InputBias { Subtracted = "subtracted", NotSubtracted = "not_subtracted" }
    PenaltyWeight { UnitNorm = "unit_norm", DecoderNorm = "decoder_norm" }
    Ranking { PreActivation = "pre_activation", TimesDecoderNorm = "times_decoder_norm" }
    DecoderRows { UnitNorm = "unit_norm", Free = "free" }
    PullOver { All = "all", Dead = "dead" }
    AuxScale {
        ResidualVariance = "residual_variance", FewDead = "few_dead", FewDeadOfLevel = "few_dead_of_level"
    }
    AuxCodes { Positive = "positive", Signed = "signed" }
}

/// The fields of a member, in the order in which a line has them.
#[derive(Default)]
pub(crate) struct Line(pub(crate) String);

impl Line {
    pub(crate) fn word(&mut self, key: &str, value: impl Word) -> &mut Self {
        self.text(key, value.word())
    }

    /// Adds a number, with the digits that read back to the same bits.
    pub(crate) fn number(&mut self, key: &str, value: impl Debug) -> &mut Self {
        self.text(key, &format!("{value:?}"))
    }

    pub(crate) fn optional(&mut self, key: &str, value: Option<f64>) -> &mut Self {
        if let Some(value) = value {
            self.number(key, value);
        }
        self
    }

    pub(crate) fn list<T: Debug>(&mut self, key: &str, values: &[T]) -> &mut Self {
        let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        self.text(key, &values.join(","))
    }

    pub(crate) fn aux(&mut self, aux: Option<AuxK>) -> &mut Self {
        if let Some(AuxK { k, alpha, scale, codes }) = aux {
            self.number("aux_k", k).number("aux_alpha", alpha);
            self.word("aux_scale", scale).word("aux_codes", codes);
        }
        self
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.0.push_str(&format!(" {key}={value}"));
        self
    }
}

/// The pairs of one line.
pub(crate) struct Pairs<'a> {
    pub(crate) name: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Pairs<'a> {
    /// Cuts a line into its name and its pairs.
    ///
    /// # Errors
    /// A sentence that names the word that is not a pair.
    pub(crate) fn of(line: &'a str) -> Result<Self, String> {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let pairs = words
            .map(|word| word.split_once('=').ok_or_else(|| format!("'{word}' is not of the form key=value")))
            .collect::<Result<_, _>>()?;
        Ok(Self { name, pairs })
    }

    pub(crate) fn find(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    fn need(&self, key: &str) -> Result<&'a str, String> {
        self.find(key).ok_or_else(|| format!("{} needs {key}=", self.name))
    }

    pub(crate) fn number<T: FromStr<Err: Display>>(&self, key: &str) -> Result<T, String> {
        self.need(key)?.parse().map_err(|e| format!("{key}: {e}"))
    }

    pub(crate) fn word<T: Word>(&self, key: &str) -> Result<T, String> {
        let value = self.need(key)?;
        T::of(value).ok_or_else(|| format!("{key}: '{value}' is unknown"))
    }

    /// Reads a choice that older files do not name.
    pub(crate) fn word_or<T: Word>(&self, key: &str, default: T) -> Result<T, String> {
        if self.find(key).is_some() { self.word(key) } else { Ok(default) }
    }

    pub(crate) fn optional(&self, key: &str) -> Result<Option<f64>, String> {
        self.find(key).map(|_| self.number(key)).transpose()
    }

    pub(crate) fn list<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Vec<T>, String> {
        self.need(key)?.split(',').map(|v| v.parse().map_err(|e| format!("{key}: {e}"))).collect()
    }

    pub(crate) fn aux(&self) -> Result<Option<AuxK>, String> {
        if self.find("aux_k").is_none() {
            return Ok(None);
        }
        let plain = AuxK::new(self.number("aux_k")?, self.number("aux_alpha")?);
        let scale = self.word_or("aux_scale", plain.scale)?;
        Ok(Some(AuxK { scale, codes: self.word_or("aux_codes", plain.codes)?, ..plain }))
    }
}
