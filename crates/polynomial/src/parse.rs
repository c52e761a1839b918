//! Reads polynomials from text.

use crate::error::{PolynomialError, limit};
use crate::polynomial::{BITS, DEGREE, Polynomial, VARIABLES};
use crate::rational::whole;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};
use std::str::FromStr;

/// The longest text, in characters.
const TEXT: usize = 10_000;
/// The deepest nesting of brackets.
const DEPTH: usize = 60;
/// The largest number of products of two terms that expanding may take.
const WORK: usize = 500_000;
/// The most digits of a number.
const DIGITS: usize = 100;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(BigRational),
    Name(usize),
    Sign(char),
}

struct Parser {
    /// The tokens, each with the position (from 1) of its first character.
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    variables: Vec<String>,
    depth: usize,
    work: usize,
}

fn syntax(position: usize, message: impl Into<String>) -> PolynomialError {
    PolynomialError::Syntax { position, message: message.into() }
}

impl FromStr for Polynomial {
    type Err = PolynomialError;

    fn from_str(text: &str) -> Result<Self, PolynomialError> {
        let characters: Vec<char> = text.chars().take(TEXT + 1).collect();
        limit("characters", TEXT, characters.len())?;
        let mut parser = Parser::new(&characters)?;
        let sum = parser.sum()?;
        match parser.tokens.get(parser.next) {
            None => Ok(sum),
            Some((position, Token::Sign(')'))) => Err(syntax(*position, "this bracket was not opened")),
            Some((position, _)) => {
                Err(syntax(*position, "expected an operator; a product is written with *"))
            }
        }
    }
}

impl Parser {
    fn new(text: &[char]) -> Result<Self, PolynomialError> {
        let (mut tokens, mut variables) = (Vec::new(), Vec::<String>::new());
        let mut at = 0;
        while at < text.len() {
            let (start, c) = (at, text[at]);
            let run = |from: usize, belongs: fn(char) -> bool| {
                from + text[from..].iter().take_while(|&&c| belongs(c)).count()
            };
            at += 1;
            let token = if c.is_whitespace() {
                continue;
            } else if c.is_ascii_digit() {
                at = run(at, |c| c.is_ascii_digit() || c == '.');
                Token::Number(number(&text[start..at], start + 1)?)
            } else if c.is_alphabetic() || c == '_' {
                at = run(at, |c| c.is_alphanumeric() || c == '_');
                let name: String = text[start..at].iter().collect();
                let index = variables.iter().position(|known| *known == name).unwrap_or(variables.len());
                if index == variables.len() {
                    variables.push(name);
                    limit("variables", VARIABLES, variables.len())?;
                }
                Token::Name(index)
            } else if c == '*' && text.get(at) == Some(&'*') {
                at += 1;
                Token::Sign('^')
            } else if "+-*/^()".contains(c) {
                Token::Sign(c)
            } else if c == '−' {
                Token::Sign('-')
            } else {
                return Err(syntax(
                    start + 1,
                    format!(
                        "unexpected character {c:?}; expected a number, a name, an operator or a bracket"
                    ),
                ));
            };
            tokens.push((start + 1, token));
        }
        Ok(Self { tokens, next: 0, end: text.len() + 1, variables, depth: 0, work: 0 })
    }

