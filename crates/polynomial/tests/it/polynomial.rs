//! Polynomials: known values, invariances, errors and the text form.

use crate::coefficients::{certified, coefficient, found, parse};
use approx::assert_abs_diff_eq;
use collimate_polynomial::{
    NormalCrossing, Polynomial, PolynomialError, Rational, learning_coefficient,
    learning_coefficient_with_prior,
};
use proptest::prelude::*;

#[test]
fn published_values_are_reproduced() {
    certified("w1^2 + w2^4", 3, 4, 1);
    certified("x^4 + y^6", 5, 12, 1);
    certified("x^2*y^2 + x^6 + y^6", 1, 2, 2);
    certified("x^4 + x^2*y^2 + y^6", 1, 2, 2);
    certified("x^2*y^4 + x^4*y^2", 1, 3, 1);
    certified("x^2*y^2 + y^2*z^2 + x^2*z^2", 3, 4, 1);
    certified("x^4 + y^4 + z^4", 3, 4, 1);
    certified("(x*y)^2 + (z*w)^2", 1, 1, 3);
    certified("(a*b*c*d)^2", 1, 2, 4);
    certified("x^4*y^2 + z^2", 3, 4, 1);
    certified("a^2*b^2 + a^2*b^6", 1, 2, 2);
    certified("w^10", 1, 10, 1);
}

#[test]
fn edges_with_real_roots_are_resolved() {
    certified("(x - y)^2", 1, 2, 1);
    certified("(x - y)^2 + y^4", 3, 4, 1);
    certified("(y^2 - x^3)^2", 5, 12, 1);
    certified("(y^2 + x^3)^2", 5, 12, 1);
    certified("(x - y^2)^4 + y^20", 3, 10, 1);
    // Three lines, and three lines of which one counts twice.
    certified("(x*y*(x - y))^2", 1, 3, 1);
    certified("(x*y)^2*(x - y)^4", 1, 4, 2);
    // Branches over ℚ(√2) and over ℚ(√2, √(3√2)) have the same values as branches over ℚ.
    for k in 1..=6 {
        let rational = found(parse(&format!("(x^2 - y^2)^2 + y^{}", 2 * k)));
        let irrational = found(parse(&format!("(x^2 - 2*y^2)^2 + y^{}", 2 * k)));
        assert_eq!(rational, irrational, "{k}");
        assert!(rational.certified());
    }
    for k in [6, 8] {
        let rational = found(parse(&format!("((x^2 - y^2)^2 - y^6)^2 + y^{}", 2 * k)));
        let irrational = found(parse(&format!("((x^2 - 2*y^2)^2 - 3*y^6)^2 + y^{}", 2 * k)));
        assert_eq!(rational, irrational, "{k}");
        assert!(rational.certified());
    }
}

#[test]
fn a_smooth_branch_of_high_contact_is_resolved() {
    // In the coordinate z = y − x − x² − x³ this is z² + x^{2k}.
    for k in 1..=7u32 {
        let text = format!("(y - x - x^2 - x^3)^2 + x^{}", 2 * k);
        certified(&text, i128::from(k) + 1, 2 * i128::from(k), 1);
    }
    // A square: the contact has no finite order.
    certified("(y - x - x^2 - x^3)^2*(1 + x)^2", 1, 2, 1);
    certified("(y*(1 + x) - x)^6", 1, 6, 1);
}

#[test]
fn squares_of_hypersurfaces_have_half_of_their_coefficient() {
    certified("(x*y - z*w)^2", 1, 2, 1);
    certified("(a*b + c)^2", 1, 2, 1);
    certified("(x^2 + y^2 - z^2)^2", 1, 2, 1);
    certified("(x^2 + y^2 + z^2)^2", 3, 4, 1);
    certified("(x*y - z*w)^4", 1, 4, 1);
    certified("(x^3 + y^3 + z^3)^2", 1, 2, 2);
    certified("(x^4 + y^4 - z^4)^2", 3, 8, 1);
}

