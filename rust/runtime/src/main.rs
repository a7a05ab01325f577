//! `pyrt-runtime`: the one native binary. The work is in the library beside it.
#![no_main]

pyrt_core::main!(pyrt_runtime::main);
