use collimate_attention::algebra::{LogitChange, Normaliser, Variant};
use collimate_attention::circuits::{Composition, Factored};
use collimate_attention::claims::{
    self, DifferentialAttends, HeadWeights, KeepsState, ResidualHead, SelfAttention, Tokens,
    averages_contract, bidirectional_linear_is_last, causal_linear_pattern_rank, circuits_are_the_head,
    common_key_shift, composition_is_a_share, convex_hull, delta_exact_memory, differential_row_sum,
    future_is_invisible, future_nan_is_invisible, key_gradients_cancel, linear_forgets_order,
    linear_forms_agree, linear_pattern_rank, linear_state_is_all, no_gradient_to_the_future,
    pattern_is_stochastic, permutation_equivariance, rollout_is_stochastic, rotary_composes,
    rotary_keeps_norms, same_output, score_rank, score_second_moment, split_keys_monoid,
};
use collimate_attention::{Attention, Mask, Offset, Scale};
use collimate_claims::{Budget, Kind, Meta, Subject, examine};
use ndarray::{Array1, Array2, Array3, Axis};

#[test]
fn every_claim_comes_out_as_its_kind_demands() {
    let claims = claims::claims();
    claims.check().unwrap();
    assert!(claims.iter().filter(|claim| claim.meta().kind == Kind::Counterexample).count() >= 5);
    for claim in claims.iter() {
        let report = examine(claim, &Budget::quick());
        assert!(report.as_expected(), "{report}");
    }
}

#[test]
fn counterexamples_are_the_smallest() {
    let claims = claims::claims();
    let found = |id| examine(claims.get(id).unwrap(), &Budget::quick()).outcome.counterexample.unwrap();
    assert_eq!(found("attention/causal-permutation-equivariance").dims, [("tokens", 2), ("width", 1)]);
    assert_eq!(found("attention/pattern-rank").dims, [("tokens", 2), ("width", 1)]);
    assert_eq!(found("attention/correlated-scores-stay-small").dims, [("width", 2)]);
    assert_eq!(found("attention/unscaled-scores-have-unit-variance").dims, [("width", 2)]);
    assert_eq!(found("attention/rotary-decays").dims, [("pairs", 1)]);
    assert_eq!(found("attention/global-lipschitz").dims, [("tokens", 2), ("width", 1)]);
}

/// A difference of two maps that ignores λ.
struct Forgetful;

impl DifferentialAttends for Forgetful {
    fn attend(&self, _: [&Array2<f64>; 2], _: [&Array2<f64>; 2], v: &Array2<f64>, _: f64) -> Array2<f64> {
        v.clone()
    }
}

#[test]
fn claims_judge_variants_and_differences_that_are_not_ours() {
    assert!(examine(&differential_row_sum(Forgetful), &Budget::quick()).refuted());
    assert!(examine(&averages_contract(Reverse), &Budget::quick()).upheld());
    let capped = Variant::scaled_dot_product(Offset::zero()).logit(LogitChange::Softcap(5.0));
    assert!(examine(&pattern_is_stochastic(capped.clone()), &Budget::quick()).upheld());
    // A cap breaks the invariance under a common shift of the keys, and a sink changes the row sums.
    assert!(examine(&common_key_shift(capped.clone()), &Budget::quick()).refuted());
    let plus_one = Variant::scaled_dot_product(Offset::zero()).normaliser(Normaliser::SoftmaxPlusOne);
    assert!(examine(&pattern_is_stochastic(plus_one), &Budget::quick()).refuted());
    let meta = Meta::counterexample("own/cap-is-nothing", Subject::Own, "a softcap changes nothing");
    assert!(examine(&same_output(meta, capped, Attention::scaled_dot_product()), &Budget::quick()).refuted());
}

/// Linear attention that adds under the key of the token before.
struct Late;

impl KeepsState for Late {
    fn run(&self, x: &Tokens, state: Option<&Array2<f64>>) -> (Array2<f64>, Array2<f64>) {
        let (n, d) = x.k.dim();
        let mut state = state.map_or_else(|| Array2::zeros((d, x.v.ncols())), Array2::clone);
        let mut out = Array2::zeros(x.v.dim());
        for t in 0..n {
            out.row_mut(t).assign(&x.q.row(t).dot(&state));
            let (k, v) = (x.k.row(t).insert_axis(Axis(1)), x.v.row(t).insert_axis(Axis(0)));
            state += &k.dot(&v);
        }
        (out, state)
    }
}

/// Linear attention that adds like [`Late`], but whose tokens read the value that they have written.
struct InTime;

impl KeepsState for InTime {
    fn run(&self, x: &Tokens, state: Option<&Array2<f64>>) -> (Array2<f64>, Array2<f64>) {
        let (mut out, after) = Late.run(x, state);
        for (t, mut row) in out.rows_mut().into_iter().enumerate() {
            row.scaled_add(x.q.row(t).dot(&x.k.row(t)), &x.v.row(t));
        }
        (out, after)
    }
}

#[test]
fn claims_judge_linear_attention_that_is_not_ours() {
    let quick = Budget::quick();
    assert!(examine(&linear_state_is_all([InTime]), &quick).upheld());
    assert!(examine(&linear_forgets_order(InTime), &quick).upheld());
    assert!(examine(&linear_pattern_rank(InTime), &quick).upheld());
    assert!(examine(&causal_linear_pattern_rank(InTime), &quick).refuted());
    assert!(examine(&delta_exact_memory(InTime), &quick).refuted());
    let report = examine(&linear_forms_agree([(InTime, Late)]), &quick);
    assert!(report.refuted());
    assert_eq!(report.outcome.counterexample.unwrap().dims, [("tokens", 1), ("width", 1)]);
    let mean = |_: &Array2<f64>, _: &Array2<f64>, v: &Array2<f64>| v.clone();
    assert!(examine(&bidirectional_linear_is_last(InTime, mean), &quick).refuted());
}

