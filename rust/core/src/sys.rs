//! The one address of `unsafe`: system calls that rustix does not wrap, or wraps as unsafe.
//!
//! Every function here is safe to call unless it says otherwise, and every block proves why.
#![allow(unsafe_code)]

pub mod exec;
pub mod files;
pub mod fork;
pub mod memory;
pub mod mount;
pub mod perf;
pub mod scheduling;
pub mod sealed;
pub mod seccomp;
pub mod signal;
pub mod sockets;
pub mod spawn;
pub mod start;
pub mod trampoline;
pub mod usage;
