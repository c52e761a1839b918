//! The sparse-autoencoder family: variants, trainer, shards, metrics.
