//! The recurrence that all variants come down to, checked once.

use super::{Form, LinearGradients, LogDecay, Setting};
use crate::error::check_shape;
use crate::{AttentionError, HeadMap};
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, Array3, ArrayRef, ArrayRef2, ArrayRef3, Axis, Dimension, s};
use std::ops::Range;

/// How many steps of the recurrent form share one stored state for the way back.
const CHECKPOINT: usize = 64;

/// Which keys a query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those up to its own token.
    Past,
    /// All of them, of a sequence of its own.
    All,
}

/// All inputs of a recurrence.
#[derive(Clone, Debug)]
pub struct Problem<F> {
    pub(super) map: HeadMap,
    pub(super) form: Form,
    pub(super) reach: Reach,
    pub(super) scale: F,
    /// (h, t, d)
    pub(super) q: Array3<F>,
    /// (g, t, d)
    pub(super) k: Array3<F>,
    /// (g, t, e)
    pub(super) v: Array3<F>,
    /// (g, t, 1 or d), or (g, 1, 1) for one number a head.
    pub(super) log_decay: Option<Array3<F>>,
    /// (g, t) under the delta rule.
    pub(super) beta: Option<Array2<F>>,
    /// (g, d, e)
    pub(super) initial: Array3<F>,
}

impl<F: Scalar> Problem<F> {
    /// Checks q, k and v; the state starts at zero, without decay and delta rule.
    pub(super) fn new(
        setting: &Setting,
        reach: Reach,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<Self, AttentionError> {
        let ((h, t, d), (g, s, _)) = (q.dim(), k.dim());
        setting.heads.check(h, g)?;
        let e = v.dim().2;
        match reach {
            Reach::Past => {
                check_shape("k", "(g, t, d)", &[g, t, d], k.shape())?;
                check_shape("v", "(g, t, e)", &[g, t, e], v.shape())?;
            }
            Reach::All => {
                check_shape("k", "(g, s, d)", &[g, s, d], k.shape())?;
                check_shape("v", "(g, s, e)", &[g, s, e], v.shape())?;
            }
        }
        if setting.form == (Form::Chunked { size: 0 }) {
            return Err(AttentionError::OutOfRange {
                name: "the size of a chunk",
                expected: "at least 1",
                given: 0.0,
            });
        }
        for (name, x) in [("q", q), ("k", k), ("v", v)] {
            check_finite(name, x)?;
        }
        let scale = F::from_f64(setting.scale.value(d));
        let (q, k, v) = (q.to_owned(), k.to_owned(), v.to_owned());
        let initial = Array3::zeros((g, d, e));
        let (map, form) = (setting.heads, setting.form);
        Ok(Self { map, form, reach, scale, q, k, v, log_decay: None, beta: None, initial })
    }

    /// With a decay.
    pub(super) fn decaying(self, log_decay: LogDecay<'_, F>) -> Result<Self, AttentionError> {
        let (g, t, d) = self.k.dim();
        let log_decay = match log_decay {
            LogDecay::PerHead(x) => {
                check_shape("log_decay", "(g)", &[g], x.shape())?;
                x.to_owned().insert_axis(Axis(1)).insert_axis(Axis(2))
            }
            LogDecay::PerToken(x) => {
                check_shape("log_decay", "(g, t)", &[g, t], x.shape())?;
                x.to_owned().insert_axis(Axis(2))
            }
            LogDecay::PerChannel(x) => {
                check_shape("log_decay", "(g, t, d)", &[g, t, d], x.shape())?;
                x.to_owned()
            }
        };
        match log_decay.iter().find(|x| !x.is_finite() && **x != F::neg_infinity()) {
            None => Ok(Self { log_decay: Some(log_decay), ..self }),
            Some(bad) => Err(AttentionError::OutOfRange {
                name: "log_decay",
                expected: "a finite number or −∞",
                given: (*bad).to_f64(),
            }),
        }
    }

    /// With the delta rule.
    pub(super) fn correcting(self, beta: &ArrayRef2<F>) -> Result<Self, AttentionError> {
        let (g, t, _) = self.k.dim();
        check_shape("beta", "(g, t)", &[g, t], beta.shape())?;
        check_finite("beta", beta)?;
        Ok(Self { beta: Some(beta.to_owned()), ..self })
    }

    /// From a state, for example the final one of the tokens before.
    pub(super) fn starting(self, initial: Option<&ArrayRef3<F>>) -> Result<Self, AttentionError> {
        let Some(initial) = initial else { return Ok(self) };
        check_shape("initial", "(g, d, e)", self.initial.shape(), initial.shape())?;
        check_finite("initial", initial)?;
        Ok(Self { initial: initial.to_owned(), ..self })
    }

    /// The parts of the sequence between two stored states.
    pub(super) fn blocks(&self) -> Vec<Range<usize>> {
        let tokens = self.k.dim().1;
        let size = match self.form {
            Form::Recurrent => CHECKPOINT,
            Form::Chunked { size } => size,
            Form::Parallel => tokens.max(1),
        };
        (0..tokens).step_by(size).map(|start| start..(start + size).min(tokens)).collect()
    }

    /// The query heads that read a key head.
    pub(super) fn readers(&self, group: usize) -> Vec<usize> {
        (0..self.q.dim().0).filter(|&head| self.map.key_head(head) == group).collect()
    }

    /// What one key head and its readers need of one block; the queries carry the scale.
    pub(super) fn block(&self, group: usize, readers: &[usize], tokens: Range<usize>) -> Block<F> {
        let (size, rows) = (tokens.len(), s![group, tokens.clone(), ..]);
        let decay = self.log_decay.as_ref().map(|x| {
            let own = x.index_axis(Axis(0), group);
            let shape = (self.k.dim().1, x.dim().2);
            let every = own.broadcast(shape).expect("checked when it was taken");
            every.slice(s![tokens.clone(), ..]).mapv(F::exp)
        });
        Block {
            q: readers.iter().map(|&h| &self.q.slice(s![h, tokens.clone(), ..]) * self.scale).collect(),
            k: self.k.slice(rows).to_owned(),
            v: self.v.slice(rows).to_owned(),
            // A decay of 1 changes no bit.
            decay: decay.unwrap_or_else(|| Array2::ones((size, 1))),
            beta: self.beta.as_ref().map(|x| x.slice(s![group, tokens]).to_owned()),
        }
    }

    /// The part of a direction that belongs to a block, with the direction of the state before it.
    pub(super) fn block_direction(
        &self,
        direction: &LinearGradients<F>,
        group: usize,
        readers: &[usize],
        tokens: Range<usize>,
        state: Array2<F>,
    ) -> BlockGradients<F> {
        let rows = s![group, tokens.clone(), ..];
        let decay = direction.log_decay.as_ref().map(|x| {
            let own = x.index_axis(Axis(0), group);
            let every = own.broadcast((self.k.dim().1, x.dim().2)).expect("checked when it was taken");
            every.slice(s![tokens.clone(), ..]).to_owned()
        });
        let of_q = |&h: &usize| &direction.q.slice(s![h, tokens.clone(), ..]) * self.scale;
        BlockGradients {
            q: readers.iter().map(of_q).collect(),
            k: direction.k.slice(rows).to_owned(),
            v: direction.v.slice(rows).to_owned(),
            decay: decay.unwrap_or_else(|| Array2::zeros((tokens.len(), 1))),
            beta: direction.beta.as_ref().map(|x| x.slice(s![group, tokens]).to_owned()),
            state,
        }
    }
}

/// One key head over a run of tokens.
pub(super) struct Block<F> {
    /// By reader: (t, d), times the scale.
    pub(super) q: Vec<Array2<F>>,
    /// (t, d)
    pub(super) k: Array2<F>,
    /// (t, e)
    pub(super) v: Array2<F>,
    /// The factors on the state (t, 1 or d).
    pub(super) decay: Array2<F>,
    /// (t)
    pub(super) beta: Option<Array1<F>>,
}

/// The gradients by a [`Block`], or a direction in it, in its shapes; `decay` is that of the logarithm.
pub(super) struct BlockGradients<F> {
    pub(super) q: Vec<Array2<F>>,
    pub(super) k: Array2<F>,
    pub(super) v: Array2<F>,
    pub(super) decay: Array2<F>,
    pub(super) beta: Option<Array1<F>>,
    /// That of the state before the block (d, e).
    pub(super) state: Array2<F>,
}

/// An error that names the argument when a number of it is NaN or infinite.
fn check_finite<F: Scalar, D: Dimension>(
    name: &'static str,
    x: &ArrayRef<F, D>,
) -> Result<(), AttentionError> {
    match x.iter().find(|x| !x.is_finite()) {
        None => Ok(()),
        Some(bad) => Err(AttentionError::OutOfRange { name, expected: "finite", given: (*bad).to_f64() }),
    }
}
