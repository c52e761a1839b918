//! Polynomials in one variable over a field of real algebraic numbers: division, square-free parts, real roots.

use super::field::{Field, Number};
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// Coefficients, constant first, without leading zeros.
type Coefficients = Vec<Number>;

impl Field {
    /// Removes leading zeros.
    pub(crate) fn trim(&self, mut p: Coefficients) -> Coefficients {
        while p.last().is_some_and(|lead| self.is_zero(lead)) {
            p.pop();
        }
        p
    }

    pub(crate) fn subtract_polynomials(&self, a: &[Number], b: &[Number]) -> Coefficients {
        let mut out = a.to_vec();
        out.resize(a.len().max(b.len()), Number::zero());
        for (x, y) in out.iter_mut().zip(b) {
            *x = self.add(x, &self.negate(y));
        }
        self.trim(out)
    }

    pub(crate) fn multiply_polynomials(&self, a: &[Number], b: &[Number]) -> Coefficients {
        let mut out = vec![Number::zero(); (a.len() + b.len()).saturating_sub(1)];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                out[i + j] = self.add(&out[i + j], &self.multiply(x, y));
            }
        }
        self.trim(out)
    }

    /// Returns quotient and remainder of a division by `b`, which is not zero.
    pub(crate) fn divide(&self, a: &[Number], b: &[Number]) -> (Coefficients, Coefficients) {
        if self.is_spent() {
            return (Vec::new(), Vec::new());
        }
        let (mut rest, degree) = (a.to_vec(), b.len() - 1);
        let scale = self.invert(&b[degree]);
        let mut quotient = vec![Number::zero(); a.len().saturating_sub(degree)];
        while rest.len() > degree {
            let shift = rest.len() - 1 - degree;
            let factor = self.multiply(&rest.pop().expect("longer than the divisor"), &scale);
            for (k, c) in b[..degree].iter().enumerate() {
                rest[shift + k] = self.add(&rest[shift + k], &self.negate(&self.multiply(&factor, c)));
            }
            quotient[shift] = factor;
        }
        (self.trim(quotient), self.trim(rest))
    }

    /// Divides a polynomial by its leading coefficient.
    pub(crate) fn monic(&self, p: &[Number]) -> Coefficients {
        let Some(lead) = p.last() else { return Vec::new() };
        let scale = self.invert(lead);
        p.iter().map(|c| self.multiply(c, &scale)).collect()
    }

    /// Returns the monic greatest common divisor. For two zeros it is zero.
    pub(crate) fn gcd(&self, a: &[Number], b: &[Number]) -> Coefficients {
        let (mut a, mut b) = (self.trim(a.to_vec()), self.trim(b.to_vec()));
        while !b.is_empty() {
            if self.is_spent() {
                return vec![Number::one()];
            }
            let remainder = self.monic(&self.divide(&a, &b).1);
            (a, b) = (b, remainder);
        }
        self.monic(&a)
    }

    pub(crate) fn derivative(&self, p: &[Number]) -> Coefficients {
        let times = |(k, c): (usize, &Number)| self.multiply(c, &BigRational::from(BigInt::from(k)).into());
        self.trim(p.iter().enumerate().skip(1).map(times).collect())
    }

    /// Returns the value at a rational number.
    pub(crate) fn value(&self, p: &[Number], x: &BigRational) -> Number {
        let x = Number::Rational(x.clone());
        p.iter().rev().fold(Number::zero(), |sum, c| self.add(&self.multiply(&sum, &x), c))
    }

    /// Returns monic square-free polynomials and their exponents. Their product is `p` up to a constant (Yun's algorithm).
    pub(crate) fn square_free(&self, p: &[Number]) -> Vec<(Coefficients, u32)> {
        let slope = self.derivative(p);
        let repeated = self.gcd(p, &slope);
        let (mut left, mut rest) = (self.divide(p, &repeated).0, self.divide(&slope, &repeated).0);
        let mut parts = Vec::new();
        for exponent in 1.. {
            if left.len() < 2 || self.is_spent() {
                break;
            }
            rest = self.subtract_polynomials(&rest, &self.derivative(&left));
            let part = self.gcd(&left, &rest);
            left = self.divide(&left, &part).0;
            rest = self.divide(&rest, &part).0;
            if part.len() > 1 {
                parts.push((part, exponent));
            }
        }
        parts
    }

    /// Returns Sturm's sequence.
    fn sturm(&self, p: &[Number]) -> Vec<Coefficients> {
        let mut chain = vec![p.to_vec(), self.derivative(p)];
        while chain.last().is_some_and(|p| !p.is_empty()) && !self.is_spent() {
            let remainder = self.divide(&chain[chain.len() - 2], &chain[chain.len() - 1]).1;
            chain.push(remainder.iter().map(|c| self.negate(c)).collect());
        }
        chain.retain(|p| !p.is_empty());
        chain
    }

    /// Counts the changes of sign of Sturm's sequence at a number (`Ok`), or below (`Err(false)`) or above (`Err(true)`) all
    /// roots.
    fn changes(&self, chain: &[Coefficients], at: Result<&BigRational, bool>) -> usize {
        let sign = |p: &Coefficients| match at {
            Ok(x) => self.sign(&self.value(p, x)),
            Err(above) => {
                let lead = self.sign(&p[p.len() - 1]);
                if above || p.len() % 2 == 1 { lead } else { -lead }
            }
        };
        let signs: Vec<i8> = chain.iter().map(sign).filter(|&s| s != 0).collect();
        signs.windows(2).filter(|w| w[0] != w[1]).count()
    }

    /// Returns the number of different real roots.
    pub(crate) fn count_real_roots(&self, p: &[Number]) -> usize {
        if p.len() < 2 {
            return 0;
        }
        let chain = self.sturm(p);
        self.changes(&chain, Err(false)).saturating_sub(self.changes(&chain, Err(true)))
    }

    /// Returns the real roots of a square-free polynomial, each with the field that contains it.
    ///
    /// Roots in ℚ, and the root of a polynomial of degree one, need no larger field.
    pub(crate) fn real_roots(&self, p: &[Number]) -> Vec<(Field, Number)> {
        match p.len() {
            0 | 1 => return Vec::new(),
            2 => {
                let root = self.negate(&self.multiply(&p[0], &self.invert(&p[1])));
                return vec![(self.clone(), root)];
            }
            _ => {}
        }
        let p = self.monic(p);
        if self.is_spent() {
            return Vec::new();
        }
        match self.isolate(&p) {
            Err(rational) => {
                let mut roots = vec![(self.clone(), Number::Rational(rational.clone()))];
                let rest = self.divide(&p, &[Number::Rational(-rational), Number::one()]).0;
                roots.extend(self.real_roots(&rest));
                roots
            }
            Ok(intervals) => intervals.into_iter().map(|(l, h)| self.adjoin(p.clone(), l, h)).collect(),
        }
    }

    /// Returns intervals with one root each and none at their ends, or a rational root as `Err`.
    fn isolate(&self, p: &[Number]) -> Result<Vec<(BigRational, BigRational)>, BigRational> {
        let chain = self.sturm(p);
        let largest = |c: &Number| {
            let (low, high) = self.interval(c);
            low.abs().max(high.abs())
        };
        let bound = p.iter().map(largest).max().unwrap_or_else(BigRational::zero) + BigRational::one();
        let two = BigRational::from(BigInt::from(2));
        let (mut open, mut found) = (vec![(-bound.clone(), bound)], Vec::new());
        while let Some((low, high)) = open.pop() {
            if self.is_spent() {
                return Ok(Vec::new());
            }
            let roots = self.changes(&chain, Ok(&low)).saturating_sub(self.changes(&chain, Ok(&high)));
            let narrow = roots == 1 && self.rational_is_excluded(p, &low, &high)?;
            if roots == 0 || narrow {
                found.extend((roots == 1).then_some((low, high)));
                continue;
            }
            let middle = (&low + &high) / &two;
            if self.is_zero(&self.value(p, &middle)) {
                return Err(middle);
            }
            open.push((middle.clone(), high));
            open.push((low, middle));
        }
        found.sort();
        Ok(found)
    }

    /// Returns true if the one root in an interval is known not to be rational. A rational root is returned as `Err`.
    ///
    /// A rational root of a polynomial with integer coefficients is a multiple of one over the leading coefficient. Over a
    /// larger field nothing is tried, because there a rational root is correct and only adds a level.
    fn rational_is_excluded(
        &self,
        p: &[Number],
        low: &BigRational,
        high: &BigRational,
    ) -> Result<bool, BigRational> {
        let mut denominator = BigInt::one();
        for c in p {
            match c {
                Number::Rational(c) => denominator = denominator.lcm(c.denom()),
                Number::Extended { .. } => return Ok(true),
            }
        }
        let scale = BigRational::from(denominator);
        if (high - low) * &scale >= BigRational::one() {
            return Ok(false);
        }
        let candidate = (high * &scale).floor() / scale;
        if candidate > *low && self.is_zero(&self.value(p, &candidate)) { Err(candidate) } else { Ok(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polynomial(coefficients: &[i64]) -> Coefficients {
        coefficients.iter().map(|&c| BigRational::from(BigInt::from(c)).into()).collect()
    }

    #[test]
    fn real_roots_are_counted_and_separated() {
        let field = Field::default();
        // (x − 1)(x + 2)(x² − 2)(x² + 1): four real roots, two of them rational.
        let product = [&[-1, 1][..], &[2, 1], &[-2, 0, 1], &[1, 0, 1]]
            .iter()
            .fold(polynomial(&[1]), |p, q| field.multiply_polynomials(&p, &polynomial(q)));
        assert_eq!(field.count_real_roots(&product), 4);
        let roots = field.real_roots(&product);
        assert_eq!(roots.len(), 4);
        assert_eq!(roots.iter().filter(|(_, root)| matches!(root, Number::Rational(_))).count(), 2);
        for (field, root) in &roots {
            let value =
                product.iter().rev().fold(Number::zero(), |s, c| field.add(&field.multiply(&s, root), c));
            assert!(field.is_zero(&value));
        }
        // Powers: (x − 1)³ (x² − 2)².
        let cubed = field.multiply_polynomials(&polynomial(&[-1, 3, -3, 1]), &polynomial(&[4, 0, -4, 0, 1]));
        let exponents: Vec<u32> = field.square_free(&cubed).iter().map(|part| part.1).collect();
        assert_eq!((exponents, field.count_real_roots(&cubed)), (vec![2, 3], 3));
    }

    #[test]
    fn a_tower_of_fields_has_an_exact_zero_test() {
        let field = Field::default();
        let sqrt = |field: &Field, x: &Number| {
            let p = vec![field.negate(x), Number::zero(), Number::one()];
            field.real_roots(&p).pop().unwrap()
        };
        let number = |x: i64| Number::Rational(BigRational::from(BigInt::from(x)));
        let (field, a) = sqrt(&field, &number(2));
        let (field, b) = sqrt(&field, &number(3));
        let (field, c) = sqrt(&field, &number(6));
        // √6 = √2 √3 and not its negative; the modulus x² − 6 splits over ℚ(√2, √3).
        let product = field.multiply(&a, &b);
        assert!(field.is_zero(&field.add(&c, &field.negate(&product))));
        assert!(!field.is_zero(&field.add(&c, &product)));
        // √2 + √3 − √6 > 0, and it has an inverse.
        let sum = field.add(&field.add(&a, &b), &field.negate(&c));
        assert_eq!(field.sign(&sum), 1);
        let one = field.multiply(&sum, &field.invert(&sum));
        assert!(field.is_zero(&field.add(&one, &number(-1))));
    }
}
