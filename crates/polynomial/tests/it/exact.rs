//! Coefficients with known values, by every method of the analysis.

use crate::coefficients::{certified_product as certified, coefficient, found, parse, parse_product};
use collimate_polynomial::{
    BigRational, Neighbourhood, Polynomial, Product, Rational, learning_coefficient,
    learning_coefficient_with_prior,
};

/// Multiplies all brackets out, so that no factor is known.
fn expanded(text: &str) -> Polynomial {
    parse(&parse(text).to_string())
}

#[test]
fn powers_are_kept_as_powers() {
    certified("(a+b)^98", 1, 98, 1);
    certified("(a*b+c+d)^61 * (a*b+c+d)", 1, 62, 1);
    certified("(a+b+c)^18", 1, 18, 1);
    certified("(a+b+c+d+e+f)^60", 1, 60, 1);
    certified("(a+b+c+d+e+f)^4", 1, 4, 1);
    certified("(a+b+c+d+e+f+g+h)^4", 1, 4, 1);
    certified("(y^2 - x^3)^100", 1, 120, 1);
    certified("((x^2 + y^2 + z^2)^3)^2", 1, 4, 1);
    for (text, m) in [("(a+b)^98", 98), ("(a*b+c+d)^30", 30), ("(a+b+c)^18", 18), ("(a+b+c+d+e+f)^4", 4)] {
        let found = learning_coefficient(expanded(text)).unwrap();
        assert_eq!(found.coefficient, coefficient(1, m, 1), "{text}");
        assert!(found.certified());
    }
    for text in ["-(a+b)^98/83", "(a+b)^96/35*y", "(a+b)^61", "-(a*b+c+d)^20", "(a+b+c)^20*(a-b)^3"] {
        let error = learning_coefficient(text.parse::<Product>().unwrap()).unwrap_err().to_string();
        assert!(error.contains("for example K = -"), "{text}: {error}");
    }
}

#[test]
fn a_variable_that_divides_a_face_is_no_zero_of_it() {
    // On the face of the pole, x (y² + z⁴ + w⁴) changes sign with x, but has no zeros where x ≠ 0. The two divisors that cross there have
    // the pole 1/2, and no zero of the bracket lies on both.
    certified("(x*(y^2+z^4+w^4))^2", 1, 2, 2);
    certified("(x*(y^2+z^4+w^4) + y^7 + z^9 + w^11)^2", 1, 2, 2);
    // Zeros on that face meet both.
    certified("(x*(y^2+z^4-w^4))^2", 1, 2, 3);
}

#[test]
fn reduced_forms_keep_their_value() {
    certified("(x-y)^2*(y-z)^2*(z-w)^2", 1, 2, 3);
    certified("(x-y)^4*(y-z)^2*(z-w)^6", 1, 6, 1);
    certified("((x-y)*(y-z))^2 + (z-w)^4", 3, 4, 2);
}

#[test]
fn linear_changes_of_coordinates_are_found() {
    certified("(x+y)^2+(y+z)^4+(z+x)^6", 11, 12, 1);
    certified("(x+y)^4+(y+z)^6+(z+x)^8", 13, 24, 1);
    certified("(x+2*y-z)^4+(y+z)^4+(z-x)^6", 2, 3, 1);
    certified("(x+y+z+w)^4+(x-y)^6+(z-2*w)^2+(x+w)^2", 17, 12, 1);
    certified("(x^2-y^2)^2+(z+x)^6", 2, 3, 2);
    certified("(x+y)^2*(y+z)^2+(x-z)^4", 1, 2, 1);
}

#[test]
fn the_splitting_lemma_removes_variables() {
    // z* is a power series.
    certified("(z - x*y + z^2)^2 + x^4*y^2 + x^6", 3, 4, 1);
    certified("(z - x*y + z^2)^2 + x^4*y^2 + x^6 + y^8", 13, 16, 1);
    certified("z^2 + z^3 + (x^2 - y^3)^2", 11, 12, 1);
    certified("x^2 + 2*x*y^2 + y^4 + x^4 + y^7*x", 5, 8, 1);
    let error = learning_coefficient("z^2 - 2*z*x*y + z^3 + y^9*w".parse::<Product>().unwrap()).unwrap_err();
    assert!(error.to_string().contains("negative"), "{error}");
}

