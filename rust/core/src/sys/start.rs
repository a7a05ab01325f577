//! The native binary's beginning, without the standard library's: that one draws in 140 kB of the C library to guard a
//! stack which we do not outgrow.

use std::os::fd::IntoRawFd;

use rustix::fs::{Mode, OFlags};

/// Makes `main` of a function that gives the exit status.
#[macro_export]
macro_rules! main {
    ($run:path) => {
        // SAFETY: nothing else in the program has this name, which the C library calls once, with one thread.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            $crate::sys::start::prepare();
            $run()
        }

        // The C library's own would say what it asserted, in the user's language: 30 kB for what never happens.
        // SAFETY: nothing else in the program has this name, and who calls it wants it not to return.
        #[unsafe(no_mangle)]
        extern "C" fn __assert_fail() -> ! {
            std::process::abort()
        }
    };
}

/// What Rust's own beginning does for us elsewhere: descriptors 0 to 2 are open, so that no file of ours becomes somebody's
/// output; and a reader that is gone is an error of write(2), not our end.
pub fn prepare() {
    for number in 0..3 {
        if super::files::is_open(number) {
            continue;
        }
        // The lowest free number is the one that is missing. Not close-on-exec, and nobody's to close.
        if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()) {
            let _ = null.into_raw_fd();
        }
    }
    super::signal::ignore_broken_pipes();
}
