//! Writes polynomials as text that reads back as an equal polynomial.

use super::{Polynomial, Product};
use num_traits::{One, Signed};
use std::fmt;

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return write!(f, "0");
        }
        for (index, (exponents, coefficient)) in self.terms.iter().rev().enumerate() {
            let sign = if coefficient.is_negative() { "-" } else { "+" };
            match (index, sign) {
                (0, "-") => write!(f, "-")?,
                (0, _) => {}
                _ => write!(f, " {sign} ")?,
            }
            let size = coefficient.abs();
            let factors: Vec<String> = self
                .variables
                .iter()
                .zip(exponents)
                .filter(|(_, e)| **e > 0)
                .map(|(name, &e)| if e == 1 { name.clone() } else { format!("{name}^{e}") })
                .collect();
            match (size.is_one(), factors.is_empty()) {
                (_, true) => write!(f, "{size}")?,
                (true, false) => write!(f, "{}", factors.join("*"))?,
                (false, false) => write!(f, "{size}*{}", factors.join("*"))?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        if !self.constant.is_one() || self.factors.is_empty() {
            write!(f, "{}", self.constant)?;
            first = false;
        }
        for (factor, exponent) in &self.factors {
            if !std::mem::take(&mut first) {
                write!(f, "*")?;
            }
            write!(f, "({factor})^{exponent}")?;
        }
        Ok(())
    }
}
