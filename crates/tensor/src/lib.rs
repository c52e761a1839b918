//! Arrays on an ordinary CPU.
