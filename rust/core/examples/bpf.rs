//! Compiles `linux.seccomp` on stdin and writes the instructions to stdout, for the tests that compare them
//! with libseccomp's. The argument is the architecture to compile for: `x86_64` or `aarch64`.

use std::io::{Error, Read, Write, stdin, stdout};

use pyrt_core::seccomp::{Arch, Seccomp, compile_for};

fn main() -> Result<(), Error> {
    let native = match std::env::args().nth(1).as_deref() {
        Some("aarch64") => Arch::Aarch64,
        _ => Arch::X86_64,
    };
    let mut document = Vec::new();
    stdin().read_to_end(&mut document)?;
    // One profile per line, so that a test pays for one process only.
    for line in document.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let profile: Seccomp = serde_json::from_slice(line)?;
        let filter =
            compile_for(&profile, native).map_err(|error| Error::other(error.to_string()))?;
        let bytes = filter.to_bytes();
        // Flags are the first four bytes.
        let length = u32::try_from(bytes.len() - 4).map_err(Error::other)?;
        stdout().write_all(&length.to_le_bytes())?;
        stdout().write_all(&bytes)?;
    }
    Ok(())
}
