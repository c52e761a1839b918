//! The pattern of a head from its scores, and its adjoint.

use crate::arrays::{Number, RowFunction, sum};
use crate::pass::Seen;

/// The rows of the pattern of one head.
pub(super) struct Pattern<'a> {
    pub(super) softcap: Option<f64>,
    /// The bias of each key.
    pub(super) bias: Option<Vec<f64>>,
    pub(super) seen: &'a Seen,
    pub(super) sequence: usize,
    pub(super) causal: bool,
    pub(super) window: Option<usize>,
}

impl Pattern<'_> {
    fn sees(&self, query: usize, key: usize) -> bool {
        let place = query + self.seen.offset;
        let late = self.causal && key > place;
        let early = self.window.is_some_and(|window| key + window <= place);
        let far = !self.causal && self.window.is_some_and(|window| place + window <= key);
        // A query of padding sees nothing, so that its row is zero however attention is computed.
        let real = self.seen.key(self.sequence, key) && self.seen.key(self.sequence, place);
        !late && !early && !far && real
    }

    fn cap<T: Number>(&self, score: T) -> T {
        match self.softcap {
            Some(cap) => T::constant(cap) * (score / T::constant(cap)).hyperbolic_tangent(),
            None => score,
        }
    }
}

/// The pattern from the scores and the logit of the sink (no column without a sink).
impl RowFunction<2, 1> for Pattern<'_> {
    fn run<T: Number>(&self, query: usize, [scores, sink]: [&[T]; 2], [out]: [&mut [T]; 1]) {
        let mut most = sink.iter().fold(f64::NEG_INFINITY, |most, sink| most.max(sink.plain()));
        for (key, (out, &score)) in out.iter_mut().zip(scores).enumerate() {
            *out = if self.sees(query, key) {
                let bias = self.bias.as_ref().map_or(0.0, |bias| bias[key]);
                self.cap(score) + T::constant(bias)
            } else {
                T::constant(f64::NEG_INFINITY)
            };
            most = most.max(out.plain());
        }
        if most == f64::NEG_INFINITY {
            // A query without any key gets no value.
            out.fill(T::constant(0.0));
            return;
        }
        let most = T::constant(most);
        let sink = sink.iter().fold(T::constant(0.0), |sum, &sink| sum + (sink - most).exponential());
        out.iter_mut().for_each(|out| *out = *out - most);
        T::exponentials(out);
        let sum = T::narrow(sum(out, |x| x.widen())) + sink;
        out.iter_mut().for_each(|out| *out = *out / sum);
    }
}

/// The gradients by the scores and by the logit of the sink, from the scores, the pattern and the gradient by the pattern.
impl RowFunction<3, 2> for Pattern<'_> {
    fn run<T: Number>(&self, _: usize, [scores, p, d]: [&[T]; 3], [out, sink]: [&mut [T]; 2]) {
        let (zero, one) = (T::constant(0.0), T::constant(1.0));
        let mean = p.iter().zip(d).fold(zero, |sum, (&p, &d)| sum + p * d);
        for (((out, &score), &p), &d) in out.iter_mut().zip(scores).zip(p).zip(d) {
            let slope = match self.softcap {
                Some(cap) => {
                    let y = (score / T::constant(cap)).hyperbolic_tangent();
                    one - y * y
                }
                None => one,
            };
            *out = p * (d - mean) * slope;
        }
        let rest = p.iter().fold(one, |rest, &p| rest - p);
        sink.fill(-(rest * mean));
    }
}
