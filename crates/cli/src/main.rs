//! The command line of Collimate.
fn main() {}
