//! The cache of downloads, tried on small archives made here. No test uses the network.

mod clients;
mod hostile;
mod interrupted;
mod made_up;
mod whole;
