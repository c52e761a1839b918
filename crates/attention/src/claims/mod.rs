//! Claims about attention, as programs that answer Upheld, Refuted or Inconclusive.
//!
//! Each claim is a function of its subject, so you can examine your own attention. The subject implements a small trait or is a
//! plain function:
//!
//! | subject | trait |
//! |---|---|
//! | a map of rows to rows | [`SelfAttention`] |
//! | attention of queries to keys and values | [`Attends`]; with log-sum-exps [`AttendsWithSum`], with gradients [`HasGradients`], with heads [`AttendsByHead`] |
//! | attention with a further argument: a slope, a bias, gates, a sink, a window or a scale | [`AttendsWith`], or a function |
//! | only the scores | [`Scores`]; for scores of steps [`StepScores`] |
//! | a difference of two maps | [`DifferentialAttends`] |
//! | latent attention | [`LatentAttends`] |
//! | linear or recurrent attention | [`KeepsState`] |
//! | a head of a residual stream, by its weights | [`ResidualHead`] |
//! | a composition score, a rollout, a rotation, slopes, random features, a way to join parts | a function |
//!
//! ```
//! use collimate_attention::claims::{SelfAttention, permutation_equivariance};
//! use collimate_claims::{Budget, examine};
//! use ndarray::Array2;
//!
//! /// Every row becomes the mean of all rows up to itself.
//! struct RunningMean;
//!
//! impl SelfAttention for RunningMean {
//!     fn attend(&self, x: &Array2<f64>) -> Array2<f64> {
//!         Array2::from_shape_fn(x.dim(), |(t, d)| x.slice(ndarray::s![..=t, d]).sum() / (t + 1) as f64)
//!     }
//! }
//!
//! let report = examine(&permutation_equivariance(RunningMean), &Budget::quick());
//! assert!(report.refuted()); // its output depends on the order of the rows
//! assert_eq!(report.outcome.counterexample.unwrap().dims[0], ("tokens", 2));
//! ```

mod causality;
mod circuits;
mod derivatives;
mod differential;
mod identities;
mod induction;
mod initialisation;
mod latent;
mod linear;
mod logit_changes;
mod order;
mod performer;
mod positions;
mod product_rule;
mod rank;
mod scores;
mod subjects;
mod weights;

pub use causality::{future_is_invisible, future_nan_is_invisible};
pub use circuits::{
    HeadWeights, ResidualHead, circuits_are_the_head, circuits_have_no_basis, composition_is_a_share,
    random_heads_do_not_compose, rollout_is_stochastic,
};
pub use derivatives::{HasGradients, key_gradients_cancel, no_gradient_to_the_future};
pub use differential::{
    DifferentialAttends, differential_common_error, differential_equal_maps, differential_first_weight,
    differential_lowers_noise, differential_noise_variance, differential_non_negative, differential_row_sum,
};
pub use identities::{
    groups_at_the_ends, hopfield_update, plus_one_is_zero_sink, same_output, sink_is_gate,
    wide_window_is_causal,
};
pub use induction::hand_built_induction_head;
pub use initialisation::{
    averages_contract, gradient_through_depth_with_norms, gradient_through_depth_without_norms,
    output_variance_with_scale, output_variance_without_scale, skips_contract,
    unscaled_scores_have_unit_variance,
};
pub use latent::{LatentAttends, latent_absorbed_is_expanded};
pub use linear::{
    KeepsState, Tokens, additive_memory_overwrites, bidirectional_linear_is_last, causal_linear_pattern_rank,
    delta_exact_memory, delta_forgets_order, linear_forgets_order, linear_forms_agree, linear_pattern_rank,
    linear_state_is_all,
};
pub use logit_changes::{
    alibi_is_key_bias, alibi_is_relative, alibi_slopes_are_geometric, constant_forgetting_is_alibi,
    softcap_order_is_irrelevant,
};
pub use order::{causal_permutation_equivariance, global_lipschitz, permutation_equivariance};
pub use performer::{performer_unbiased, performer_unbiased_with_epsilon, performer_variance};
pub use positions::{rotary_composes, rotary_decays, rotary_is_relative, rotary_keeps_norms};
pub use product_rule::{
    StepScores, companion_invariances, product_rule_diagonal, product_rule_leibniz,
    product_rule_published_weights, product_rule_telescopes, product_rule_zero_on_constants,
};
pub use rank::{pattern_rank, score_rank};
pub use scores::{Scores, correlated_scores_stay_small, score_second_moment, unit_score_variance};
pub use subjects::{Attends, AttendsWith, SelfAttention};
pub use weights::{
    AttendsByHead, AttendsWithSum, common_key_shift, convex_hull, grouped_is_repeated, pattern_is_stochastic,
    softmax_half_lipschitz, split_keys_merge, split_keys_monoid,
};

use crate::algebra::{Distance, LatentForm, LogitChange, Normaliser, Variant, lambda_init};
use crate::linear::Form;
use crate::{Attention, HeadMap, Mask, Offset, Scale, prefix_matching};
use collimate_claims::Claims;
use linear::Member;
use ndarray::Array2;

