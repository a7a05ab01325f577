//! Builds the native binaries beside the extension, so that one wheel holds all: maturin takes them from OUT_DIR.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Static: no loader, no libc of another distribution, 0.25 ms less per start. Not position independent: relocated
/// pages would be private memory of every monitor (100 kB each), and the binary is memory-safe code.
const RUSTFLAGS: [&str; 3] = [
    "-Ctarget-feature=+crt-static",
    "-Crelocation-model=static",
    "-Clink-arg=-Wl,--no-eh-frame-hdr",
];

/// Keeps the tables of unwinding out.
const LINKER_SCRIPT: &str = "../runtime/discard-unwinding.ld";

const PACKAGE: &str = "pyrt-runtime";
/// The command, which goes into the wheel as it is.
const SCRIPT: &str = "data/scripts/pyrt";
const BINARIES: [&str; 2] = ["pyrt-runtime", "pyrt-network"];

fn main() {
    for path in ["../core", "../runtime", "../../Cargo.lock", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=PYO3_BUILD_EXTENSION_MODULE");
    // Set by maturin; `cargo check`, clippy and rust-analyzer need no binary.
    if env::var_os("PYO3_BUILD_EXTENSION_MODULE").is_some() {
        build();
    }
}

fn build() {
    make_executable();
    let out = PathBuf::from(variable("OUT_DIR"));
    link_unwinder(&out);
    let target = variable("TARGET");
    // A directory of its own: the outer cargo holds the lock of its own. Beside it rather than in OUT_DIR, so that
    // the dependencies are compiled once for all builds there, from whatever place.
    let target_dir = out.ancestors().nth(4).unwrap_or(&out).join("pyrt-runtime");
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let mut flags = RUSTFLAGS.map(str::to_owned).to_vec();
    flags.push(format!("-Clink-arg=-Wl,-T,{}", here.join(LINKER_SCRIPT).display()));
    let status = Command::new(variable("CARGO"))
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            PACKAGE,
            "--target",
            &target,
            "--target-dir",
        ])
        .arg(&target_dir)
        .current_dir("../..")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("PYO3_CONFIG_FILE")
        .status();
    match status {
        Ok(status) if status.success() => {}
        other => panic!("cargo build of {PACKAGE}: {other:?}"),
    }
    for binary in BINARIES {
        let built = target_dir.join(&target).join("release").join(binary);
        // copy keeps the executable bit, and maturin keeps it in the wheel.
        if let Err(error) = std::fs::copy(&built, out.join(binary)) {
            panic!("copy {}: {error}", built.display());
        }
    }
}

/// Has the extension's linker take the unwinder, of which only the names are needed, from its static library: to load
/// libgcc_s.so takes half as long as the extension itself, at every start.
fn link_unwinder(out: &Path) {
    if let Err(error) = fs::write(out.join("libgcc_s.so"), "INPUT(-lgcc_eh)\n") {
        panic!("write libgcc_s.so: {error}");
    }
    println!("cargo:rustc-link-search=native={}", out.display());
}

/// A source distribution keeps no modes.
fn make_executable() {
    let mode = fs::metadata(SCRIPT).map(|metadata| metadata.permissions().mode());
    if mode.as_ref().is_ok_and(|mode| mode & 0o111 == 0o111) {
        return;
    }
    let changed = fs::set_permissions(SCRIPT, Permissions::from_mode(0o755));
    assert!(changed.is_ok(), "chmod 755 {SCRIPT}: {changed:?}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name}: cargo did not set it"))
}
