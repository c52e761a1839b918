use super::encoding::Encoding;
use super::options::{EncodeOptions, SpecialText, SpecialTokens, Unspelt};
use super::pipeline::Tokenizer;
use crate::error::RunError;
use std::ops::Range;
use tokenizers::models::unigram::Unigram;
use tokenizers::{
    Model, ModelWrapper, NormalizedString, OffsetType, PreTokenizedString, PreTokenizer, Token,
};

/// An error inside a step of the `tokenizers` library.
type StepError = tokenizers::Error;

fn refused(error: impl ToString) -> RunError {
    RunError::Tokenizer(error.to_string())
}

impl Tokenizer {
    /// Splits a text into tokens.
    ///
    /// # Errors
    /// [`RunError::Tokenizer`] when the vocabulary cannot spell the text and the file names no token for such text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, RunError> {
        Ok(self.encode_with_ranges(text)?.into_iter().map(|(id, _)| id).collect())
    }

    /// Splits a text into tokens, each with the range of bytes that it stands for.
    ///
    /// A character of several bytes may be spread over several tokens; each of these tokens has the range of the whole character.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_ranges(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, RunError> {
        let options = EncodeOptions::default();
        let found = self.split(text, options)?.into_encoding(None, 0, OffsetType::Byte).map_err(refused)?;
        let found = self.steps.post_process(found, None, false).map_err(refused)?;
        let ranges = found.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(found.get_ids().iter().copied().zip(ranges).collect())
    }

    /// Splits a text into tokens, with the choices of `options`.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], unless `options` choose a token for text that the vocabulary cannot spell, or choose to drop it. An error
    /// if the chosen token is not in the vocabulary.
    pub fn encode_with(&self, text: &str, options: EncodeOptions) -> Result<Encoding, RunError> {
        self.joined(&[text], options)
    }

    /// Splits two texts into the tokens of one input, as models take a question and an answer.
    ///
    /// The file of the tokenizer says which special tokens stand between the texts, and which token types they get. They are added if
    /// `options` ask for special tokens.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_with`].
    pub fn encode_pair(
        &self,
        first: &str,
        second: &str,
        options: EncodeOptions,
    ) -> Result<Encoding, RunError> {
        self.joined(&[first, second], options)
    }

    fn joined(&self, texts: &[&str], options: EncodeOptions) -> Result<Encoding, RunError> {
        if let Unspelt::Token(id) = options.unspelt
            && self.piece(id).is_none()
        {
            return Err(RunError::UnknownToken { id, position: 0, n_vocab: self.len() });
        }
        let split = texts.iter().map(|text| self.split(text, options)).collect::<Result<Vec<_>, _>>()?;
        let add = options.special_tokens == SpecialTokens::Added;
        let counted = |kind: fn() -> OffsetType| {
            let mut parts = Vec::with_capacity(split.len());
            for (index, part) in split.iter().enumerate() {
                parts.push(part.clone().into_encoding(None, index as u32, kind()).map_err(refused)?);
            }
            let second = if parts.len() > 1 { parts.pop() } else { None };
            let first = parts.pop().unwrap_or_default();
            self.steps.post_process(first, second, add).map_err(refused)
        };
        let in_characters = counted(|| OffsetType::Char)?;
        let found = counted(|| OffsetType::Byte)?;
        let ranges = |offsets: &[(usize, usize)]| offsets.iter().map(|&(start, end)| start..end).collect();
        Ok(Encoding {
            ids: found.get_ids().to_vec(),
            pieces: found.get_tokens().to_vec(),
            byte_ranges: ranges(found.get_offsets()),
            character_ranges: ranges(in_characters.get_offsets()),
            type_ids: found.get_type_ids().to_vec(),
            special: found.get_special_tokens_mask().iter().map(|&mask| mask != 0).collect(),
        })
    }

    /// Normalises a text, cuts it, and finds the tokens of each part.
    fn split(&self, text: &str, options: EncodeOptions) -> Result<PreTokenizedString, RunError> {
        let added = match options.special_text {
            SpecialText::Text => &self.names_are_text,
            SpecialText::Tokens => self.steps.get_added_vocabulary(),
        };
        let mut split = added.extract_and_normalize(self.steps.get_normalizer(), text);
        if let Some(step) = self.steps.get_pre_tokenizer() {
            step.pre_tokenize(&mut split).map_err(refused)?;
        }
        split.tokenize(|part| self.tokens(part, options)).map_err(refused)?;
        Ok(split)
    }

    /// Returns the tokens of one part of a text.
    fn tokens(&self, part: &NormalizedString, options: EncodeOptions) -> Result<Vec<Token>, StepError> {
        let model = self.steps.get_model();
        let mut tokens = model.tokenize(part.get())?;
        if options.special_text == SpecialText::Text && tokens.iter().any(|token| self.is_name(token)) {
            tokens = self.without_special(part.get())?;
        }
        let spelt: usize = tokens.iter().map(|token| token.offsets.1 - token.offsets.0).sum();
        if spelt == part.get().len() {
            return Ok(tokens);
        }
        match options.unspelt {
            Unspelt::Dropped => Ok(tokens),
            Unspelt::Refused => Err(self.unspelt(part).into()),
            Unspelt::Token(id) => self.tokens_around(part.get(), id),
        }
    }

    /// Returns true if a model made a special token out of its name.
    ///
    /// The unknown token may be special, and it stands for text. Only Unigram models give it the text that it stands for, so only there
    /// is its name told from other text.
    fn is_name(&self, token: &Token) -> bool {
        let unknown = Some(token.id) == self.special_ids().unk;
        let unigram = matches!(self.steps.get_model(), ModelWrapper::Unigram(_));
        self.special.contains(&token.id)
            && (!unknown || unigram && Some(token.value.as_str()) == self.piece(token.id))
    }

    /// Finds the tokens of a part in which the model would make a special token of a name.
    fn without_special(&self, part: &str) -> Result<Vec<Token>, StepError> {
        let ModelWrapper::Unigram(model) = self.steps.get_model() else {
            return Err(format!(
                "the vocabulary spells {part:?} only by a special token; remove it from the text, or choose that names of special tokens \
                 become tokens"
            )
            .into());
        };
        if self.without_special.get().is_none() {
            // No text contains the empty piece, so it stands in for the pieces of special tokens.
            let kept = |(id, (piece, score)): (usize, &(String, f64))| {
                let special = self.special.contains(&(id as u32));
                (if special { String::new() } else { piece.clone() }, *score)
            };
            let unknown = self.special_ids().unk.map(|id| id as usize);
            let pieces = model.iter().enumerate().map(kept).collect();
            let made = Unigram::from(pieces, unknown, model.byte_fallback())?;
            // Another thread may have made the same model meanwhile.
            let _ = self.without_special.set(made);
        }
        match self.without_special.get() {
            Some(model) => model.tokenize(part),
            None => Err("the model without special tokens is missing".into()),
        }
    }

    /// Returns the reason why a part has no tokens: its first character without a piece, and the place of the character in the text.
    fn unspelt(&self, part: &NormalizedString) -> String {
        let text = part.get();
        let first = text.char_indices().find(|&(_, letter)| !self.spells(letter));
        let (at, letter) = first.unwrap_or_else(|| (0, text.chars().next().unwrap_or_default()));
        let within = part
            .convert_offsets(tokenizers::normalizer::Range::Normalized(at..at + letter.len_utf8()))
            .map_or(0, |range| range.start);
        let position = part.offsets_original().0 + within;
        let what = match byte_of(letter).filter(|_| self.byte_level) {
            Some(byte) => format!("the byte {byte:#04x}"),
            None => format!("the character {letter:?}"),
        };
        format!(
            "no piece of the vocabulary spells {what} at position {position}; remove it from the text, or choose a token for such text"
        )
    }

    /// Returns true if the vocabulary has a piece for a letter, or pieces for its bytes.
    fn spells(&self, letter: char) -> bool {
        let ModelWrapper::BPE(model) = self.steps.get_model() else { return true };
        let prefix = model.continuing_subword_prefix.as_deref().unwrap_or_default();
        let suffix = model.end_of_word_suffix.as_deref().unwrap_or_default();
        let has = |piece: &str| model.token_to_id(piece).is_some();
        let by_bytes = || {
            let mut bytes = [0; 4];
            letter.encode_utf8(&mut bytes).bytes().all(|byte| has(&format!("<{byte:#04X}>")))
        };
        [("", ""), (prefix, ""), ("", suffix), (prefix, suffix)]
            .iter()
            .any(|(before, after)| has(&format!("{before}{letter}{after}")))
            || model.byte_fallback && by_bytes()
    }

    /// Returns the tokens of a part, with the token `id` for each letter that has no piece.
    fn tokens_around(&self, part: &str, id: u32) -> Result<Vec<Token>, StepError> {
        let name = self.piece(id).unwrap_or_default();
        let (mut tokens, mut start) = (Vec::new(), 0);
        let run = |range: Range<usize>, tokens: &mut Vec<Token>| -> Result<(), StepError> {
            for mut token in self.steps.get_model().tokenize(&part[range.clone()])? {
                token.offsets = (token.offsets.0 + range.start, token.offsets.1 + range.start);
                tokens.push(token);
            }
            Ok(())
        };
        for (at, letter) in part.char_indices().filter(|&(_, letter)| !self.spells(letter)) {
            run(start..at, &mut tokens)?;
            start = at + letter.len_utf8();
            tokens.push(Token::new(id, name.to_owned(), (at, start)));
        }
        run(start..part.len(), &mut tokens)?;
        Ok(tokens)
    }
}

/// Returns the letter for a byte in byte-level pieces. Printable Latin-1 stands for itself; the other bytes follow from U+0100 on, in
/// order.
pub(super) fn letter_of(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Returns the byte for which a letter stands in byte-level pieces.
fn byte_of(letter: char) -> Option<u8> {
    (0..=255).find(|&byte| letter_of(byte) == letter)
}
