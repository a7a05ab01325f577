//! `pyrt-network`: the bridge networks of one user. The work is in the library beside it.
#![no_main]

pyrt_core::main!(pyrt_runtime::network_main);
