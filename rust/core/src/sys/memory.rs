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

/// Gives back the pages of the stack that nothing uses any more: a monitor is never again as deep as when it parsed. For a
/// process with one thread.
#[inline(never)]
pub fn trim_stack() {
    let mut text = [0_u8; 2048];
    let Some(start) = stack_start(&mut text) else { return };
    // A page for the frames of this function and of the call below.
    let end = text.as_ptr().addr().saturating_sub(PAGE_BYTES) / PAGE_BYTES * PAGE_BYTES;
    if start >= end {
        return;
    }
    // SAFETY: the stack grows downwards, so that what lies below our own frame, of which `text` is a part, holds nothing that
    // is alive; a page is left for the call. `start` is where the kernel says that this mapping begins, a page boundary,
    // as is `end`. No other thread has frames there, and no signal handler of ours runs. Such pages read as zeros from then
    // on, and a deeper call finds them as it would have found new ones.
    unsafe {
        libc::madvise(ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED);
    }
}

/// The smallest that there are; on larger ones the call is refused, which costs nothing.
const PAGE_BYTES: usize = 4096;

/// Where the mapping of the stack begins (proc_pid_maps(5)); `text` is for what is read.
fn stack_start(text: &mut [u8]) -> Option<usize> {
    let file = std::fs::File::open("/proc/self/maps").ok()?;
    // A static program has some ten mappings, the stack among the last.
    let count = io::Read::read(&mut &file, text).ok()?;
    let text = std::str::from_utf8(&text[..count]).ok()?;
    let line = text.lines().find(|line| line.ends_with("[stack]"))?;
    usize::from_str_radix(line.split('-').next()?, 16).ok()
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

#[cfg(test)]
mod tests {
    use super::{stack_start, trim_stack};

    fn sink(depth: usize) -> usize {
        let filled = std::hint::black_box([depth; 512]);
        if depth == 0 { filled[0] } else { sink(depth - 1) + filled[1] }
    }

    #[test]
    fn what_is_alive_stays() {
        let alive = std::hint::black_box([7_u8; 8192]);
        let sum = sink(20);
        trim_stack();
        assert_eq!(
            (alive.iter().map(|&byte| u64::from(byte)).sum::<u64>(), sink(20)),
            (57344, sum)
        );
        let mut text = [0; 4096];
        // Tests run in threads, whose stacks have no name, in a program that may have many mappings.
        assert!(stack_start(&mut text).is_none_or(|start| start % 4096 == 0));
    }
}
