use super::setup::{CONTEXT, LanguageModelSetup};
use crate::error::StudyError;
use crate::sequence::Sequence;
use collimate_measure::ensure;
use collimate_sae::SaeError;

/// A rest of a longer document that has fewer tokens is left out.
const SHORTEST_REST: usize = 8;

/// The division of texts into sequences of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The length of the longest sequence, with the start token.
    pub context: usize,
    /// The largest number of tokens, without start tokens.
    pub tokens: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Self { context: CONTEXT, tokens: usize::MAX }
    }
}

impl LanguageModelSetup {
    /// Cuts texts into sequences, each with the start token in front, until the given number of tokens is reached.
    ///
    /// A text is cut into pieces of `context − 1` tokens. A short text is one piece. The rest of a longer text is left out if it has
    /// fewer than 8 tokens. The last piece is cut short where the number of tokens ends.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] unless `context` is between 2 and the context length of the model; [`StudyError::Model`] when the
    /// vocabulary cannot spell a text.
    pub fn pieces<'a>(
        &self,
        texts: impl IntoIterator<Item = (u32, &'a str)>,
        pieces: Pieces,
    ) -> Result<Vec<Sequence>, StudyError> {
        let fits = pieces.context >= 2 && pieces.context <= self.model.description().context;
        ensure(fits, "context", "between 2 and the context length of the model", pieces.context as f64)
            .map_err(SaeError::from)?;
        let mut sequences = Vec::new();
        let mut left = pieces.tokens;
        for (document, text) in texts {
            if left == 0 {
                break;
            }
            let tokens = self.tokenizer.encode(text)?;
            for piece in cut(&tokens, pieces.context - 1, &mut left) {
                let tokens = std::iter::once(self.start).chain(piece.iter().copied()).collect();
                sequences.push(Sequence { document, tokens });
            }
        }
        Ok(sequences)
    }
}

/// Cuts the tokens of a document, and takes the number of tokens in the pieces off `left`.
fn cut<'a>(tokens: &'a [u32], longest: usize, left: &mut usize) -> Vec<&'a [u32]> {
    let mut pieces = Vec::new();
    for (number, piece) in tokens.chunks(longest).enumerate() {
        if number > 0 && piece.len() < SHORTEST_REST.min(longest) {
            break;
        }
        let piece = &piece[..piece.len().min(*left)];
        if piece.is_empty() {
            break;
        }
        *left -= piece.len();
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_tokens_is_a_limit_and_short_texts_stay() {
        let tokens: Vec<u32> = (0..765).collect();
        let lengths = |tokens: &[u32], longest, mut left| {
            let pieces: Vec<usize> =
                cut(tokens, longest, &mut left).iter().map(|piece| piece.len()).collect();
            (pieces, left)
        };
        assert_eq!(lengths(&tokens, 255, 600), (vec![255, 255, 90], 0));
        assert_eq!(lengths(&tokens, 255, 765), (vec![255; 3], 0));
        assert_eq!(lengths(&tokens, 255, 513), (vec![255, 255, 3], 0));
        assert_eq!(lengths(&tokens[..3], 255, 600), (vec![3], 597));
        // A rest of 7 tokens is left out, one of 8 is not.
        assert_eq!(lengths(&tokens[..262], 255, 600), (vec![255], 345));
        assert_eq!(lengths(&tokens[..263], 255, 600), (vec![255, 8], 337));
        assert_eq!(lengths(&[], 255, 600), (vec![], 600));
        assert_eq!(lengths(&tokens, 255, 0), (vec![], 0));
        // Whole pieces are no rest, however short the longest sequence is.
        assert_eq!(lengths(&tokens[..3], 1, 9), (vec![1, 1, 1], 6));
    }
}
