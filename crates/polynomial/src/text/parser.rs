//! The grammar: sums of products of powers.

use super::tokens::{Token, Tokens, syntax, tokens};
use crate::error::{PolynomialError, limit};
use crate::polynomial::{DEGREE, Polynomial, Product};
use crate::rational::whole;
use num_rational::BigRational;
use num_traits::{One, Zero};
use std::str::FromStr;

/// The deepest nesting of brackets.
const DEPTH: usize = 60;

struct Parser {
    tokens: Tokens,
    next: usize,
    depth: usize,
    work: usize,
}

impl FromStr for Product {
    type Err = PolynomialError;

    fn from_str(text: &str) -> Result<Self, PolynomialError> {
        let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, work: 0 };
        let sum = parser.sum()?;
        match parser.tokens.tokens.get(parser.next) {
            None => Ok(sum),
            Some((position, Token::Sign(')'))) => Err(syntax(*position, "this bracket was not opened")),
            Some((position, _)) => Err(syntax(*position, EXPECTED)),
        }
    }
}

impl FromStr for Polynomial {
    type Err = PolynomialError;

    fn from_str(text: &str) -> Result<Self, PolynomialError> {
        text.parse::<Product>()?.expand()
    }
}

const EXPECTED: &str =
    "expected an operator; a number stands before its factor, or a product is written with *";

impl Parser {
    fn position(&self) -> usize {
        self.tokens.tokens.get(self.next).map_or(self.tokens.end, |(position, _)| *position)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.tokens.get(self.next).map(|(_, token)| token)
    }

    /// Takes the next token and returns it, if it is one of the signs.
    fn take(&mut self, signs: &str) -> Option<char> {
        match self.peek() {
            Some(&Token::Sign(c)) if signs.contains(c) => {
                self.next += 1;
                Some(c)
            }
            _ => None,
        }
    }

    fn sum(&mut self) -> Result<Product, PolynomialError> {
        let mut sign = self.take("+-").unwrap_or('+');
        let mut only = None;
        let mut out = Polynomial::constant(&self.tokens.variables, BigRational::zero());
        for terms in 0.. {
            let mut term = self.product()?;
            if sign == '-' {
                term.constant = -term.constant;
            }
            let more = self.take("+-");
            if terms == 0 && more.is_none() {
                only = Some(term);
                break;
            }
            out = out.plus(&term.expand_within(&mut self.work)?)?;
            let Some(next) = more else { break };
            sign = next;
        }
        if let Some(term) = only {
            return Ok(term);
        }
        let one = if out.terms.is_empty() { BigRational::zero() } else { BigRational::one() };
        let sum = Product::constant(&self.tokens.variables, one);
        // A sum that is a number is a constant and not a factor.
        if out.degree() == 0 {
            return Ok(Product { constant: out.constant_term(), ..sum });
        }
        Ok(Product { factors: vec![(out, 1)], ..sum })
    }

    fn product(&mut self) -> Result<Product, PolynomialError> {
        let mut out = self.power()?;
        let mut divided = false;
        loop {
            let position = self.position();
            let sign = self.take("*/");
            let juxtaposed = sign.is_none() && matches!(self.peek(), Some(Token::Name(_) | Token::Sign('(')));
            if juxtaposed && divided {
                return Err(syntax(
                    position,
                    "a product without a sign after a division could be read in two ways; write 1/2*x or x/(2)",
                ));
            }
            match sign {
                Some('/') => {
                    let divisor = self.power()?;
                    if !divisor.factors.is_empty() {
                        return Err(syntax(position, "a divisor must be a number, but this is a polynomial"));
                    }
                    if divisor.constant.is_zero() {
                        return Err(syntax(position, "division by zero"));
                    }
                    out.constant /= divisor.constant;
                    divided = true;
                }
                None if !juxtaposed => return Ok(out),
                _ => {
                    out = out.times(self.power()?)?;
                    divided = false;
                }
            }
        }
    }

    fn power(&mut self) -> Result<Product, PolynomialError> {
        let base = self.atom()?;
        let (position, exponent) = if let Some(Token::Superscript(exponent)) = self.peek().cloned() {
            self.next += 1;
            (self.position(), exponent)
        } else if self.take("^").is_some() {
            self.exponent()?
        } else {
            return Ok(base);
        };
        let exponent = if exponent.is_integer() { u32::try_from(exponent.to_integer()).ok() } else { None };
        let Some(exponent) = exponent.filter(|&e| e as usize <= DEGREE) else {
            return Err(syntax(position, format!("an exponent must be a whole number up to {DEGREE}")));
        };
        if matches!(self.peek(), Some(Token::Sign('^') | Token::Superscript(_))) {
            return Err(syntax(position, "a power of a power needs brackets"));
        }
        base.power(exponent)
    }

    /// Reads the exponent after `^`, which may have brackets or braces, and returns its position too.
    fn exponent(&mut self) -> Result<(usize, BigRational), PolynomialError> {
        let closing = match self.take("{(") {
            Some('{') => Some("}"),
            Some(_) => Some(")"),
            None => None,
        };
        let position = self.position();
        let Some(Token::Number(exponent)) = self.peek().cloned() else {
            return Err(syntax(position, "expected a whole number as the exponent"));
        };
        self.next += 1;
        match closing {
            Some(closing) if self.take(closing).is_none() => {
                Err(syntax(self.position(), format!("expected {closing:?} after the exponent")))
            }
            _ => Ok((position, exponent)),
        }
    }

    fn atom(&mut self) -> Result<Product, PolynomialError> {
        let position = self.position();
        let token = self.peek().cloned();
        self.next += 1;
        let variables = &self.tokens.variables;
        match token {
            Some(Token::Number(value)) => Ok(Product::constant(variables, value)),
            Some(Token::Name(index)) => {
                let factors = vec![(Polynomial::variable(variables, index), 1)];
                Ok(Product { factors, ..Product::constant(variables, whole(1)) })
            }
            Some(Token::Sign('(')) => {
                self.depth += 1;
                limit("brackets inside brackets", DEPTH, self.depth)?;
                let inside = self.sum()?;
                self.depth -= 1;
                match self.take(")") {
                    Some(_) => Ok(inside),
                    None if self.next >= self.tokens.tokens.len() => {
                        Err(syntax(position, "this bracket is not closed"))
                    }
                    None => Err(syntax(self.position(), EXPECTED)),
                }
            }
            Some(Token::Sign(c)) => {
                Err(syntax(position, format!("expected a number, a name or a bracket, found {c:?}")))
            }
            Some(Token::Superscript(_)) => Err(syntax(position, "an exponent needs a base before it")),
            None => Err(syntax(position, "the text ends where a number, a name or a bracket is needed")),
        }
    }
}
