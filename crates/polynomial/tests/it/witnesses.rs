//! The points that errors name: small, in the variables of the user, and negative.

use collimate_polynomial::{Neighbourhood, Polynomial, learning_coefficient};

/// Returns the point in an error, in the order of the variables of `k`.
fn point(k: &Polynomial, error: &str) -> Vec<f64> {
    let (_, list) = error.rsplit_once(" at ").unwrap_or_else(|| panic!("no point in {error}"));
    let value = |name: &String| {
        let entry = list.split(", ").find_map(|entry| entry.strip_prefix(&format!("{name} = ")));
        let text = entry.unwrap_or_else(|| panic!("no {name} in {error}"));
        let (a, b) = text.split_once('/').unwrap_or((text, "1"));
        a.parse::<f64>().unwrap() / b.parse::<f64>().unwrap()
    };
    k.variables().iter().map(value).collect()
}

#[test]
fn points_are_small_and_in_the_variables_of_the_user() {
    for text in [
        "x + y",
        "x^2 + 3*x*y + y^2",
        "(y - x^2)*(y - x^2 - x^3)",
        "(z + x*y)^2 - x^4*y^4 + 2*x^5*y^4",
        "x^4 + y^4 + z^4 - 4*x*y*z^2",
        "(x + y + z)^2 - (x - y)^4",
        "(x - 2*y)^3*(x + y)^2",
        "100*x^2 - 301*x*y + 226*y^2",
        "(a + b + c)^2 + (a - b)^2*(c - d)^2 - d^6",
        "(x-y)*(y-z)*(z-x)",
        "x^2*z^2 + y^2 - x^4*z^4 - 3*x*y*z",
    ] {
        let k: Polynomial = text.parse().unwrap();
        let error = learning_coefficient(&k).unwrap_err().to_string();
        let point = point(&k, &error);
        assert!(k.evaluate(&point) < 0.0, "{text}: {error}");
        assert!(error.len() < 250, "{text}: {error}");
    }
}

#[test]
fn points_lie_in_the_domain_and_near_the_point() {
    let k: Polynomial = "(x - 1)^2 - y^3".parse().unwrap();
    let one = collimate_polynomial::BigRational::from_integer(1.into());
    let place = Neighbourhood {
        point: [("x".to_owned(), one)].into(),
        non_negative: ["y".to_owned()].into(),
        ..Neighbourhood::default()
    };
    let error = place.learning_coefficient(&k).unwrap_err().to_string();
    let found = point(&k, &error);
    assert!(found[1] > 0.0 && k.evaluate(&found) < 0.0, "{error}");
    assert!((found[0] - 1.0).abs() <= 1.0, "{error}");
}
