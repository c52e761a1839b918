//! Claims about a state as a memory.

use super::sequences::{KeepsState, Tokens};
use crate::claims::order::normal;
use crate::claims::subjects::largest;
use collimate_claims::{Claim, Exact, Meta, Subject};
use collimate_stream::RngStream;
use collimate_tensor::small::orthonormalise;
use ndarray::{Array2, Axis, concatenate};

/// Claims that the delta rule stores and overwrites exactly under orthonormal keys.
pub fn delta_exact_memory(member: impl KeepsState) -> impl Claim {
    let meta = Meta::theorem(
        "attention/delta-exact-memory",
        Subject::Attention,
        "DeltaNet with β = 1 returns under each of several orthonormal keys the value last written there, for any \
         earlier values",
    )
    .source("Schlag, Irie and Schmidhuber (2021); Yang et al. (2024)");
    reads_back(meta, member)
}

/// Claims the belief that a sum of outer products overwrites too.
pub fn additive_memory_overwrites(member: impl KeepsState) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/additive-memory-overwrites",
        Subject::Attention,
        "linear attention returns under each of several orthonormal keys the value last written there, for any \
         earlier values",
    )
    .source("Schlag, Irie and Schmidhuber (2021), section 4.1");
    reads_back(meta, member)
}

/// Writes all keys twice, first with other values, and then reads under each key without writing.
fn reads_back(meta: Meta, member: impl KeepsState) -> impl Claim {
    Exact::new(meta)
        .dims(&[("keys", 1..=5), ("width", 1..=5)])
        .names(&["keys", "first", "second"])
        .input(drawn)
        .margin(move |(keys, first, second)| {
            let join = |a: &Array2<f64>, b: &Array2<f64>| {
                concatenate(Axis(0), &[a.view(), b.view()]).expect("one width")
            };
            let k = join(keys, keys);
            let (_, state) = member.run(&Tokens::plain(k.clone(), k, join(first, second)), None);
            let silent = Tokens::plain(keys.clone(), Array2::zeros(keys.dim()), Array2::zeros(second.dim()));
            let (read, _) = member.run(&silent, Some(&state));
            1e-12 * (1.0 + largest(first) + largest(second)) - largest(&(read - second))
        })
}

/// Draws orthonormal keys and two values for each.
fn drawn(dims: &[usize], stream: &mut RngStream) -> Option<(Array2<f64>, Array2<f64>, Array2<f64>)> {
    let n = dims[0].min(dims[1]);
    let mut keys = normal(stream, n, dims[1]);
    orthonormalise(&mut keys, 1e-3).then(|| (keys, normal(stream, n, 2), normal(stream, n, 2)))
}
