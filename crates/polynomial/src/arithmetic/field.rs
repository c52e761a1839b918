//! Real algebraic numbers: towers of extensions of ℚ. Each extension adds the one root that lies in an interval.
//!
//! A modulus need not be irreducible. If a zero test finds a common factor, the interval decides which factor has the
//! root, and the modulus becomes that factor. Elements stay valid, because they are polynomials in the root.

use super::work::Work;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use std::cell::RefCell;
use std::rc::Rc;

/// The number of times that the interval of a new root is halved, so that most signs follow from it.
const SHARP: usize = 48;

/// An element of a [`Field`].
#[derive(Clone, Debug)]
pub(crate) enum Number {
    /// An element of ℚ.
    Rational(BigRational),
    /// A polynomial in the root of a level, constant first, with coefficients below that level.
    Extended { level: usize, coefficients: Vec<Number> },
}

impl Number {
    pub(crate) fn zero() -> Self {
        Self::Rational(BigRational::zero())
    }

    pub(crate) fn one() -> Self {
        Self::Rational(BigRational::one())
    }

    /// Returns true if the number is written as zero. Other forms can be zero too, see [`Field::is_zero`].
    pub(crate) fn is_plain_zero(&self) -> bool {
        matches!(self, Self::Rational(x) if x.is_zero())
    }

    fn level(&self) -> Option<usize> {
        match self {
            Self::Rational(_) => None,
            Self::Extended { level, .. } => Some(*level),
        }
    }

    /// Returns the coefficients of this number as a polynomial in the root of level `at`.
    fn at(&self, at: usize) -> Vec<Number> {
        match self {
            Self::Extended { level, coefficients } if *level == at => coefficients.clone(),
            other => vec![other.clone()],
        }
    }

    fn pack(level: usize, mut coefficients: Vec<Number>) -> Self {
        while coefficients.last().is_some_and(Number::is_plain_zero) {
            coefficients.pop();
        }
        match coefficients.len() {
            0 => Self::zero(),
            1 => coefficients.swap_remove(0),
            _ => Self::Extended { level, coefficients },
        }
    }
}

impl From<BigRational> for Number {
    fn from(x: BigRational) -> Self {
        Self::Rational(x)
    }
}

#[derive(Clone, Debug)]
struct Level {
    /// The monic polynomial of the root, constant first. It has exactly one root between `low` and `high`, and none at them.
    modulus: Vec<Number>,
    low: BigRational,
    high: BigRational,
}

/// ℚ with real roots adjoined one after the other.
///
/// If the work is spent, every operation ends early with some value. The caller must look at the work before it uses results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Field {
    levels: RefCell<Vec<Level>>,
    work: Rc<Work>,
}

impl Field {
    /// Returns ℚ. Its operations take steps off `work`.
    pub(crate) fn rationals(work: &Rc<Work>) -> Self {
        Self { levels: RefCell::default(), work: Rc::clone(work) }
    }

    /// Returns true if the work is spent.
    pub(crate) fn is_spent(&self) -> bool {
        self.work.is_spent()
    }

    /// Returns this field extended by the root of a monic square-free polynomial between two rational numbers, and the root.
    pub(crate) fn adjoin(&self, modulus: Vec<Number>, low: BigRational, high: BigRational) -> (Self, Number) {
        let mut levels = self.levels.borrow().clone();
        let level = levels.len();
        levels.push(Level { modulus, low, high });
        let root = Number::Extended { level, coefficients: vec![Number::zero(), Number::one()] };
        let field = Self { levels: RefCell::new(levels), work: Rc::clone(&self.work) };
        (0..SHARP).for_each(|_| field.refine(level));
        (field, root)
    }

    /// Returns the degree over ℚ by the present moduli, which need not be irreducible.
    pub(crate) fn degree(&self) -> usize {
        self.levels.borrow().iter().map(|level| level.modulus.len() - 1).product()
    }

    fn modulus(&self, level: usize) -> Vec<Number> {
        self.levels.borrow()[level].modulus.clone()
    }

    fn bounds(&self, level: usize) -> (BigRational, BigRational) {
        let levels = self.levels.borrow();
        (levels[level].low.clone(), levels[level].high.clone())
    }

