//! What the process keeps of its own memory, and where it lies.

use std::io;
use std::ptr;

/// Gives freed heap pages back to the kernel: a monitor lives long and parses once.
pub fn trim_heap() {
    // SAFETY: malloc_trim(3) takes an integer, is thread-safe and only releases free memory.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// `set_mempolicy(mode, nodes)` of the calling thread; bit n of the mask is node n.
///
/// # Errors
/// EINVAL for a mode that the kernel does not know, or nodes that it does not have; ENOSYS without NUMA.
pub fn set_policy(mode: i32, nodes: &[u64]) -> io::Result<()> {
    // The kernel counts bits and takes one off.
    let (pointer, bits) =
        if nodes.is_empty() { (ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the kernel reads at most `bits - 1` bits, which is the slice, or nothing of a null pointer with 0 bits.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
