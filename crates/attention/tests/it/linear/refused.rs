use super::{Case, Fading, Inputs};
use collimate_attention::linear::{Form, LinearGradients};
use collimate_attention::{AttentionError, OutOfRange, Overflow};
use ndarray::{Array2, Array3};

fn case(fading: Fading, delta: bool) -> Case {
    Case {
        key_heads: 2,
        group: 1,
        tokens: 3,
        width: 2,
        value_width: 2,
        fading,
        delta,
        initial: true,
        strength: 1.0,
        seed: 0,
    }
}

#[test]
fn errors_name_the_argument() {
    let case = case(Fading::Channel, true);
    let good = case.inputs();
    let argument = |x: Inputs<f64>| match case.run(&x, Form::Parallel).unwrap_err() {
        AttentionError::Shape { argument, .. } => argument,
        AttentionError::OutOfRange(OutOfRange { argument, .. }) => argument,
        other => panic!("{other}"),
    };
    let bad = |shape| Array3::<f64>::zeros(shape);
    assert_eq!(argument(Inputs { k: bad((2, 4, 2)), ..good.clone() }), "k");
    assert_eq!(argument(Inputs { v: bad((2, 2, 2)), ..good.clone() }), "v");
    assert_eq!(argument(Inputs { log_decay: bad((2, 3, 1)), ..good.clone() }), "log_decay");
    assert_eq!(argument(Inputs { beta: Array2::zeros((2, 2)), ..good.clone() }), "beta");
    assert_eq!(argument(Inputs { initial: bad((2, 2, 3)), ..good.clone() }), "initial");
    for bad in [f64::NAN, f64::INFINITY] {
        let with = |mut x: Array3<f64>| {
            x[[1, 1, 1]] = bad;
            x
        };
        assert_eq!(argument(Inputs { q: with(good.q.clone()), ..good.clone() }), "q");
        assert_eq!(argument(Inputs { v: with(good.v.clone()), ..good.clone() }), "v");
        assert_eq!(argument(Inputs { log_decay: with(good.log_decay.clone()), ..good.clone() }), "log_decay");
    }
    assert!(matches!(
        case.run(&Inputs { q: bad((3, 3, 2)), ..good.clone() }, Form::Parallel),
        Err(AttentionError::Heads { .. })
    ));
    let none = case.run(&good, Form::Chunked { size: 0 }).unwrap_err();
    assert_eq!(none.to_string(), "the size of a chunk must be at least 1, but is 0");
    let pass = case.run(&good, Form::Parallel).unwrap();
    assert!(pass.backward(&bad((2, 3, 1)), None).is_err());
    assert!(pass.backward(&pass.out, Some(&bad((2, 3, 2)))).is_err());
    let refused = |d: LinearGradients<f64>| pass.jvp(&d).unwrap_err().to_string();
    let zero = pass.direction();
    assert_eq!(
        refused(LinearGradients { v: bad((2, 3, 1)), ..zero.clone() }),
        "the direction of v must have the shape [2, 3, 2] [g, t, e], but has [2, 3, 1]"
    );
    let missing = LinearGradients { beta: None, ..zero.clone() };
    assert_eq!(refused(missing), "the parameter beta is missing in the direction");
    let coarse = LinearGradients { log_decay: Some(bad((2, 3, 1))), ..zero };
    assert!(refused(coarse).starts_with("the direction of log_decay"));
    let plain = Case { fading: Fading::None, delta: false, ..case.clone() };
    let pass = plain.run(&good, Form::Parallel).unwrap();
    let superfluous = LinearGradients { beta: Some(good.beta.clone()), ..pass.direction() };
    assert_eq!(
        pass.jvp(&superfluous).unwrap_err().to_string(),
        "the parameter beta is not an input of the pass"
    );
}

#[test]
fn a_state_that_overflows_is_an_error_and_no_nan() {
    let case = Case { tokens: 40, ..case(Fading::None, true) };
    let mut x = case.inputs();
    // β|k|² = 10⁴⁰: the delta rule multiplies the state by −10⁴⁰ a token.
    x.k *= 1e20;
    let token = |form| match case.run(&x, form).unwrap_err() {
        AttentionError::Overflow(Overflow::State { head: 0, token }) => token,
        other => panic!("{other}"),
    };
    let first = token(Form::Recurrent);
    assert!((1..20).contains(&first));
    assert!((first..first + 4).contains(&token(Form::Chunked { size: 3 })));
    assert_eq!(token(Form::Parallel), 39);
    assert!(case.run(&x, Form::Recurrent).unwrap_err().to_string().contains("too large for their type"));
    let plain = Case { delta: false, ..case };
    let huge = Inputs { k: &x.k * 1e200, v: &x.v * 1e200, ..x };
    assert!(matches!(
        plain.run(&huge, Form::Parallel),
        Err(AttentionError::Overflow(Overflow::State { .. }))
    ));
}

#[test]
fn no_token_keeps_the_state() {
    for delta in [false, true] {
        let case = Case { tokens: 0, ..case(Fading::Token, delta) };
        let x = case.inputs();
        for form in [Form::Recurrent, Form::Chunked { size: 4 }, Form::Parallel] {
            let pass = case.run(&x, form).unwrap();
            assert_eq!((pass.out.dim(), &pass.state), ((2, 0, 2), &x.initial));
            let gradients = pass.backward(&pass.out, Some(&x.initial)).unwrap();
            assert_eq!(gradients.initial, x.initial);
        }
    }
}