/// Returns the claims of this crate, about its own attention.
pub fn claims() -> Claims {
    let plain = Attention::scaled_dot_product();
    let causal = plain.mask(Mask::causal(Offset::zero()));
    // A variant that the plain definition computes.
    let by_definition = Variant::scaled_dot_product(Offset::zero());
    let capped = by_definition.clone().logit(LogitChange::Softcap(30.0));
    let plus_one = identities::causal().normaliser(Normaliser::SoftmaxPlusOne);
    let unscaled = plain.scale(Scale::Fixed(1.0));
    let [interleaved, _] = positions::turns();
    let own_matching = |pattern: &Array2<f64>, tokens: &[u32]| {
        prefix_matching(pattern, tokens).expect("a token is repeated").value
    };
    let [expanded, absorbed] = [LatentForm::Expanded, LatentForm::Absorbed].map(latent::InForm);
    let groupings = [HeadMap::grouped_by_floor, HeadMap::grouped_by_modulo].map(identities::Groups);
    let distances = [Distance::Signed, Distance::Absolute].map(logit_changes::WithAlibi);
    let ways = [
        (Form::Recurrent, Form::Parallel),
        (Form::Chunked { size: 3 }, Form::Recurrent),
        (Form::Parallel, Form::Chunked { size: 16 }),
    ];
    let forms = Member::ALL.into_iter().flat_map(move |m| ways.map(|(one, other)| (m.by(one), m.by(other))));
    let chunked = Member::ALL.map(|member| member.by(Form::Chunked { size: 5 }));
    let (additive, delta) = (Member::Linear.by(Form::Recurrent), Member::DeltaNet.by(Form::Recurrent));
    let additive_at_once = Member::Linear.by(Form::Parallel);
    Claims::new()
        .with(score_second_moment(plain))
        .with(unit_score_variance(plain))
        .with(correlated_scores_stay_small(plain))
        .with(pattern_is_stochastic(plain))
        .with(convex_hull(plain))
        .with(common_key_shift(plain))
        .with(softmax_half_lipschitz(weights::own_softmax))
        .with(split_keys_merge(plain))
        .with(split_keys_monoid(weights::own_merge))
        .with(grouped_is_repeated(weights::Grouped(HeadMap::grouped_by_floor)))
        .with(permutation_equivariance(plain))
        .with(causal_permutation_equivariance(causal))
        .with(global_lipschitz(plain))
        .with(score_rank(plain))
        .with(pattern_rank(plain))
        .with(future_is_invisible(causal))
        .with(future_nan_is_invisible(causal))
        .with(no_gradient_to_the_future(causal))
        .with(key_gradients_cancel(causal))
        .with(rotary_keeps_norms(positions::turns()))
        .with(rotary_is_relative(positions::own_rotary()))
        .with(rotary_composes(positions::turns()))
        .with(rotary_decays(interleaved))
        .with(hand_built_induction_head(induction::own_head, own_matching))
        .with(differential_row_sum(differential::Own))
        .with(differential_equal_maps(differential::Own))
        .with(differential_first_weight(lambda_init, differential::own_factor))
        .with(differential_non_negative(differential::Own))
        .with(differential_common_error(differential::combined))
        .with(differential_noise_variance(differential::combined))
        .with(differential_lowers_noise(differential::combined))
        .with(sink_is_gate(causal, identities::own_sink))
        .with(plus_one_is_zero_sink(causal, plus_one, identities::own_sink))
        .with(latent_absorbed_is_expanded(expanded, absorbed))
        .with(groups_at_the_ends(groupings, identities::Ends))
        .with(alibi_is_key_bias(logit_changes::own_alibi, logit_changes::own_biased))
        .with(alibi_is_relative(distances))
        .with(alibi_slopes_are_geometric(logit_changes::own_slopes))
        .with(constant_forgetting_is_alibi(logit_changes::own_forgetting, logit_changes::own_alibi))
        .with(wide_window_is_causal(identities::own_window, identities::causal()))
        .with(softcap_order_is_irrelevant(logit_changes::own_cap_first, logit_changes::own_bias_first))
        .with(hopfield_update(identities::own_scaled))
        .with(unscaled_scores_have_unit_variance(unscaled))
        .with(output_variance_with_scale(plain))
        .with(output_variance_without_scale(unscaled))
        .with(averages_contract(capped.clone()))
        .with(skips_contract(capped))
        .with(gradient_through_depth_with_norms(by_definition.clone()))
        .with(gradient_through_depth_without_norms(by_definition))
        .with(linear_forms_agree(forms))
        .with(linear_state_is_all(chunked))
        .with(linear_forgets_order(additive))
        .with(delta_forgets_order(delta))
        .with(linear_pattern_rank(additive_at_once))
        .with(causal_linear_pattern_rank(additive_at_once))
        .with(delta_exact_memory(delta))
        .with(additive_memory_overwrites(additive))
        .with(bidirectional_linear_is_last(Member::Normalised.by(Form::Recurrent), linear::without_mask))
        .with(performer_unbiased(performer::own_features(0.0)))
        .with(performer_unbiased_with_epsilon(performer::own_features(1e-4)))
        .with(performer_variance(performer::own_features(0.0)))
        .with(product_rule_leibniz(product_rule::Own))
        .with(product_rule_telescopes(product_rule::Own))
        .with(product_rule_zero_on_constants(product_rule::Own))
        .with(product_rule_published_weights(product_rule::own_weights))
        .with(product_rule_diagonal(product_rule::Own))
        .with(companion_invariances(product_rule::own_companions))
        .with(circuits_are_the_head(circuits::Own))
        .with(circuits_have_no_basis(circuits::own_score))
        .with(composition_is_a_share(circuits::own_score))
        .with(random_heads_do_not_compose(circuits::own_score))
        .with(rollout_is_stochastic(circuits::own_rollout))
}