#[test]
fn changes_of_coordinates_remove_a_variable() {
    // Fewer linear forms than variables: a² + b⁴ in two forms, and a cusp in two forms.
    certified("(x + y + z)^2 + (x - y)^4", 3, 4, 1);
    certified("((x + y)^2 - (y + z)^3)^2", 5, 12, 1);
    certified("((x + 2*y - z)^2 - 2*(y + z)^2)^2 + (y + z)^6", 1, 2, 2);
    // A shear: a function of z − xy and x alone.
    certified("(z - x*y)^4 + x^6", 5, 12, 1);
    certified("(z + x*y - y^3)^4 + (z + x*y - y^3)^2*y^2 + y^6", 1, 2, 2);
    // Completed squares, one after the other. The factor 1 + x has no zeros near the origin.
    certified("(z - x*y)^2 + x^2*y^2", 1, 1, 2);
    certified("(z - x*y)^2 + (w - x*z)^2 + (x*y)^4", 5, 4, 2);
    certified("(1 + x)*(z - y)^2 + (x^2 - y^3)^2", 11, 12, 1);
    certified("(x + y*z)^2 + (y + x*z)^2 + (z + x*y)^2", 3, 2, 1);
    // Reduced rank regression at a true map of rank one: (AB)₁₁ = 1 leaves three squares and a point of rank 0.
    certified(
        "((1 + a)*(1 + e) + b*g - 1)^2 + ((1 + a)*f + b*h)^2 + (c*(1 + e) + d*g)^2 + (c*f + d*h)^2",
        2,
        1,
        2,
    );
    // If the rest stays undecided, the bound of the polyhedron is returned.
    assert!(!found(parse("(w - x)^2 + (a*b + c*d)^2 + (a*b^3 + c*d^3)^2")).certified());
    let error = learning_coefficient(parse("(z + x*y)^2 - x^4*y^4 + 2*x^5*y^4")).unwrap_err().to_string();
    assert!(error.contains("negative"), "{error}");
}

#[test]
fn a_vanishing_prior_limits_the_changes_of_coordinates() {
    let under = |text: &str, prior: &[u32]| learning_coefficient_with_prior(parse(text), prior).unwrap();
    // The prior x² z² is no monomial in u = x + y, v = y + z. A flow may move y only, but the flow here moves x and z.
    let linear = "((x + y)^2 - (y + z)^3)^2";
    assert_eq!(under(linear, &[0, 0, 0]).coefficient, coefficient(5, 12, 1));
    assert!(!under(linear, &[2, 0, 2]).certified());
    // A prior that vanishes only in the coordinate that is set to zero changes nothing.
    assert_eq!(under(linear, &[2, 0, 0]).coefficient, coefficient(5, 12, 1));
    // A square is completed in z only if the prior is flat in z.
    assert_eq!(under("(z - x*y)^2 + x^2*y^2", &[0, 0, 0]).coefficient, coefficient(1, 1, 2));
    assert!(under("(z - x*y)^2 + x^2*y^2", &[0, 1, 0]).certified());
    assert!(under("(z - x*y^2)^4 + x^6", &[0, 0, 0]).certified());
    assert!(!under("(z - x*y^2)^4 + x^6", &[2, 0, 0]).certified());
}

#[test]
fn a_single_monomial_is_a_normal_crossing() {
    for (powers, prior) in
        [(vec![1, 1], vec![0, 1]), (vec![2, 3], vec![1, 2]), (vec![1, 1, 2], vec![2, 2, 5])]
    {
        let names = ["x", "y", "z"];
        let text: Vec<String> = powers.iter().zip(names).map(|(k, x)| format!("{x}^{}", 2 * k)).collect();
        let exact = NormalCrossing::new(powers, prior.clone()).unwrap().learning_coefficient();
        let found = learning_coefficient_with_prior(parse(&text.join("*")), &prior).unwrap();
        assert_eq!((found.coefficient, found.certified()), (exact, true));
    }
}

