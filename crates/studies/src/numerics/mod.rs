//! Claims about the numerics under all other crates: products, row kernels, gradients and optimisers.

mod gradients;
mod kernels;
mod optimisers;
mod products;

use collimate_claims::Claims;

/// Returns the claims about `tensor` and `grad`.
pub fn claims() -> Claims {
    products::claims().extend(kernels::claims()).extend(gradients::claims()).extend(optimisers::claims())
}
