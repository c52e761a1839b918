//! Claims about λ and m of polynomials.

use super::laplace::{LOG_T, Quadrant, asymptotic_margin};
use crate::{LearningCoefficient, Polynomial, learning_coefficient};
use collimate_claims::{Claim, Exact, Meta, Subject};
use collimate_stream::RngStream;

/// Returns `Σ x^{2i} y^{2j}` as text.
fn sum_of_squares((i, j): &(Vec<usize>, Vec<usize>)) -> String {
    let terms: Vec<String> = i.iter().zip(j).map(|(i, j)| format!("x^{}*y^{}", 2 * i, 2 * j)).collect();
    terms.join(" + ")
}

/// Returns λ and m of a polynomial, or `None` if they are not certified.
fn certified(text: &str) -> Option<LearningCoefficient> {
    let k: Polynomial = text.parse().ok()?;
    let found = learning_coefficient(&k).ok()?;
    found.certified().then_some(found.coefficient)
}

fn exponents(dims: &[usize], stream: &mut RngStream) -> Option<(Vec<usize>, Vec<usize>)> {
    let mut draw = || (0..dims[0]).map(|_| stream.below(4)).collect::<Vec<usize>>();
    Some((draw(), draw()))
}

fn is_loss((i, j): &(Vec<usize>, Vec<usize>)) -> bool {
    !i.is_empty() && i.len() == j.len() && i.iter().zip(j).all(|(&i, &j)| i + j > 0 && i <= 3 && j <= 3)
}

pub(super) fn sums_of_monomials() -> impl Claim {
    let meta = Meta::theorem(
        "slt/certified-polynomials",
        Subject::Slt,
        "the certified (λ, m) of a sum of even monomials in two variables is what its tempered expectation converges to",
    )
    .source("Varchenko (1976); Arnold, Gusein-Zade & Varchenko (1988), chapter 8")
    .protocol("exact (λ, m) against the tempered expectation by two-dimensional quadrature at log t = 80, to 0.03");
    Exact::new(meta)
        .dims(&[("terms", 1..=4)])
        .names(&["powers of x/2", "powers of y/2"])
        .inputs([8, 60, 600])
        .input(exponents)
        .admits(is_loss)
        .margin(|powers| {
            let Some(exact) = certified(&sum_of_squares(powers)) else { return -1.0 };
            let terms: Vec<[f64; 2]> =
                powers.0.iter().zip(&powers.1).map(|(&i, &j)| [2.0 * i as f64, 2.0 * j as f64]).collect();
            asymptotic_margin(Quadrant::flat(terms).tempered(LOG_T), &exact)
        })
}

pub(super) fn coordinates() -> impl Claim {
    let meta = Meta::theorem(
        "slt/polynomials-in-other-coordinates",
        Subject::Slt,
        "the certified (λ, m) of a polynomial in two variables is the same after y → y + c x^p, where it can be degenerate on \
         its Newton polygon",
    )
    .code("L6")
    .source("the zeta function is an integral, and the Jacobian is 1");
    Exact::new(meta)
        .dims(&[("terms", 1..=3)])
        .names(&["powers", "c", "p"])
        .inputs([12, 150, 1500])
        .input(|dims, stream| Some((exponents(dims, stream)?, stream.below(4) + 1, stream.below(3) + 1)))
        .admits(|(powers, c, p)| is_loss(powers) && (1..=5).contains(c) && (1..=3).contains(p))
        .margin(|(powers, c, p)| {
            let here = sum_of_squares(powers);
            let there = here.replace('y', &format!("(y + {c}*x^{p})"));
            match (certified(&here), certified(&there)) {
                (Some(here), Some(there)) if here == there => 0.0,
                _ => -1.0,
            }
        })
}

pub(super) fn newton_value() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/newton-polygon-decides-lambda",
        Subject::Slt,
        "λ of a loss is decided by which monomials it has",
    )
    .source("where the polynomial of an edge has a real root of high order, the set of zeros is larger than the monomials say");
    Exact::new(meta)
        .names(&["a", "b", "c", "k"])
        .inputs([20, 100, 400])
        .input(|_, stream| {
            Some((stream.below(3) + 1, stream.below(3) + 1, stream.below(3) + 1, stream.below(2) + 1))
        })
        .admits(|&(a, b, c, k)| [a, b, c, k].iter().all(|x| (1..=4).contains(x)) && k <= 2)
        .margin(|(a, b, c, k)| {
            // The same monomials, all coefficients positive, or with their signs.
            let [plus, minus] = ["+", "-"].map(|sign| {
                certified(&format!("(x^{} + y^{})^{k}", 2 * a, 2 * b))
                    .zip(certified(&format!("(x^{a} {sign} {c}*y^{b})^{}", 2 * k)))
            });
            match minus.or(plus) {
                Some((monomials, exact)) => -(monomials.lambda_f64() - exact.lambda_f64()).abs(),
                None => f64::NAN,
            }
        })
}

pub(super) fn units() -> impl Claim {
    let meta = Meta::theorem(
        "slt/factors-that-do-not-vanish",
        Subject::Slt,
        "a factor that is positive at the origin changes neither λ nor m",
    )
    .source("it is bounded from both sides near the origin");
    Exact::new(meta)
        .dims(&[("terms", 1..=3)])
        .names(&["powers", "a", "b"])
        .inputs([12, 150, 1500])
        .input(|dims, stream| Some((exponents(dims, stream)?, stream.below(6), stream.below(6))))
        .admits(|(powers, a, b)| is_loss(powers) && *a <= 9 && *b <= 9)
        .margin(|(powers, a, b)| {
            let here = sum_of_squares(powers);
            match (certified(&here), certified(&format!("({here})*(2 + {a}*x - {b}*x*y + {b}*y^3)"))) {
                (Some(here), Some(there)) if here == there => 0.0,
                _ => -1.0,
            }
        })
}
