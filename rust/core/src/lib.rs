//! The mechanism of pyrt: no argv, no environment, no printing, no threads.
//!
//! `create` and `join` make container processes, and nothing else does; `sys` holds all `unsafe`.

pub mod bundle;
pub mod caps;
pub mod cgroup;
pub mod channel;
pub mod clocks;
pub mod console;
pub mod cpuset;
pub mod create;
pub mod devices;
pub mod error;
pub mod hooks;
pub mod idmap;
pub mod init;
pub mod instead;
pub mod join;
pub mod journal;
pub mod layer;
pub mod lsm;
pub mod memory_policy;
pub mod meter;
pub mod mount;
pub mod namespaces;
pub mod netlink;
pub mod overlay;
pub mod paths;
pub mod personality;
pub mod process;
pub mod relay;
pub mod root;
pub mod rootfs;
pub mod scheduling;
pub mod seccomp;
pub mod shaper;
pub mod spec;
pub mod state;
pub mod subid;
pub mod sync;
pub mod sys;
pub mod task_limit;
pub mod terminal;
pub mod tree;
pub mod userns;
pub mod validate;
pub mod wire;

pub use error::{At, Code, Error, Result};
