//! What the process keeps of its own memory.

/// Gives freed heap pages back to the kernel: a monitor lives long and parses once.
pub fn trim_heap() {
    // SAFETY: malloc_trim(3) takes an integer, is thread-safe and only releases free memory.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
