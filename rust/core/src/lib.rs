//! The mechanism of pyrt: no argv, no environment, no printing, no threads.

pub mod error;
pub mod seccomp;

pub use error::{At, Code, Error, Result};
