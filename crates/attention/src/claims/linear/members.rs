//! The members of the family in this crate, as subjects of claims.

use super::sequences::{KeepsState, Tokens};
use crate::linear::{
    Denominator, Directions, FeatureMap, Form, LogDecay, Pass, RandomFeatures, Setting, Stabiliser,
    bidirectional_linear_attention, delta_net, gated_delta_net, gla, linear_attention, performer, retention,
    simple_gla,
};
use crate::{AttentionError, HeadMap, Scale};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, Array3, Axis, s};

/// A member of the family.
#[derive(Clone, Copy)]
pub(in crate::claims) enum Member {
    Linear,
    Normalised,
    Performer,
    Retention,
    SimpleGla,
    Gla,
    DeltaNet,
    GatedDeltaNet,
    ChannelGatedDeltaNet,
}

impl Member {
    pub(in crate::claims) const ALL: [Self; 9] = [
        Self::Linear,
        Self::Normalised,
        Self::Performer,
        Self::Retention,
        Self::SimpleGla,
        Self::Gla,
        Self::DeltaNet,
        Self::GatedDeltaNet,
        Self::ChannelGatedDeltaNet,
    ];

    /// Returns the member, computed in a form.
    pub(in crate::claims) fn by(self, form: Form) -> Computed {
        Computed { member: self, form }
    }
}

/// A member with the form of its computation.
#[derive(Clone, Copy)]
pub(in crate::claims) struct Computed {
    member: Member,
    form: Form,
}

fn setting(form: Form) -> Setting {
    Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form }
}

fn head(x: &Array2<f64>) -> Array3<f64> {
    x.clone().insert_axis(Axis(0))
}

impl Computed {
    fn pass(&self, x: &Tokens, state: Option<&Array2<f64>>) -> Result<Pass<f64>, AttentionError> {
        let setting = setting(self.form);
        let (q, k, v) = (head(&x.q), head(&x.k), head(&x.v));
        let (decay, beta) = (head(&x.log_decay), x.beta.clone().insert_axis(Axis(0)));
        let per_token = decay.slice(s![.., .., 0]).to_owned();
        let state = state.map(head);
        let initial = state.as_deref();
        match self.member {
            Member::Linear => {
                linear_attention(&setting, FeatureMap::Identity, Denominator::One, &q, &k, &v, initial)
            }
            Member::Normalised => {
                linear_attention(&setting, FeatureMap::EluPlusOne, WEIGHTED, &q, &k, &v, initial)
            }
            Member::Performer => {
                let width = k.dim().2;
                let mut stream = RngStream::new(5, width as u64);
                let features = RandomFeatures::draw(
                    Directions::Orthogonal,
                    4,
                    width,
                    Stabiliser::None,
                    0.0,
                    &mut stream,
                )?;
                performer(&setting, &features, WEIGHTED, &q, &k, &v, initial)
            }
            Member::Retention => retention(&setting, &q, &k, &v, &Array1::from_elem(1, -0.1), initial),
            Member::SimpleGla => simple_gla(&setting, &q, &k, &v, &per_token, initial),
            Member::Gla => gla(&setting, &q, &k, &v, &decay, initial),
            Member::DeltaNet => delta_net(&setting, &q, &k, &v, &beta, initial),
            Member::GatedDeltaNet => {
                gated_delta_net(&setting, &q, &k, &v, LogDecay::PerToken(&per_token), &beta, initial)
            }
            Member::ChannelGatedDeltaNet => {
                gated_delta_net(&setting, &q, &k, &v, LogDecay::PerChannel(&decay), &beta, initial)
            }
        }
    }
}

const WEIGHTED: Denominator = Denominator::SumOfWeights { epsilon: 0.0 };

impl KeepsState for Computed {
    fn run(&self, tokens: &Tokens, state: Option<&Array2<f64>>) -> (Array2<f64>, Array2<f64>) {
        let pass = self.pass(tokens, state).expect("the claim draws shapes that fit");
        (pass.out.index_axis_move(Axis(0), 0), pass.state.index_axis_move(Axis(0), 0))
    }
}

/// Runs linear attention without a mask, with its normaliser, in chunks of two.
pub(in crate::claims) fn without_mask(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>) -> Array2<f64> {
    let setting = setting(Form::Chunked { size: 2 });
    let (q, k, v) = (head(q), head(k), head(v));
    let pass = bidirectional_linear_attention(&setting, FeatureMap::EluPlusOne, WEIGHTED, &q, &k, &v, None);
    pass.expect("the claim draws shapes that fit").out.index_axis_move(Axis(0), 0)
}
