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

/// Gives back the pages of the stack that deeper calls have used before: documents are parsed with many frames, and a
/// monitor then waits with few.
#[inline(never)]
pub fn trim_stack() {
    // More than this function's frame and those of what it calls, with the red zone.
    const MARGIN_BYTES: usize = 2 << 10;
    // Less than the gap that the kernel keeps below a stack (stack_guard_gap, 1 MiB): no other mapping lies there.
    const TRIMMED_BYTES: usize = 256 << 10;
    let here = 0_u8;
    let end = (ptr::from_ref(&here).addr() - MARGIN_BYTES) & !(rustix::param::page_size() - 1);
    let start = ptr::without_provenance_mut(end - TRIMMED_BYTES);
    // SAFETY: our machines' stacks grow down, and there is one thread: all frames that live are above `end`, so that nothing
    // between `start` and `end` is ever read again before it is written. What is not mapped of it (ENOMEM) stays so.
    unsafe {
        libc::madvise(start, TRIMMED_BYTES, libc::MADV_DONTNEED);
    }
}

/// Lets go of the pages of our code that were needed once: making a container takes nearly all of it, waiting for its end
/// little. What is needed again comes back from the page cache.
pub fn trim_code() {
    // SAFETY: getauxval(3) only reads; for a program that the kernel has started AT_PHDR is where its own program headers
    // are, AT_PHNUM many, and they stay there, unchanged.
    let headers = unsafe {
        let first: *const libc::Elf64_Phdr =
            ptr::with_exposed_provenance(libc::getauxval(libc::AT_PHDR) as usize);
        if first.is_null() {
            return;
        }
        std::slice::from_raw_parts(first, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let page = rustix::param::page_size() as u64;
    // Of a program that may lie anywhere, the headers know only how far apart its parts are.
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    let base = own.map_or(0, |own| headers.as_ptr().addr() as u64 - own.p_vaddr);
    for part in headers {
        if part.p_type != libc::PT_LOAD || part.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = (base + part.p_vaddr) / page * page;
        let length = (base + part.p_vaddr + part.p_memsz).next_multiple_of(page) - start;
        // SAFETY: this part of the program is mapped from its file, and nothing writes to it: a page that is dropped is read
        // from there again when it is next touched, the one that we run in included.
        unsafe {
            libc::madvise(
                ptr::with_exposed_provenance_mut(start as usize),
                length as usize,
                libc::MADV_DONTNEED,
            );
        }
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
