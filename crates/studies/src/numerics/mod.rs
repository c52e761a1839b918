//! Claims about what everything else computes with: products, row kernels, gradients and optimisers.

mod gradients;
mod kernels;
mod optimisers;
mod products;

use collimate_claims::Claims;

/// The claims about `tensor` and `grad`.
pub fn claims() -> Claims {
    products::claims().extend(kernels::claims()).extend(gradients::claims()).extend(optimisers::claims())
}
