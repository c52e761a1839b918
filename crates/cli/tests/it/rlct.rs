//! `collimate rlct`.

use super::run;
use serde_json::Value;

fn output(arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &[&["rlct"], arguments].concat())
}

#[test]
fn polynomials_and_models() {
    for (arguments, expected) in [
        (&["x^2*y^4 + x^4*y^2"][..], "lambda = 1/3, multiplicity = 1\nvariables: x, y\n"),
        (&["reduced-rank", "5", "3", "5", "--rank", "0"], "lambda = 13/2, multiplicity = 2\n"),
        (&["deep-linear", "10", "10", "10", "10", "--rank", "5"], "lambda = 46, multiplicity = 3\n"),
        (&["regular", "5"], "lambda = 5/2, multiplicity = 1\n"),
        (&["tanh", "2"], "lambda = 2/3, multiplicity = 1\n"),
        (&["mixture"], "lambda = 1/2, multiplicity = 2\n"),
        (&["crossing", "1", "3", "3"], "lambda = 1/6, multiplicity = 2\n"),
        (&["polynomial", "x^2*y^4 + x^4*y^2"], "lambda = 1/3, multiplicity = 1\nvariables: x, y\n"),
        (&["gon", "5", "6"], "lambda = 7, multiplicity = 1\n"),
        (&["gon", "5", "6", "--dead", "0"], "lambda = 17/2, multiplicity = 1\n"),
        (&["x^2 - y^2", "--square"], "lambda = 1/2, multiplicity = 2\nvariables: x, y\n"),
        (&["-x - y", "--square"], "lambda = 1/2, multiplicity = 1\nvariables: x, y\n"),
        (&["x^2*y^2", "--prior", "y"], "lambda = 1/2, multiplicity = 1\nvariables: x, y\n"),
        (&["(x*y²)^2"], "lambda = 1/4, multiplicity = 1\nvariables: x, y\n"),
        (&["(xy)^2+(zw)^2"], "lambda = 1, multiplicity = 3\nvariables: x, y, z, w\n"),
        (&["(a+b+c+d+e+f)^60"], "lambda = 1/60, multiplicity = 1\nvariables: a, b, c, d, e, f\n"),
        (&["x^2*(x - 1)^4*y^2", "--at", "x = 1"], "lambda = 1/4, multiplicity = 1\nvariables: x, y\n"),
        (&["(x+1/2)^2*y^2", "--at", "y=0, x=-1/2"], "lambda = 1/2, multiplicity = 2\nvariables: x, y\n"),
        (&["(x + y)^2", "--non-negative", "x, y"], "lambda = 1, multiplicity = 1\nvariables: x, y\n"),
        (&["tanh", "4"], "lambda = 1, multiplicity = 2\n"),
        (&["vandermonde", "2", "2"], "lambda = 2/3, multiplicity = 1\n"),
        (&["vandermonde", "1", "2", "2"], "lambda = 1/2, multiplicity = 1\n"),
        (&["free-mixture"], "lambda = 3/4, multiplicity = 1\n"),
    ] {
        let (status, out, said) = output(arguments);
        assert_eq!((status, out.as_str()), (0, expected), "{arguments:?}: {said}");
    }
}

#[test]
fn json_has_the_exact_fraction() {
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&output(arguments).1).unwrap() };
    let found = json(&["reduced-rank", "5", "3", "5", "--rank", "0", "--json"]);
    assert_eq!(found, serde_json::json!({"lambda": "13/2", "multiplicity": 2, "certified": true}));
    let found = json(&["deep-linear", "10", "10", "10", "10", "--rank", "5", "--json"]);
    assert_eq!(found, serde_json::json!({"lambda": "46", "multiplicity": 3, "certified": true}));
    let found = json(&["(a*b + c*d)^2 + (a*b^3 + c*d^3)^2", "--json"]);
    assert_eq!((&found["certified"], &found["bound"]), (&Value::from(false), &Value::from("upper")));
    assert_eq!(found["variables"], serde_json::json!(["a", "b", "c", "d"]));
    assert!(found["reason"].is_string() && found["lambda"].is_string());
}

#[test]
fn errors_name_the_reason_and_the_next_step() {
    for (arguments, words) in [
        (&["x + y"][..], "negative arbitrarily close"),
        (&["x^2 - y^2"], "--square"),
        (&["1 + x^2"], "at the origin"),
        (&["x^2 +"], "at character 6"),
        (&["reduced-rank", "5", "3"], "three sizes"),
        (&["deep-linear", "3", "2", "--rank", "3"], "at most the smallest width"),
        (&["x^2", "3"], "takes no sizes"),
        (&["x^2", "--prior", "z"], "which is not a variable of the polynomial"),
        (&["mixture", "--square"], "for polynomials"),
        (&["mixture", "--at", "x=1"], "--at is for polynomials"),
        (&["tanh", "2", "--non-negative", "x"], "--non-negative is for polynomials"),
        (&["regular", "2", "--work", "5"], "--work is for polynomials"),
        (&["vandermonde", "2"], "two or three sizes"),
        (&["free-mixture", "2"], "no sizes"),
        (&["x^2*y^2", "--at", "x"], "--at takes coordinates such as"),
        (&["x^2*y^2", "--at", "z=1"], "--at uses z, which is not a variable of the polynomial (x, y)"),
        (&["x^2*y^2", "--at", "x=y"], "a coordinate must be a number"),
        (&["x^2*y^2", "--at", "x=0,x=1"], "twice"),
        (&["x^2*y^2 + 1", "--at", "x=1, y=2"], "it is 5 at x = 1, y = 2"),
        (&["x^2*y^2", "--at", "x=1", "--prior", "x"], "a point where x is not 0"),
        (&["x^2*y^2", "--at", "x=1", "--non-negative", "x"], "has no effect"),
        (&["x^2*y^2", "--non-negative", "w"], "--non-negative uses w"),
        (&["x^2*y^2", "--prior", "2"], "product of powers"),
        (&["x^2*y^2", "--prior", "-x"], "product of powers"),
        (&["x^2*y^2", "--work", "0"], "--work must be at least 1"),
        (&["weight^2"], "could be one name or a product"),
        (&["x^4+y^4+z^4-4*x*y*z^2"], "K = -1 at x = 1, y = 1, z = 1"),
        (&["reduced-rank", "5", "3", "5", "--rank", "-1"], "invalid value '-1' for '--rank"),
        (&["reduced-rank", "-5", "3", "5"], "invalid value '-5'"),
        (&["x^2", "--rank", "3"], "--rank is for reduced-rank and deep-linear"),
        (&["polynomial", "x^2", "--rank", "3"], "--rank is for"),
        (&["polynomial"], "one polynomial, in quotes"),
        (&["crossing"], "at least one power"),
        (&["crossing", "99999999999"], "a power must be below 2^32"),
        (&["regular", "x"], "'x': a size must be a whole number"),
        (&["deep-linear", "3"], "the number of widths must be at least 2, but is 1"),
    ] {
        let (status, _, said) = output(arguments);
        assert!(status == 2 && said.contains(words), "{arguments:?}: {status} {said}");
        // A square helps only a polynomial that vanishes at the origin.
        assert_eq!(
            said.contains("--square uses"),
            ["x + y", "x^2 - y^2", "x^4+y^4+z^4-4*x*y*z^2"].contains(&arguments[0]),
            "{said}"
        );
    }
}
