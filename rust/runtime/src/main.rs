//! `pyrt-runtime`: the one native binary. The work is in the library beside it.
#![allow(clippy::exit)]

fn main() {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    std::process::exit(pyrt_runtime::run(&args));
}
