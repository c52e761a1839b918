//! Singular learning theory: exact learning coefficients, samplers, estimators.