#[test]
fn arrangements_have_their_combinatorial_value() {
    // The braid arrangements: n(n − 1)/2 planes of rank n − 1.
    certified("((x-y)*(y-z)*(z-w)*(x-z)*(y-w)*(x-w))^2", 1, 4, 1);
    certified("((x-y)*(y-z)*(x-z))^2", 1, 3, 1);
    certified("((a-b)*(a-c)*(a-d)*(a-e)*(b-c)*(b-d)*(b-e)*(c-d)*(c-e)*(d-e))^2", 1, 5, 1);
    // Multiplied out, the factors are found again.
    let braid = learning_coefficient(expanded("((x-y)*(y-z)*(z-w)*(x-z)*(y-w)*(x-w))^2")).unwrap();
    assert!(braid.certified() && braid.coefficient.lambda == Rational::new(1, 4), "{braid}");
    // Four generic planes in space have 3/4 at the origin and 1 elsewhere.
    certified("(x*y*z*(x+y+z))^2", 3, 8, 1);
    // Three planes through a line, and a plane that crosses it.
    certified("(x*y*(x+y)*z)^2", 1, 3, 1);
    certified("(x*y*(x+y))^2*z^3*z", 1, 4, 1);
    certified("(x*y*(x+y))^2*(z^3)^2", 1, 6, 1);
    // Two triples of planes through lines that meet in a point: both lines attain 1/3, and the origin 5/10 does not.
    certified("(x*y*(x+y))^2*(z*w*(z+w))^2", 1, 3, 2);
    certified("(x*y*(x+y)*z*(z+x))^2", 3, 10, 1);
    // With the prior |x|: (1 + 1)/2 along x = 0, and (2 + 1)/6 at the line.
    let prior =
        learning_coefficient_with_prior("(x*y*(x+y))^2".parse::<Product>().unwrap(), &[1, 0]).unwrap();
    assert_eq!(prior.coefficient, coefficient(1, 2, 2), "{prior}");
}

#[test]
fn arrangements_in_the_plane_agree_with_blow_ups() {
    // The third form keeps the first polynomial out of the plane.
    for (plane, space) in [
        ("x^2*y^2*(x-y)^2", "(x-z)^2*(y-z)^2*(x-y)^2"),
        ("x^2*y^4*(x-y)^2*(x+2*y)^6", "(x-z)^2*(y-z)^4*(x-y)^2*(x+2*y-3*z)^6"),
        ("x^4*y^2*(x+y)^2", "(x-z)^4*(y-z)^2*(x+y-2*z)^2"),
    ] {
        let [plane, space] = [plane, space].map(|text| found(parse_product(text)));
        assert!(plane.certified() && space.certified());
        assert_eq!(plane.coefficient, space.coefficient);
    }
}

#[test]
fn factors_that_share_variables_and_positive_factors() {
    certified("(1+x)*(2-y*z)*((x*y)^2+(z*w)^2)", 1, 1, 3);
    certified("(x^2+y^2+z^2+1)^3*(x*y*z)^2", 1, 2, 3);
    // A private smooth factor is a coordinate of its own.
    certified("(x + y^3*z)^2*(y^2 + z^4)", 1, 2, 1);
    certified("(x + y*z)^2*(y^3*z)^2", 1, 6, 1);
    certified("x^2*(x^2 + y^2 + z^2)", 1, 2, 1);
    certified("x^4*(x^2 + y^2 + z^2)^2", 1, 4, 1);
    certified("(x - y)^2*((x - y)^2 + z^2 + w^4)^2", 5, 12, 1);
    // Quadratic factors that are products of linear forms: the arrangement B₃ of nine planes.
    certified("x^2*y^2*z^2*(x^2-y^2)^2*(y^2-z^2)^2*(x^2-z^2)^2", 1, 6, 1);
    certified("(x^2 + y^2 + z^2)^2*(x^2 + 2*y^2 + 3*z^2)^2", 3, 8, 1);
}

#[test]
fn even_monomials_need_no_face() {
    let names: Vec<char> = "abcdefghijkl".chars().collect();
    for n in [3, 6, 12] {
        let pairs: Vec<String> = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| format!("{}^2*{}^2", names[i], names[j]))
            .collect();
        certified(&pairs.join("+"), n as i128, 4, 1);
    }
    certified("a^2*b^2+b^2*c^2+c^2*d^2+d^2*e^2+e^2*f^2+f^2*g^2+g^2*h^2+h^2*a^2", 2, 1, 2);
}

#[test]
fn the_sign_is_sought_on_large_faces() {
    for text in [
        "x^4+y^4+z^4-4*x*y*z^2",
        "x^6+y^6+z^6-4*x^2*y^2*z^2",
        "x^4+y^4+z^4+w^4-5*x*y*z*w",
        "x^4+y^4+z^4-x^2*y^2-y^2*z^2-z^2*x^2-x*y*z^2/50",
    ] {
        let error = learning_coefficient(text.parse::<Product>().unwrap()).unwrap_err().to_string();
        assert!(error.contains("for example K = -"), "{text}: {error}");
    }
    let error = learning_coefficient("x^4+y^4+z^4-4*x*y*z^2".parse::<Product>().unwrap()).unwrap_err();
    assert!(error.to_string().ends_with("K = -1 at x = 1, y = 1, z = 1"), "{error}");
    // Without the sign they are losses.
    certified("x^4+y^4+z^4+w^4-3*x*y*z*w", 1, 1, 1);
}