    fn position(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(position, _)| *position)
    }

    /// Takes the next token and returns it, if it is one of the signs.
    fn take(&mut self, signs: &str) -> Option<char> {
        match self.tokens.get(self.next) {
            Some((_, Token::Sign(c))) if signs.contains(*c) => {
                self.next += 1;
                Some(*c)
            }
            _ => None,
        }
    }

    fn multiply(&mut self, a: &Polynomial, b: &Polynomial) -> Result<Polynomial, PolynomialError> {
        self.work += a.terms.len() * b.terms.len();
        limit("products of terms to expand", WORK, self.work)?;
        a.times(b)
    }

    fn sum(&mut self) -> Result<Polynomial, PolynomialError> {
        let mut out = Polynomial::constant(&self.variables, BigRational::zero());
        let mut sign = self.take("+-").unwrap_or('+');
        loop {
            let term = self.product()?;
            let factor = whole(if sign == '-' { -1 } else { 1 });
            out = out.plus(&term.scaled(&factor))?;
            match self.take("+-") {
                Some(next) => sign = next,
                None => return Ok(out),
            }
        }
    }

    fn product(&mut self) -> Result<Polynomial, PolynomialError> {
        let mut out = self.power()?;
        loop {
            let position = self.position();
            match self.take("*/") {
                Some('*') => {
                    let factor = self.power()?;
                    out = self.multiply(&out, &factor)?;
                }
                Some(_) => {
                    let divisor = self.power()?;
                    if divisor.degree() > 0 {
                        return Err(syntax(position, "a divisor must be a number, but this is a polynomial"));
                    }
                    let Some(value) = divisor.terms.values().next() else {
                        return Err(syntax(position, "division by zero"));
                    };
                    out = out.scaled(&value.recip());
                }
                None => return Ok(out),
            }
        }
    }

    fn power(&mut self) -> Result<Polynomial, PolynomialError> {
        let base = self.atom()?;
        if self.take("^").is_none() {
            return Ok(base);
        }
        let position = self.position();
        let Some((_, Token::Number(exponent))) = self.tokens.get(self.next).cloned() else {
            return Err(syntax(position, "expected a whole number as the exponent"));
        };
        self.next += 1;
        let exponent = if exponent.is_integer() { u32::try_from(exponent.to_integer()).ok() } else { None };
        let Some(exponent) = exponent.filter(|&e| e as usize <= DEGREE) else {
            return Err(syntax(position, format!("an exponent must be a whole number up to {DEGREE}")));
        };
        if self.take("^").is_some() {
            return Err(syntax(position, "a power of a power needs brackets"));
        }
        if base.terms.len() == 1 {
            // A power of a single term needs no expansion.
            let (exponents, coefficient) = base.terms.iter().next().expect("one term");
            let exponents = exponents.iter().map(|e| e.saturating_mul(exponent)).collect();
            let bits = coefficient.numer().bits().max(coefficient.denom().bits());
            limit("bits of a coefficient", BITS as usize, (bits as usize).saturating_mul(exponent as usize))?;
            return Polynomial::new(self.variables.clone(), [(exponents, coefficient.pow(exponent as i32))]);
        }
        limit("degree", DEGREE, base.degree().saturating_mul(exponent as usize))?;
        let mut out = Polynomial::constant(&self.variables, BigRational::one());
        for _ in 0..exponent {
            out = self.multiply(&out, &base)?;
        }
        Ok(out)
    }

    fn atom(&mut self) -> Result<Polynomial, PolynomialError> {
        let position = self.position();
        let token = self.tokens.get(self.next).map(|(_, token)| token.clone());
        self.next += 1;
        match token {
            Some(Token::Number(value)) => Ok(Polynomial::constant(&self.variables, value)),
            Some(Token::Name(index)) => Ok(Polynomial::variable(&self.variables, index)),
            Some(Token::Sign('(')) => {
                self.depth += 1;
                limit("brackets inside brackets", DEPTH, self.depth)?;
                let inside = self.sum()?;
                self.depth -= 1;
                match self.take(")") {
                    Some(_) => Ok(inside),
                    None if self.next >= self.tokens.len() => {
                        Err(syntax(position, "this bracket is not closed"))
                    }
                    None => Err(syntax(self.position(), "expected an operator; a product is written with *")),
                }
            }
            Some(Token::Sign(c)) => {
                Err(syntax(position, format!("expected a number, a name or a bracket, found {c:?}")))
            }
            None => Err(syntax(position, "the text ends where a number, a name or a bracket is needed")),
        }
    }
}

/// Reads a decimal as a fraction.
fn number(digits: &[char], position: usize) -> Result<BigRational, PolynomialError> {
    let text: String = digits.iter().collect();
    let (whole_part, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.contains('.') {
        return Err(syntax(position, format!("{text:?} is not a number")));
    }
    limit("digits of a number", DIGITS, whole_part.len() + fraction.len())?;
    let digits: BigInt = format!("{whole_part}{fraction}").parse().expect("only digits");
    Ok(BigRational::new(digits, BigInt::from(10).pow(fraction.len() as u32)))
}
