//! A language model with hook points.