#[test]
fn every_run_ends_within_its_work() {
    for text in [
        "(y-x-2*x^2-3*x^3-4*x^4-5*x^5-6*x^6-7*x^7-8*x^8)^8+(x*y)^100",
        "(a*b+c*d)^2+(a*b^3+c*d^3)^2+(a*b^5+c*d^5)^2",
        "(a+b+c+d+e+f+g+h)^4+(a*b-c*d)^6+(e*f*g-h)^8+(a-b+c-d)^6",
        "(a*b+c*d+e*f)^2+(a*b^3+c*d^3+e*f^3)^2",
    ] {
        let k: Product = text.parse().unwrap();
        let small = Neighbourhood { work: 10_000, ..Neighbourhood::default() };
        let [first, second] =
            [small.learning_coefficient(&k).unwrap(), small.learning_coefficient(&k).unwrap()];
        assert_eq!(first, second);
        // More work gives the same value or a smaller bound.
        let large = Neighbourhood { work: 200_000, ..Neighbourhood::default() };
        let more = large.learning_coefficient(&k).unwrap();
        assert!(more.coefficient.lambda <= first.coefficient.lambda, "{text}: {first} {more}");
    }
    let tiny = Neighbourhood { work: 1, ..Neighbourhood::default() };
    let found = tiny.learning_coefficient("(x*y)^2 + (z*w)^2 + x*y*z*w".parse::<Product>().unwrap()).unwrap();
    assert!(!found.certified() && found.coefficient.lambda >= Rational::new(1, 1), "{found}");
}

#[test]
fn a_point_a_domain_and_a_prior_are_given_by_name() {
    let name = |x: &str| x.to_owned();
    let k: Product = "x^2*(x-1)^4*y^2".parse().unwrap();
    let one = BigRational::from_integer(1.into());
    let at_one = Neighbourhood { point: [(name("x"), one.clone())].into(), ..Neighbourhood::default() };
    assert_eq!(at_one.learning_coefficient(&k).unwrap().to_string(), "λ = 1/4, multiplicity 1, certified");
    // The prior |x| is positive at x = 1, and the prior |y|³ is not.
    let prior = [(name("x"), 1), (name("y"), 3)].into();
    let with_prior = Neighbourhood { prior, ..at_one.clone() };
    assert_eq!(
        with_prior.learning_coefficient(&k).unwrap().to_string(),
        "λ = 1/4, multiplicity 1, certified"
    );
    let at_y = Neighbourhood { point: [(name("y"), one)].into(), ..Neighbourhood::default() };
    assert_eq!(at_y.learning_coefficient(&k).unwrap().to_string(), "λ = 1/2, multiplicity 1, certified");
    let elsewhere: Product = "1 + x^2*y".parse().unwrap();
    let error = at_y.learning_coefficient(&elsewhere).unwrap_err().to_string();
    assert!(error.contains("it is 1 at x = 0, y = 1"), "{error}");
    assert!(at_y.learning_coefficient("x^2".parse::<Product>().unwrap()).is_err());

    let quadrant = |text: &str, names: &[&str]| {
        let non_negative = names.iter().map(|x| name(x)).collect();
        let place = Neighbourhood { non_negative, ..Neighbourhood::default() };
        place.learning_coefficient(text.parse::<Product>().unwrap()).map(|found| found.to_string())
    };
    // On x, y ≥ 0: the order of x + y is that of max(x, y).
    assert_eq!(quadrant("(x+y)^2", &["x", "y"]).unwrap(), "λ = 1, multiplicity 1, certified");
    assert_eq!(quadrant("(x+y)^2", &["x"]).unwrap(), "λ = 1/2, multiplicity 1, certified");
    assert_eq!(quadrant("(x-y)^2", &["x", "y"]).unwrap(), "λ = 1/2, multiplicity 1, certified");
    assert_eq!(quadrant("x*y", &["x", "y"]).unwrap(), "λ = 1, multiplicity 2, certified");
    assert_eq!(quadrant("x + y^2", &["x"]).unwrap(), "λ = 3/2, multiplicity 1, certified");
    assert_eq!(quadrant("x^3*y^2 + z^2", &["x"]).unwrap(), "λ = 5/6, multiplicity 1, certified");
    assert_eq!(quadrant("(x+y+z)^2", &["x", "y", "z"]).unwrap(), "λ = 3/2, multiplicity 1, certified");
    let error = quadrant("x*y - 2*x^2", &["x", "y"]).unwrap_err().to_string();
    assert!(error.contains("for example K = -"), "{error}");
    let minus = BigRational::from_integer((-1).into());
    let outside = Neighbourhood {
        point: [(name("x"), minus)].into(),
        non_negative: [name("x")].into(),
        ..Neighbourhood::default()
    };
    assert!(outside.learning_coefficient("x^2".parse::<Product>().unwrap()).is_err());
}
