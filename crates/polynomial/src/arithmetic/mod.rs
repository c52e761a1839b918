//! Exact arithmetic: real algebraic numbers, polynomials over them, square-free parts and linear programs.

pub(crate) mod field;
pub(crate) mod simplex;
pub(crate) mod squarefree;
mod univariate;
pub(crate) mod work;
