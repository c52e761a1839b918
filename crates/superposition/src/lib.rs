//! Toy models of superposition: exact losses, geometry, generators with ground truth.
