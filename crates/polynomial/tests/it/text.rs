//! The text form: as people write polynomials, and back again.

use collimate_polynomial::{
    BigRational, Polynomial, PolynomialError, Product, WrongLength, learning_coefficient,
};
use proptest::prelude::*;

fn parse(text: &str) -> Polynomial {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn powers_and_products_read_as_they_are_written() {
    for (text, plain) in [
        ("(x*y²)^2", "(x*y^2)^2"),
        ("(xy)^2+(zw)^2", "(x*y)^2 + (z*w)^2"),
        ("x**2 + y^{12}", "x^2 + y^12"),
        ("x^{2}y^(3)", "x^2*y^3"),
        ("2x(x + y)(x − y)", "2*x*(x + y)*(x - y)"),
        ("x y · z \u{d7} w ⋅ v", "x*y*z*w*v"),
        ("3x²y¹⁰", "3*x^2*y^10"),
        ("x₁²x₂ + x_{3}", "x_1^2*x_2 + x_3"),
        ("x1y2", "x1*y2"),
        ("θ² + theta phi_2", "θ^2 + theta*phi_2"),
        ("-x^2 + 2 x^2", "x^2"),
        ("(1/2)x + 0.25 y", "x/2 + y/4"),
        ("x^0 - 1", "0"),
    ] {
        assert_eq!(parse(text), parse(plain), "{text}");
    }
    assert_eq!(parse("xy").variables(), ["x", "y"]);
    assert_eq!(parse("x_1 x_12 w_max").variables(), ["x_1", "x_12", "w_max"]);
}

#[test]
fn superscripts_and_juxtaposition_give_the_coefficient_that_they_mean() {
    for (text, expected) in [
        ("(x*y²)^2", "λ = 1/4, multiplicity 1, certified"),
        ("(xy)^2+(zw)^2", "λ = 1, multiplicity 3, certified"),
        ("(x³y)²", "λ = 1/6, multiplicity 1, certified"),
        ("(ab)^2 + (cd)^2 + (e f)^2", "λ = 3/2, multiplicity 4, certified"),
        ("x^{4} + 2x²y² + y**6", "λ = 1/2, multiplicity 2, certified"),
    ] {
        let found = learning_coefficient(parse(text)).unwrap();
        assert_eq!(found.to_string(), expected, "{text}");
    }
    // The answer names its variables, without those that do not matter.
    let found = learning_coefficient(parse("(yx)^2*(1 + 0*q)")).unwrap();
    assert_eq!(found.variables, ["y", "x"]);
}

#[test]
fn equality_is_by_name() {
    assert_eq!(parse("x + y"), parse("y + x"));
    assert_eq!(parse("x^2*y + 0*z"), parse("y*x*x"));
    assert_ne!(parse("x^2*y"), parse("y^2*x"));
    assert_ne!(parse("x"), parse("y"));
    assert_eq!(parse("0*x"), parse("y - y"));
}

#[test]
fn images_are_joined_by_name() {
    let k = parse("p^2 + q^4");
    let moved = k.compose(&[parse("a"), parse("b")]).unwrap();
    assert_eq!(moved, parse("a^2 + b^4"));
    assert_eq!(learning_coefficient(&moved).unwrap().to_string(), "λ = 3/4, multiplicity 1, certified");
    assert_eq!(k.compose(&[parse("y + x"), parse("x - y")]).unwrap(), parse("(x + y)^2 + (x - y)^4"));
    assert_eq!(k.compose(&[parse("b"), parse("a*b")]).unwrap(), parse("b^2 + a^4*b^4"));
    assert!(matches!(
        k.compose(&[parse("a")]),
        Err(PolynomialError::Length(WrongLength { expected: 2, given: 1, .. }))
    ));
}

#[test]
fn the_origin_moves_to_a_point() {
    let at = |text: &str, point: &[i64]| {
        let point: Vec<BigRational> = point.iter().map(|&x| BigRational::from_integer(x.into())).collect();
        parse(text).at(&point).unwrap()
    };
    assert_eq!(at("(x - 1)^2*y^2", &[1, 0]), parse("x^2*y^2"));
    assert_eq!(at("x^3", &[-2]), parse("(x - 2)^3"));
    assert_eq!(at("x*y^2 + y", &[3, 5]), parse("(x + 3)*(y + 5)^2 + y + 5"));
    assert!(parse("x*y").at(&[]).is_err());
}

#[test]
fn a_printed_polynomial_reads_back_as_an_equal_polynomial() {
    for text in [
        "W+b*W+W*y",
        "2155^41",
        "x^3/7 - 2/3*y",
        "0",
        "-1",
        "x_1*x_2^3 + theta",
        "2^400*x^400",
        "(1/3)^400*x",
    ] {
        let k = parse(text);
        assert_eq!(k, parse(&k.to_string()), "{text}");
    }
    let product: Product = "-3*(x + y)^40*(x - y)^2*x/7".parse().unwrap();
    let again: Product = product.to_string().parse().unwrap();
    assert_eq!(product.expand().unwrap(), again.expand().unwrap());
}

#[test]
fn names_that_would_not_read_back_are_refused() {
    let one = || BigRational::from_integer(1.into());
    let of = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Polynomial::new(names.clone(), [(vec![1; names.len()], one())])
    };
    for names in [&["xy"][..], &[""], &["x", "x"], &["2x"], &["x^2"], &["weight"], &["x y"]] {
        assert!(matches!(of(names), Err(PolynomialError::Name { .. })), "{names:?}");
    }
    let k = of(&["x1", "θ", "w_max", "omega_3"]).unwrap();
    assert_eq!(k, parse(&k.to_string()));
}

#[test]
fn hostile_sizes_are_refused_at_once() {
    for text in [
        format!("{}x", "-(".repeat(100_000)),
        format!("x^{}", "9".repeat(7000)),
        "9".repeat(100_000),
        "(a+b+c+d+e+f)^60".to_owned(),
        "(a+b+c+d)^20*(a-b+c-d)^20*(a+2b)^300".to_owned(),
        format!("x{}", "_".repeat(1000)),
        format!("x_{}", "1".repeat(1000)),
        "(x+y)^400*(x-y)^400".to_owned(),
        "9".repeat(60) + "^400",
        "abc".repeat(9999),
    ] {
        assert!(text.parse::<Polynomial>().is_err(), "{}", text.chars().take(20).collect::<String>());
    }
}

proptest! {
    #[test]
    fn every_polynomial_reads_back(
        terms in prop::collection::vec((prop::collection::vec(0u32..6, 3), -50i64..50, 1i64..9), 0..8),
    ) {
        let names = ["W", "b_2", "theta"].map(str::to_owned).to_vec();
        let terms = terms.into_iter().map(|(e, a, b)| (e, BigRational::new(a.into(), b.into())));
        let k = Polynomial::new(names, terms).unwrap();
        prop_assert_eq!(&k, &parse(&k.to_string()));
    }

    #[test]
    fn no_text_panics(text in "[xyzab0-9^*()+ ²₁_{}/.e-]{0,24}") {
        if let Ok(k) = text.parse::<Polynomial>() {
            prop_assert_eq!(&k, &parse(&k.to_string()), "{}", text);
        }
    }
}