    pub(crate) fn add(&self, a: &Number, b: &Number) -> Number {
        let Some(level) = a.level().max(b.level()) else {
            let (Number::Rational(a), Number::Rational(b)) = (a, b) else {
                unreachable!("both are rational")
            };
            self.work.spend(1);
            return Number::Rational(a + b);
        };
        let (a, b) = (a.at(level), b.at(level));
        let (mut long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
        for (x, y) in long.iter_mut().zip(&short) {
            *x = self.add(x, y);
        }
        Number::pack(level, long)
    }

    pub(crate) fn negate(&self, a: &Number) -> Number {
        match a {
            Number::Rational(x) => Number::Rational(-x),
            Number::Extended { level, coefficients } => Number::Extended {
                level: *level,
                coefficients: coefficients.iter().map(|c| self.negate(c)).collect(),
            },
        }
    }

    pub(crate) fn multiply(&self, a: &Number, b: &Number) -> Number {
        let Some(level) = a.level().max(b.level()) else {
            let (Number::Rational(a), Number::Rational(b)) = (a, b) else {
                unreachable!("both are rational")
            };
            let words = |x: &BigRational| (x.numer().bits() + x.denom().bits()) / 64 + 1;
            self.work.spend(1 + words(a) * words(b) / 16);
            return Number::Rational(a * b);
        };
        let product = self.convolve(&a.at(level), &b.at(level));
        Number::pack(level, self.reduce(level, product))
    }

    /// Returns the product of two polynomials, including leading zeros.
    fn convolve(&self, a: &[Number], b: &[Number]) -> Vec<Number> {
        let mut out = vec![Number::zero(); (a.len() + b.len()).saturating_sub(1)];
        for (i, x) in a.iter().enumerate().filter(|(_, x)| !x.is_plain_zero()) {
            for (j, y) in b.iter().enumerate() {
                out[i + j] = self.add(&out[i + j], &self.multiply(x, y));
            }
        }
        out
    }

    /// Returns the remainder after division by the monic modulus of a level.
    fn reduce(&self, level: usize, mut p: Vec<Number>) -> Vec<Number> {
        let modulus = self.modulus(level);
        let degree = modulus.len() - 1;
        while p.len() > degree {
            let lead = p.pop().expect("longer than the degree");
            if lead.is_plain_zero() {
                continue;
            }
            let shift = p.len() - degree;
            for (k, m) in modulus[..degree].iter().enumerate() {
                p[shift + k] = self.add(&p[shift + k], &self.negate(&self.multiply(&lead, m)));
            }
        }
        p
    }

    /// Returns true if the number is zero.
    pub(crate) fn is_zero(&self, a: &Number) -> bool {
        let (level, p) = match a {
            Number::Rational(x) => return x.is_zero(),
            Number::Extended { level, coefficients } => (*level, self.reduce(*level, coefficients.clone())),
        };
        let p = self.trim(p);
        if p.len() < 2 || self.is_spent() {
            return p.is_empty();
        }
        // For nearly every number that is not written as zero, the interval excludes zero.
        let (low, high) = self.interval(&Number::Extended { level, coefficients: p.clone() });
        if low.is_positive() || high.is_negative() {
            return false;
        }
        let modulus = self.modulus(level);
        let common = self.gcd(&p, &modulus);
        if common.len() < 2 || self.is_spent() {
            return false;
        }
        // The one simple root in the interval belongs to the common factor or to the other factor.
        let (low, high) = self.bounds(level);
        let zero = self.sign(&self.value(&common, &low)) != self.sign(&self.value(&common, &high));
        let factor = if zero { common } else { self.monic(&self.divide(&modulus, &common).0) };
        self.levels.borrow_mut()[level].modulus = factor;
        zero
    }

    /// Returns the inverse of a number that is not zero.
    pub(crate) fn invert(&self, a: &Number) -> Number {
        let (level, p) = match a {
            Number::Rational(x) => return Number::Rational(x.recip()),
            Number::Extended { level, coefficients } => (*level, coefficients.clone()),
        };
        // The zero test removes the common factor of the modulus and the number.
        let zero = self.is_zero(a);
        if self.is_spent() {
            return Number::one();
        }
        assert!(!zero, "zero has no inverse");
        let (mut r0, mut r1) = (self.modulus(level), self.trim(self.reduce(level, p)));
        let (mut t0, mut t1) = (Vec::new(), vec![Number::one()]);
        while r1.len() > 1 && !self.is_spent() {
            let (quotient, remainder) = self.divide(&r0, &r1);
            let t2 = self.subtract_polynomials(&t0, &self.multiply_polynomials(&quotient, &t1));
            (r0, r1, t0, t1) = (r1, remainder, t1, t2);
        }
        if self.is_spent() {
            return Number::one();
        }
        let scale = self.invert(&r1[0]);
        Number::pack(level, t1.iter().map(|t| self.multiply(t, &scale)).collect())
    }

    /// Returns the sign: −1, 0 or 1.
    pub(crate) fn sign(&self, a: &Number) -> i8 {
        if self.is_zero(a) {
            return 0;
        }
        loop {
            let (low, high) = self.interval(a);
            if low.is_positive() || self.is_spent() {
                return 1;
            }
            if high.is_negative() {
                return -1;
            }
            for level in 0..=a.level().unwrap_or(0) {
                self.refine(level);
            }
        }
    }

    /// Returns an interval that contains the number.
    pub(crate) fn interval(&self, a: &Number) -> (BigRational, BigRational) {
        let (level, coefficients) = match a {
            Number::Rational(x) => return (x.clone(), x.clone()),
            Number::Extended { level, coefficients } => (*level, coefficients),
        };
        let (low, high) = self.bounds(level);
        self.work.spend(coefficients.len() as u64 * (low.denom().bits() / 64 + 4));
        let mut sum = (BigRational::zero(), BigRational::zero());
        for c in coefficients.iter().rev() {
            let corners = [&sum.0 * &low, &sum.0 * &high, &sum.1 * &low, &sum.1 * &high];
            let least = corners.iter().min().expect("four corners").clone();
            let most = corners.iter().max().expect("four corners").clone();
            let c = self.interval(c);
            sum = (least + c.0, most + c.1);
        }
        sum
    }

    /// Halves the intervals of all levels.
    pub(crate) fn refine_all(&self) {
        let levels = self.levels.borrow().len();
        (0..levels).for_each(|level| self.refine(level));
    }

    /// Halves the interval of a level.
    fn refine(&self, level: usize) {
        if self.is_spent() {
            return;
        }
        let (low, high) = self.bounds(level);
        let modulus = self.modulus(level);
        let middle = (&low + &high) / BigRational::from(BigInt::from(2));
        let at = self.sign(&self.value(&modulus, &middle));
        let below = self.sign(&self.value(&modulus, &low));
        let levels = &mut self.levels.borrow_mut()[level];
        if at == 0 {
            levels.modulus = vec![Number::Rational(-&middle), Number::one()];
            (levels.low, levels.high) = (middle.clone(), middle);
        } else if at == below {
            levels.low = middle;
        } else {
            levels.high = middle;
        }
    }
}
