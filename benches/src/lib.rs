//! Benchmarks of Collimate.
