use collimate_measure::{OutOfRange, ensure};
use ndarray::Array2;
use std::f64::consts::TAU;

/// The function of a hidden unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitFunction {
    /// The function x².
    Square,
    /// The function `max(x, 0)`.
    Relu,
}

/// The phases of the hidden units of a frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseGrid {
    /// The phases φ_i = 2πi/K and φ_j = 2πj/K of the two inputs, in all K² pairs.
    Pairs,
    /// One phase φ_i = 2πi/K for both inputs, K units.
    Sweep,
}

/// A two-layer network that adds modulo p by trigonometric units, without a training.
///
/// ```text
/// logit_c = Σ_f Σ_{φ,ψ} g(cos(2πfa/p + φ) + cos(2πfb/p + ψ)) cos(2πfc/p + φ + ψ)
/// ```
///
/// With all frequencies, squares and K ≥ 3 phases in pairs, the right logit is K²(p − 1)/4 and each other one −K²/4. With K = 2 it fails.
///
/// # Examples
/// ```
/// use collimate_studies::development::{PhaseGrid, TrigonometricAddition, UnitFunction};
/// let all: Vec<usize> = (1..=3).collect();
/// let found = TrigonometricAddition::new(7, &all, 3, PhaseGrid::Pairs, UnitFunction::Square)?.margins();
/// assert!((found.smallest - 63.0 / 4.0).abs() < 1e-12); // K² p/4
/// assert_eq!(found.right, 1.0);
/// # Ok::<(), collimate_measure::OutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrigonometricAddition {
    modulus: usize,
    frequencies: Vec<usize>,
    phases: usize,
    grid: PhaseGrid,
    function: UnitFunction,
}

/// The margins of a network over all pairs of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdditionMargins {
    /// The smallest right logit minus the largest wrong one.
    pub smallest: f64,
    /// The share of pairs whose right logit is larger than each wrong one, beyond rounding.
    pub right: f64,
    /// The share of pairs whose right logit equals the largest wrong one, up to rounding. `argmax` counts some of them as right.
    pub ties: f64,
}

/// Logits closer than this share of the largest one are equal. Each is a sum of up to 10⁵ terms, rounded by 1e-16.
const ROUNDING: f64 = 1e-9;

impl TrigonometricAddition {
    /// Takes the modulus p, the frequencies, the number K of phases, their grid, and the function of the units.
    ///
    /// # Errors
    /// [`OutOfRange`] for a modulus outside 2..=500, a frequency outside 1..=p/2, or a number of phases outside 1..=100.
    pub fn new(
        modulus: usize,
        frequencies: &[usize],
        phases: usize,
        grid: PhaseGrid,
        function: UnitFunction,
    ) -> Result<Self, OutOfRange> {
        ensure((2..=500).contains(&modulus), "the modulus", "in 2..=500", modulus as f64)?;
        ensure((1..=100).contains(&phases), "the number of phases", "in 1..=100", phases as f64)?;
        for &f in frequencies {
            ensure((1..=modulus / 2).contains(&f), "a frequency", "in 1..=p/2", f as f64)?;
        }
        Ok(Self { modulus, frequencies: frequencies.to_vec(), phases, grid, function })
    }

    /// Computes the logits of all pairs.
    ///
    /// # Shapes
    /// `[p·p, p]`; the pair (a, b) is row a·p + b.
    pub fn logits(&self) -> Array2<f64> {
        let p = self.modulus;
        let phase = |i: usize| TAU * i as f64 / self.phases as f64;
        let units: Vec<(f64, f64)> = (0..self.phases)
            .flat_map(|i| match self.grid {
                PhaseGrid::Pairs => (0..self.phases).map(|j| (phase(i), phase(j))).collect(),
                PhaseGrid::Sweep => vec![(phase(i), phase(i))],
            })
            .collect();
        let units: Vec<(usize, f64, f64)> = (self.frequencies.iter())
            .flat_map(|&f| units.iter().map(move |&(phi, psi)| (f, phi, psi)))
            .collect();
        // The remainder keeps the angle small, and so exact.
        let angle = |f: usize, a: usize| TAU * ((f * a) % p) as f64 / p as f64;
        let hidden = Array2::from_shape_fn((p * p, units.len()), |(pair, unit)| {
            let (f, phi, psi) = units[unit];
            let input = (angle(f, pair / p) + phi).cos() + (angle(f, pair % p) + psi).cos();
            match self.function {
                UnitFunction::Square => input * input,
                UnitFunction::Relu => input.max(0.0),
            }
        });
        let out = Array2::from_shape_fn((units.len(), p), |(unit, c)| {
            let (f, phi, psi) = units[unit];
            (angle(f, c) + phi + psi).cos()
        });
        hidden.dot(&out)
    }

    /// Computes the margins over all pairs.
    pub fn margins(&self) -> AdditionMargins {
        let p = self.modulus;
        let logits = self.logits();
        let rounding = ROUNDING * logits.iter().fold(0.0_f64, |top, x| top.max(x.abs()));
        let margins: Vec<f64> = (logits.rows().into_iter().enumerate())
            .map(|(pair, row)| {
                let right = (pair / p + pair % p) % p;
                let others = row.iter().enumerate().filter(|(c, _)| *c != right).map(|(_, x)| *x);
                row[right] - others.fold(f64::NEG_INFINITY, f64::max)
            })
            .collect();
        let share = |of: &dyn Fn(f64) -> bool| {
            margins.iter().filter(|margin| of(**margin)).count() as f64 / margins.len() as f64
        };
        AdditionMargins {
            smallest: margins.iter().copied().fold(f64::INFINITY, f64::min),
            right: share(&|margin| margin > rounding),
            ties: share(&|margin| margin.abs() <= rounding),
        }
    }
}