/// A head whose weights are stored for columns: its output goes through W_O transposed.
struct Columns;

impl ResidualHead for Columns {
    fn scores(&self, w: &HeadWeights, x: &Array2<f64>) -> Array2<f64> {
        x.dot(&w.w_q).dot(&x.dot(&w.w_k).t())
    }
    fn writes(&self, w: &HeadWeights, x: &Array2<f64>) -> Array2<f64> {
        x.dot(&w.w_o.t()).dot(&w.w_v.t())
    }
}

#[test]
fn claims_judge_circuits_that_are_not_ours() {
    let quick = Budget::quick();
    let report = examine(&circuits_are_the_head(Columns), &quick);
    assert!(report.refuted());
    // One number for the residual is its own transpose.
    assert_eq!(report.outcome.counterexample.unwrap().dims[1], ("residual", 2));
    let not_divided =
        |_: Composition, a: &Factored, b: &Factored| Some(a.norm().unwrap() * b.norm().unwrap());
    assert!(examine(&composition_is_a_share(not_divided), &quick).refuted());
    // Without the skip and the division by the sum of the rows.
    let product =
        |layers: &[Array3<f64>]| layers[0].index_axis(Axis(0), 0).dot(&layers[1].index_axis(Axis(0), 0));
    assert!(examine(&rollout_is_stochastic(product), &quick).refuted());
}

/// Joins two parts wrongly, by their mean.
fn mean(a: &(Array2<f64>, Array1<f64>), b: &(Array2<f64>, Array1<f64>)) -> (Array2<f64>, Array1<f64>) {
    ((&a.0 + &b.0) / 2.0, a.1.clone())
}

#[test]
fn claims_judge_parts_scores_and_derivatives_that_are_not_ours() {
    let quick = Budget::quick();
    assert!(examine(&split_keys_monoid(mean), &quick).refuted());
    let unscaled = Attention::scaled_dot_product().scale(Scale::Fixed(1.0));
    assert!(examine(&score_second_moment(unscaled), &quick).refuted());
    assert!(examine(&score_rank(unscaled), &quick).upheld());
    // A cap changes the scores, so a common shift has an effect, and the gradients by the keys do not cancel.
    let capped = Variant::scaled_dot_product(Offset::zero()).logit(LogitChange::Softcap(0.5));
    assert!(examine(&key_gradients_cancel(capped), &quick).refuted());
    assert!(examine(&no_gradient_to_the_future(Attention::scaled_dot_product()), &quick).refuted());
    let shift = |x: &Array1<f64>, position: usize| x + position as f64;
    assert!(examine(&rotary_keeps_norms([shift]), &quick).refuted());
    assert!(examine(&rotary_composes([shift]), &quick).upheld());
}

/// The rows in reverse order.
struct Reverse;

impl SelfAttention for Reverse {
    fn attend(&self, x: &Array2<f64>) -> Array2<f64> {
        x.slice(ndarray::s![..;-1, ..]).to_owned()
    }
}

#[test]
fn claims_judge_attention_that_is_not_ours() {
    assert!(examine(&permutation_equivariance(Reverse), &Budget::quick()).refuted());
    assert!(examine(&future_is_invisible(Reverse), &Budget::quick()).refuted());
    let shifted = Attention::scaled_dot_product().mask(Mask::causal(Offset::fixed(1)));
    assert!(examine(&future_is_invisible(shifted), &Budget::quick()).refuted());
}

/// Attention whose first number is NaN.
struct Hole;

impl claims::Attends for Hole {
    fn attend_to(&self, q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>) -> Array2<f64> {
        let mut out = claims::Attends::attend_to(&Attention::scaled_dot_product(), q, k, v);
        out[[0, 0]] = f64::NAN;
        out
    }
}

impl SelfAttention for Hole {
    fn attend(&self, x: &Array2<f64>) -> Array2<f64> {
        claims::Attends::attend_to(self, x, x, x)
    }
}

#[test]
fn one_nan_among_many_numbers_refutes() {
    let quick = Budget::quick();
    for report in [
        examine(&common_key_shift(Hole), &quick),
        examine(&convex_hull(Hole), &quick),
        examine(&pattern_is_stochastic(Hole), &quick),
        examine(&permutation_equivariance(Hole), &quick),
    ] {
        assert!(report.refuted(), "{report}");
    }
}

/// Causal attention that multiplies later rows by zero instead of leaving them out.
struct Leaky;

impl SelfAttention for Leaky {
    fn attend(&self, x: &Array2<f64>) -> Array2<f64> {
        Array2::from_shape_fn(x.dim(), |(t, c)| {
            let weight = |s: usize| if s <= t { 1.0 / (t + 1) as f64 } else { 0.0 };
            (0..x.nrows()).map(|s| weight(s) * x[[s, c]]).sum()
        })
    }
}

#[test]
fn the_printed_input_of_a_nan_claim_holds_its_nan() {
    let report = examine(&future_nan_is_invisible(Leaky), &Budget::quick());
    let found = report.outcome.counterexample.unwrap();
    assert!(found.literal.contains("f64::NAN"), "{}", found.literal);
    assert_eq!(found.dims[0], ("tokens", 2));
    // The other claim of the pair holds, and needs no NaN.
    assert!(examine(&future_is_invisible(Leaky), &Budget::quick()).upheld());
}
