//! The linear and recurrent family against its definition, its derivatives and other libraries.

mod conformance;
mod derivatives;
mod forms;
mod maps;
mod refused;

use collimate_attention::linear::{
    Denominator, FeatureMap, Form, LogDecay, Pass, Setting, delta_net, gated_delta_net, gla,
    linear_attention, retention, simple_gla,
};
use collimate_attention::{AttentionError, HeadMap, Precision, Scale};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, Array3, s};
use proptest::prelude::*;

/// The detail of the decay.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fading {
    None,
    Head,
    Token,
    Channel,
}

/// A drawn problem.
#[derive(Clone, Debug)]
struct Case {
    key_heads: usize,
    group: usize,
    tokens: usize,
    width: usize,
    value_width: usize,
    fading: Fading,
    delta: bool,
    initial: bool,
    /// How strong the decays are: up to e^{−strength} a token.
    strength: f64,
    seed: u64,
}

/// Its inputs.
#[derive(Clone, Debug)]
struct Inputs<F> {
    q: Array3<F>,
    k: Array3<F>,
    v: Array3<F>,
    /// `[g, t, d]`; decays for each token or head use a part of it.
    log_decay: Array3<F>,
    beta: Array2<F>,
    initial: Array3<F>,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1usize..3, 1usize..3, 0usize..41, 1usize..6, 1usize..5);
    let fading = prop::sample::select(vec![Fading::None, Fading::Head, Fading::Token, Fading::Channel]);
    let strength = prop::sample::select(vec![0.1, 1.0, 40.0]);
    (sizes, fading, any::<bool>(), any::<bool>(), strength, 0u64..1 << 32).prop_map(
        |((key_heads, group, tokens, width, value_width), fading, delta, initial, strength, seed)| Case {
            key_heads,
            group,
            tokens,
            width,
            value_width,
            fading,
            delta,
            initial,
            strength,
            seed,
        },
    )
}

impl Case {
    fn setting(&self, form: Form) -> Setting {
        let (h, g) = (self.key_heads * self.group, self.key_heads);
        let heads = if self.seed.is_multiple_of(2) {
            HeadMap::grouped_by_floor(h, g)
        } else {
            HeadMap::grouped_by_modulo(h, g)
        };
        Setting { scale: Scale::Fixed(0.7), heads, form }
    }

    fn inputs(&self) -> Inputs<f64> {
        let mut stream = RngStream::new(self.seed, 0);
        let (g, t, d, e) = (self.key_heads, self.tokens, self.width, self.value_width);
        let mut normal = |shape| Array3::from_shape_simple_fn(shape, || stream.normal());
        let (q, mut k, v) = (normal((g * self.group, t, d)), normal((g, t, d)), normal((g, t, e)));
        let initial = if self.initial { normal((g, d, e)) } else { Array3::zeros((g, d, e)) };
        for mut row in k.rows_mut() {
            let length = row.dot(&row).sqrt();
            row /= length;
        }
        let log_decay = Array3::from_shape_simple_fn((g, t, d), || -self.strength * stream.uniform());
        let beta = Array2::from_shape_simple_fn((g, t), || stream.uniform());
        Inputs { q, k, v, log_decay, beta, initial }
    }

    /// Returns the factor on the state for a token and channel of a head.
    fn factor(&self, x: &Inputs<f64>, g: usize, t: usize, c: usize) -> f64 {
        match self.fading {
            Fading::None => 1.0,
            Fading::Head => x.per_head()[g].exp(),
            Fading::Token => x.log_decay[[g, t, 0]].exp(),
            Fading::Channel => x.log_decay[[g, t, c]].exp(),
        }
    }

    fn run<F: Precision>(&self, x: &Inputs<F>, form: Form) -> Result<Pass<F>, AttentionError> {
        let setting = self.setting(form);
        let Inputs { q, k, v, log_decay, beta, initial } = x;
        let (per_head, per_token) = (x.per_head(), x.per_token());
        let initial = self.initial.then_some(&**initial);
        match (self.fading, self.delta) {
            (Fading::None, false) => {
                linear_attention(&setting, FeatureMap::Identity, Denominator::One, q, k, v, initial)
            }
            (Fading::Head, false) => retention(&setting, q, k, v, &per_head, initial),
            (Fading::Token, false) => simple_gla(&setting, q, k, v, &per_token, initial),
            (Fading::Channel, false) => gla(&setting, q, k, v, log_decay, initial),
            (Fading::None, true) => delta_net(&setting, q, k, v, beta, initial),
            (fading, true) => {
                let decay = match fading {
                    Fading::Head => LogDecay::PerHead(&per_head),
                    Fading::Token => LogDecay::PerToken(&per_token),
                    _ => LogDecay::PerChannel(log_decay),
                };
                gated_delta_net(&setting, q, k, v, decay, beta, initial)
            }
        }
    }
}

impl<F: Precision> Inputs<F> {
    fn per_head(&self) -> Array1<F> {
        let first = |g| self.log_decay.get([g, 0, 0]).copied().unwrap_or_else(F::zero);
        Array1::from_shape_fn(self.k.dim().0, first)
    }

    fn per_token(&self) -> Array2<F> {
        self.log_decay.slice(s![.., .., 0]).to_owned()
    }
}

/// Returns the largest distance, where NaN counts as infinite.
fn distance(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).fold(0.0, |worst, (a, b)| {
        let d = (a - b).abs();
        if d <= worst {
            worst
        } else if d.is_nan() {
            f64::INFINITY
        } else {
            d
        }
    })
}

fn size(x: &Array3<f64>) -> f64 {
    x.iter().fold(1.0, |m, x| x.abs().max(m))
}
