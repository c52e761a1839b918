//! The recurrence that all members of the family share, checked once.

use super::{Form, LogDecay, Setting};
use crate::AttentionError;
use crate::error::check_shape;
use crate::parts::HeadMap;
use collimate_measure::{OutOfRange, ensure};
use collimate_tensor::Scalar;
use ndarray::{Array1, Array2, Array3, Array4, ArrayRef, ArrayRef2, ArrayRef3, Axis, Dimension, s};
use std::ops::Range;

/// The number of steps of the recurrent form that share one stored state for the backward pass.
const CHECKPOINT: usize = 64;

/// The keys that a query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The keys up to its own token.
    Past,
    /// All keys, which may be another sequence.
    All,
}

/// All inputs of a recurrence.
#[derive(Clone, Debug)]
pub struct Problem<F> {
    pub(super) map: HeadMap,
    pub(super) form: Form,
    pub(super) reach: Reach,
    pub(super) scale: F,
    /// `[h, t, d]`
    pub(super) q: Array3<F>,
    /// `[g, t, d]`
    pub(super) k: Array3<F>,
    /// `[g, t, e]`
    pub(super) v: Array3<F>,
    /// `[g, t, 1 or d]`, or `[g, 1, 1]` for one number for each head
    pub(super) log_decay: Option<Array3<F>>,
    /// `[g, t]` under the delta rule
    pub(super) beta: Option<Array2<F>>,
    /// `[g, d, e]`
    pub(super) initial: Array3<F>,
}

/// The state of each key head before each block and after the last block `[g, blocks + 1, d, e]`.
pub(crate) type States<F> = Array4<F>;

/// The gradients by all inputs, with the shapes of the inputs. A direction for [`Pass::jvp`](super::Pass::jvp) has this type too.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGradients<F> {
    /// The gradient by q `[h, t, d]`.
    pub q: Array3<F>,
    /// The gradient by k `[g, t, d]`.
    pub k: Array3<F>,
    /// The gradient by v `[g, t, e]`.
    pub v: Array3<F>,
    /// The gradient by the log-decay: `[g, t, d]` per channel, `[g, t, 1]` per token, `[g, 1, 1]` per head.
    pub log_decay: Option<Array3<F>>,
    /// The gradient by β `[g, t]`.
    pub beta: Option<Array2<F>>,
    /// The gradient by the initial state, with its shape.
    pub initial: Array3<F>,
}

impl<F: Scalar> Problem<F> {
    /// Checks q, k and v. The state starts at zero, without decay and delta rule.
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
                check_shape("k", "[g, t, d]", &[g, t, d], k.shape())?;
                check_shape("v", "[g, t, e]", &[g, t, e], v.shape())?;
            }
            Reach::All => {
                check_shape("k", "[g, s, d]", &[g, s, d], k.shape())?;
                check_shape("v", "[g, s, e]", &[g, s, e], v.shape())?;
            }
        }
        ensure(setting.form != Form::Chunked { size: 0 }, "the size of a chunk", "at least 1", 0.0)?;
        for (name, x) in [("q", q), ("k", k), ("v", v)] {
            check_finite(name, x)?;
        }
        let scale = F::from_f64(setting.scale.value(d));
        let (q, k, v) = (q.to_owned(), k.to_owned(), v.to_owned());
        let initial = Array3::zeros((g, d, e));
        let (map, form) = (setting.heads, setting.form);
        Ok(Self { map, form, reach, scale, q, k, v, log_decay: None, beta: None, initial })
    }

    /// Adds a decay.
    pub(super) fn decaying(self, log_decay: LogDecay<'_, F>) -> Result<Self, AttentionError> {
        let (g, t, d) = self.k.dim();
        let log_decay = match log_decay {
            LogDecay::PerHead(x) => {
                check_shape("log_decay", "[g]", &[g], x.shape())?;
                x.to_owned().insert_axis(Axis(1)).insert_axis(Axis(2))
            }
            LogDecay::PerToken(x) => {
                check_shape("log_decay", "[g, t]", &[g, t], x.shape())?;
                x.to_owned().insert_axis(Axis(2))
            }
            LogDecay::PerChannel(x) => {
                check_shape("log_decay", "[g, t, d]", &[g, t, d], x.shape())?;
                x.to_owned()
            }
        };
        if let Some(bad) = log_decay.iter().find(|x| !x.is_finite() && **x != F::neg_infinity()) {
            let (argument, allowed) = ("log_decay", "a finite number or −∞");
            return Err(OutOfRange { argument, allowed, given: (*bad).to_f64() }.into());
        }
        Ok(Self { log_decay: Some(log_decay), ..self })
    }

    /// Adds the delta rule.
    pub(super) fn correcting(self, beta: &ArrayRef2<F>) -> Result<Self, AttentionError> {
        let (g, t, _) = self.k.dim();
        check_shape("beta", "[g, t]", &[g, t], beta.shape())?;
        check_finite("beta", beta)?;
        Ok(Self { beta: Some(beta.to_owned()), ..self })
    }

    /// Starts from a state, for example the final state of earlier tokens.
    pub(super) fn starting(self, initial: Option<&ArrayRef3<F>>) -> Result<Self, AttentionError> {
        let Some(initial) = initial else { return Ok(self) };
        check_shape("initial", "[g, d, e]", self.initial.shape(), initial.shape())?;
        check_finite("initial", initial)?;
        Ok(Self { initial: initial.to_owned(), ..self })
    }

    /// Returns the parts of the sequence between two stored states.
    pub(super) fn blocks(&self) -> Vec<Range<usize>> {
        let tokens = self.k.dim().1;
        let size = match self.form {
            Form::Recurrent => CHECKPOINT,
            Form::Chunked { size } => size,
            Form::Parallel => tokens.max(1),
        };
        (0..tokens).step_by(size).map(|start| start..(start + size).min(tokens)).collect()
    }

    /// Returns the query heads that read a key head.
    pub(super) fn readers(&self, group: usize) -> Vec<usize> {
        (0..self.q.dim().0).filter(|&head| self.map.read(head) == group).collect()
    }

    /// Returns one block of a key head and its readers. The queries are multiplied by the scale.
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

    /// Returns the part of a direction that belongs to a block, with the direction of the state before the block.
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

/// A run of tokens of one key head.
pub(super) struct Block<F> {
    /// The queries of each reader `[t, d]`, times the scale
    pub(super) q: Vec<Array2<F>>,
    /// `[t, d]`
    pub(super) k: Array2<F>,
    /// `[t, e]`
    pub(super) v: Array2<F>,
    /// The factors on the state `[t, 1 or d]`
    pub(super) decay: Array2<F>,
    /// `[t]`
    pub(super) beta: Option<Array1<F>>,
}

/// The gradients by a [`Block`], or a direction in it, with its shapes. `decay` belongs to the logarithm of the decay.
pub(super) struct BlockGradients<F> {
    pub(super) q: Vec<Array2<F>>,
    pub(super) k: Array2<F>,
    pub(super) v: Array2<F>,
    pub(super) decay: Array2<F>,
    pub(super) beta: Option<Array1<F>>,
    /// The gradient by the state before the block `[d, e]`
    pub(super) state: Array2<F>,
}

/// Returns an error with the name of the argument if a number of it is NaN or infinite.
fn check_finite<F: Scalar, D: Dimension>(
    name: &'static str,
    x: &ArrayRef<F, D>,
) -> Result<(), AttentionError> {
    let bad = x.iter().find(|x| !x.is_finite()).map(|x| (*x).to_f64());
    Ok(ensure(bad.is_none(), name, "finite", bad.unwrap_or_default())?)
}
