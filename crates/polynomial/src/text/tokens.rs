//! Divides a text into numbers, names and signs.

use crate::error::{PolynomialError, limit};
use crate::polynomial::names::{LENGTH, is_greek, is_letter, subscript, superscript};
use crate::polynomial::{BITS, VARIABLES};
use num_bigint::BigInt;
use num_rational::BigRational;

/// The longest text, in characters. It is above the length of every polynomial that this crate prints.
const TEXT: usize = 5_000_000;
/// The most digits of a number: those of the largest coefficient.
const DIGITS: usize = BITS as usize * 3 / 10 + 2;
/// The most letters in a row that are read as a product.
const LETTERS: usize = 3;
/// Names of functions, which are not polynomials.
const FUNCTIONS: [&str; 14] =
    ["sin", "cos", "tan", "exp", "log", "ln", "abs", "max", "min", "sqrt", "tanh", "relu", "sinh", "cosh"];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(BigRational),
    Name(usize),
    /// An exponent that is written as a superscript.
    Superscript(BigRational),
    Sign(char),
}

/// The tokens, each with the position (from 1) of its first character, and the names in the order of their occurrence.
pub(super) struct Tokens {
    pub(super) tokens: Vec<(usize, Token)>,
    pub(super) variables: Vec<String>,
    /// The position after the last character.
    pub(super) end: usize,
}

pub(super) fn syntax(position: usize, message: impl Into<String>) -> PolynomialError {
    PolynomialError::Syntax { position, message: message.into() }
}

/// Divides a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Tokens, PolynomialError> {
    let text: Vec<char> = text.chars().take(TEXT + 1).collect();
    limit("characters", TEXT, text.len())?;
    let mut reader = Reader { text: &text, at: 0, variables: Vec::new() };
    let mut tokens = Vec::new();
    while let Some(&c) = text.get(reader.at) {
        let start = reader.at;
        if c.is_whitespace() {
            reader.at += 1;
        } else if is_letter(c) {
            reader.names(&mut tokens)?;
        } else {
            let token = reader.other(c)?;
            tokens.push((start + 1, token));
        }
    }
    Ok(Tokens { tokens, variables: reader.variables, end: text.len() + 1 })
}

struct Reader<'a> {
    text: &'a [char],
    at: usize,
    variables: Vec<String>,
}

impl Reader<'_> {
    /// Takes characters as long as they belong to a kind.
    fn run(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|&c| belongs(c)) {
            self.at += 1;
        }
        self.text[start..self.at].iter().collect()
    }

    /// Reads a number, an exponent or a sign.
    fn other(&mut self, c: char) -> Result<Token, PolynomialError> {
        let start = self.at;
        if c.is_ascii_digit() {
            let digits = self.run(|c| c.is_ascii_digit() || c == '.');
            let after = |k: usize| self.text.get(self.at + k).copied().unwrap_or(' ');
            let scientific =
                after(1).is_ascii_digit() || ("+-".contains(after(1)) && after(2).is_ascii_digit());
            if "eE".contains(after(0)) && scientific {
                return Err(syntax(
                    start + 1,
                    format!(
                        "{digits}{}… could be a power of ten or a variable; write 1/1000 or 2*e",
                        after(0)
                    ),
                ));
            }
            return Ok(Token::Number(number(&digits, start + 1)?));
        }
        if superscript(c).is_some() {
            let digits = self.run(|c| superscript(c).is_some());
            let digits: String = digits.chars().filter_map(superscript).collect();
            return Ok(Token::Superscript(number(&digits, start + 1)?));
        }
        self.at += 1;
        Ok(Token::Sign(match c {
            '*' if self.text.get(self.at) == Some(&'*') => {
                self.at += 1;
                '^'
            }
            '·' | '⋅' | '×' | '∗' => '*',
            '−' => '-',
            c if "+-*/^(){}".contains(c) => c,
            c => {
                let expected = "expected a number, a name, an operator or a bracket";
                return Err(syntax(start + 1, format!("unexpected character {c:?}; {expected}")));
            }
        }))
    }

    /// Reads letters in a row: one name, or a product of names of one letter.
    fn names(&mut self, tokens: &mut Vec<(usize, Token)>) -> Result<(), PolynomialError> {
        let start = self.at;
        let letters: Vec<char> = self.run(is_letter).chars().collect();
        let word: String = letters.iter().take(LENGTH).collect();
        if FUNCTIONS.contains(&word.as_str()) {
            return Err(syntax(
                start + 1,
                format!("{word:?} is the name of a function; expected a polynomial"),
            ));
        }
        let parts: Vec<String> = if is_greek(&word) {
            vec![word]
        } else if letters.len() <= LETTERS {
            letters.iter().map(char::to_string).collect()
        } else {
            let product: Vec<String> = letters.iter().take(LENGTH).map(char::to_string).collect();
            return Err(syntax(
                start + 1,
                format!(
                    "{word:?} could be one name or a product; write {} for the product, or a name of one letter such as {}_1",
                    product.join("*"),
                    letters[0]
                ),
            ));
        };
        let last = parts.len() - 1;
        for (k, mut name) in parts.into_iter().enumerate() {
            if k == last {
                name.push_str(&self.suffix()?);
            }
            limit("characters of a name", LENGTH, name.chars().count())?;
            let index =
                self.variables.iter().position(|known| *known == name).unwrap_or(self.variables.len());
            if index == self.variables.len() {
                self.variables.push(name);
                limit("variables", VARIABLES, self.variables.len())?;
            }
            tokens.push((start + k + 1, Token::Name(index)));
        }
        Ok(())
    }

    /// Reads the subscript of a name.
    fn suffix(&mut self) -> Result<String, PolynomialError> {
        let start = self.at;
        let next = |k: usize| self.text.get(start + k).copied().unwrap_or(' ');
        let (braces, below) = match (next(0), next(1)) {
            ('_', '{') => (true, 2),
            ('_', _) => (false, 1),
            _ => (false, 0),
        };
        if below == 0 {
            let digits = self.run(|c| subscript(c).is_some());
            return Ok(if digits.is_empty() {
                self.run(|c| c.is_ascii_digit())
            } else {
                format!("_{}", digits.chars().filter_map(subscript).collect::<String>())
            });
        }
        self.at += below;
        let digits = self.run(|c| c.is_ascii_digit());
        let inside = if digits.is_empty() { self.run(is_letter) } else { digits };
        let closed = !braces || self.text.get(self.at) == Some(&'}');
        if inside.is_empty() || !closed {
            return Err(syntax(
                start + 1,
                "a subscript must be digits or letters, such as x_1, x_{12} or w_max",
            ));
        }
        self.at += usize::from(braces);
        Ok(format!("_{inside}"))
    }
}

/// Reads a decimal as a fraction.
fn number(text: &str, position: usize) -> Result<BigRational, PolynomialError> {
    let (whole_part, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.contains('.') {
        return Err(syntax(position, format!("{text:?} is not a number")));
    }
    limit("digits of a number", DIGITS, whole_part.len() + fraction.len())?;
    let digits: BigInt = format!("{whole_part}{fraction}").parse().expect("only digits");
    Ok(BigRational::new(digits, BigInt::from(10).pow(fraction.len() as u32)))
}