#[test]
fn a_polynomial_that_is_no_loss_gives_an_error_with_a_point() {
    for text in [
        "x + y",
        "x^2 - y^2",
        "x^3",
        "-x^2",
        "x^2*y",
        "x^2 + 3*x*y + y^2",
        "x^2 + y^2 - z^2",
        "x^2*z^2 + y^2 - x^4*z^4*y^0 - 3*x*y*z",
        "(x - y)^3*(x + y)",
    ] {
        let error = learning_coefficient(parse(text)).unwrap_err();
        assert!(matches!(error, PolynomialError::NotALoss { .. }), "{text}: {error}");
        assert!(
            error.to_string().contains("is negative arbitrarily close")
                && error.to_string().contains("K = -"),
            "{error}"
        );
        // The square of the polynomial is a loss.
        learning_coefficient(parse(text).power(2).unwrap()).unwrap();
    }
    for (text, words) in [
        ("1 + x^2", "it is 1 at the origin"),
        ("x - x", "zero everywhere"),
        ("(x - y)^2 + (x - y)^3 - (x-y)^2", "negative"),
        // Negative only between two branches with high contact.
        ("(y - x^2)*(y - x^2 - x^3)", "for example K = -"),
    ] {
        let error = learning_coefficient(parse(text)).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn an_uncertified_result_is_an_upper_bound() {
    let sum = found(parse("(a*b + c*d)^2 + (a*b^3 + c*d^3)^2"));
    assert!(!sum.certified(), "{sum}");
    // Two hidden tanh units at the true function zero have λ = 2/3 (Aoyagi). The bound must not be lower.
    assert!(sum.coefficient.lambda >= Rational::new(2, 3), "{sum}");
    assert!(sum.to_string().starts_with("λ ≤ "), "{sum}");
}

#[test]
fn a_syntax_error_names_its_position() {
    for (text, message) in [
        ("", "at character 1: the text ends"),
        ("x^2 +", "at character 6: the text ends"),
        ("(x", "at character 1: this bracket is not closed"),
        ("x)", "at character 2: this bracket was not opened"),
        ("x^y", "at character 3: expected a whole number"),
        ("x^1.5", "at character 3: an exponent must be a whole number"),
        ("x^-2", "at character 3: expected a whole number"),
        ("1/x", "at character 2: a divisor must be a number"),
        ("x/0", "at character 2: division by zero"),
        ("x # y", "at character 3: unexpected character '#'"),
        ("1.2.3", "at character 1: \"1.2.3\" is not a number"),
        ("x^2^3", "at character 3: a power of a power"),
        ("x²^3", "at character 3: a power of a power"),
        ("x 2", "at character 3: expected an operator"),
        ("(x + y)2", "at character 8: expected an operator"),
        ("x^{2", "at character 5: expected \"}\" after the exponent"),
        ("{x}", "at character 1: expected a number, a name or a bracket, found '{'"),
        ("²x", "at character 1: an exponent needs a base"),
        // Text that could be read in two ways.
        ("weight^2", "at character 1: \"weight\" could be one name or a product; write w*e*i*g*h*t"),
        ("x + bias_1", "at character 5: \"bias\" could be one name"),
        ("1/2x", "at character 4: a product without a sign after a division"),
        ("x/2 y", "at character 5: a product without a sign after a division"),
        ("1e-3*x^2", "at character 1: 1e… could be a power of ten or a variable"),
        ("2E5", "at character 1: 2E… could be"),
        ("cos(x)", "at character 1: \"cos\" is the name of a function"),
        ("x_^2", "at character 2: a subscript must be digits or letters"),
    ] {
        assert_eq!(
            text.parse::<Polynomial>().unwrap_err().to_string().find(message),
            Some(0),
            "{text}: {:?}",
            text.parse::<Polynomial>()
        );
    }
    // Excessive sizes are refused at once.
    let many: Vec<String> = (0..40).map(|i| format!("x{i}")).collect();
    for text in [
        "x^401".to_owned(),
        "(x + y)^399*(x + y)^399".to_owned(),
        "(a + b + c + d + e + f)^60".to_owned(),
        format!("{}x{}", "(".repeat(5000), ")".repeat(4999)),
        many.join("+"),
        "9".repeat(9999),
        "x+".repeat(9999),
        format!("{}^400", "9".repeat(99)),
    ] {
        assert!(text.parse::<Polynomial>().is_err(), "{}", &text[..20.min(text.len())]);
    }
}

#[test]
fn a_printed_polynomial_can_be_read_again() {
    let k = parse("x^2*y^4 - 1/2*x*y + 0.25*(x - 1)**3 + 7");
    assert_eq!(k, k.to_string().parse().unwrap());
    assert_eq!(parse("x^2 − 3*x").to_string(), "x^2 - 3*x");
    assert_abs_diff_eq!(parse("x^2*y - y/3").evaluate(&[2.0, 3.0]), 11.0, epsilon = 1e-12);
    assert!(parse("x").evaluate(&[]).is_nan());
}

/// Losses in two variables with certified values, degenerate and not.
const LOSSES: [&str; 9] = [
    "x^2*y^4 + x^4*y^2",
    "x^4 + y^6",
    "(x - y)^2 + y^6",
    "(y^2 - x^3)^2",
    "(y^2 - x^3)^2 + x^8*y^2",
    "x^2*(x - 2*y)^2*(x + y^2)^4",
    "(x^2 - 3*y^2)^2 + x^6",
    "x^2*y^2 + x^6 + y^6",
    "(x^2 + x*y + y^2)^3 + x^2*y^6",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn analytic_changes_of_coordinates_keep_the_result(
        which in 0..LOSSES.len(),
        shears in prop::collection::vec((-2i32..3, 1u32..4, any::<bool>()), 1..3),
        unit in -3i32..4,
    ) {
        let k = parse(LOSSES[which]);
        let mut moved = k.clone();
        for &(c, power, first) in &shears {
            let images = if first {
                [parse(&format!("x + ({c})*y^{power} + 0*y")), parse("0*x + y")]
            } else {
                [parse("x + 0*y"), parse(&format!("0*x + y + ({c})*x^{power}"))]
            };
            moved = moved.compose(&images).unwrap();
        }
        // A factor that is positive at the origin keeps the result too.
        let unit = parse(&format!("1 + ({unit})*x + 0*y"));
        let moved = parse("a*b").compose(&[moved, unit]).unwrap();
        let (before, after) = (learning_coefficient(&k).unwrap(), learning_coefficient(&moved).unwrap());
        prop_assert!(before.certified() && after.certified(), "{} became {}", k, moved);
        prop_assert_eq!(before.coefficient, after.coefficient, "{} became {}", k, moved);
    }

    #[test]
    fn blow_ups_and_linear_programs_give_the_same_value(
        terms in prop::collection::vec((0u32..5, 0u32..5), 2..6),
        prior in (0u32..3, 0u32..3),
    ) {
        // A sum of squares of monomials, by blow-ups, and by the linear program with a third variable that does not change λ.
        let terms: Vec<_> = terms.into_iter().filter(|t| *t != (0, 0)).collect();
        prop_assume!(!terms.is_empty());
        let text: Vec<String> = terms.iter().map(|(i, j)| format!("x^{}*y^{}", 2 * i, 2 * j)).collect();
        let plane_text = parse(&text.join("+"));
        let space = parse(&format!("({})*(1 + z^2) + z^40*x^40*y^40", text.join("+")));
        let [own, priors] = [&plane_text, &space].map(|k| {
            let of = |v: &String| match v.as_str() { "x" => prior.0, "y" => prior.1, _ => 0 };
            k.variables().iter().map(of).collect::<Vec<u32>>()
        });
        let plane = learning_coefficient_with_prior(&plane_text, &own).unwrap();
        let space = learning_coefficient_with_prior(&space, &priors).unwrap();
        prop_assert!(plane.certified() && space.certified());
        prop_assert_eq!(plane.coefficient, space.coefficient);
    }
}
