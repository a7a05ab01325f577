//! `pyrt-runtime`.

fn main() {}
