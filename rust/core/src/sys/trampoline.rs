//! Two hundred bytes between us and the program, so that the kernel never looks the program up from our executable.
//!
//! CVE-2019-5736: whatever execve(2) resolves, the program, a symlink of the image, the interpreter of a script or of
//! an ELF file, may be `/proc/self/exe`. From this process that is the native binary on the host, through a mount that
//! can be written to: the container could change its mode, or its content where nobody executes it. So the last
//! program that we execute ourselves is this one, in a memory file that nobody else has a name for. It marks the
//! socket to our parent close-on-exec, loads the filter, and executes the program; or says why not, and ends.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use libc::sock_filter;

/// Bytes of the report: `E`, the step, two of nothing, errno.
pub const REPORT_BYTES: usize = 8;
/// The step of a report: the program was refused, or the filter, or the socket's flag.
pub const STEP_EXEC: u8 = 0;
/// See [`STEP_EXEC`].
pub const STEP_FILTER: u8 = 1;

/// Where it is loaded; any address will do in a process that holds nothing else.
const BASE: u64 = 0x40_0000;
/// ELF header and one program header.
const HEADER_BYTES: usize = 64 + 56;
/// `struct sock_fprog`, then flags and the socket's number.
const PARAMETER_BYTES: usize = 24;

// argv[0] is the path, argv[1..] is the program's argv, the environment is the program's.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .rodata.pyrt_trampoline, \"a\", @progbits",
    ".balign 8",
    "pyrt_trampoline:",
    ".zero 24",
    "mov ebx, 2",
    "mov eax, 72", // fcntl(socket, F_SETFD, FD_CLOEXEC)
    "mov edi, dword ptr [rip + pyrt_trampoline + 20]",
    "mov esi, 2",
    "mov edx, 1",
    "syscall",
    "test rax, rax",
    "js 3f",
    "cmp word ptr [rip + pyrt_trampoline], 0",
    "je 2f",
    "mov ebx, 1",
    "mov eax, 317", // seccomp(SECCOMP_SET_MODE_FILTER, flags, fprog)
    "mov edi, 1",
    "mov esi, dword ptr [rip + pyrt_trampoline + 16]",
    "lea rdx, [rip + pyrt_trampoline]",
    "syscall",
    "test rax, rax",
    "js 3f",
    "2:",
    "xor ebx, ebx",
    "mov rcx, qword ptr [rsp]", // argc
    "mov rdi, qword ptr [rsp + 8]",
    "lea rsi, [rsp + 16]",
    "lea rdx, [rsp + rcx * 8 + 16]",
    "mov eax, 59", // execve
    "syscall",
    "3:",
    "neg eax",
    "mov r12d, eax",
    "sub rsp, 16",
    "mov byte ptr [rsp], 0x45",
    "mov byte ptr [rsp + 1], bl",
    "mov dword ptr [rsp + 4], eax",
    "mov eax, 1", // write(socket, report, 8)
    "mov edi, dword ptr [rip + pyrt_trampoline + 20]",
    "mov rsi, rsp",
    "mov edx, 8",
    "syscall",
    "mov edi, 126",
    "cmp r12d, 2", // ENOENT
    "jne 4f",
    "mov edi, 127",
    "4:",
    "mov eax, 231", // exit_group
    "syscall",
    "ud2",
    "pyrt_trampoline_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".pushsection .rodata.pyrt_trampoline, \"a\", @progbits",
    ".balign 8",
    "pyrt_trampoline:",
    ".zero 24",
    "adr x21, pyrt_trampoline",
    "mov w19, #2",
    "mov x8, #25", // fcntl(socket, F_SETFD, FD_CLOEXEC)
    "ldr w0, [x21, #20]",
    "mov x1, #2",
    "mov x2, #1",
    "svc #0",
    "cmp x0, #0",
    "b.lt 3f",
    "ldrh w3, [x21]",
    "cbz w3, 2f",
    "mov w19, #1",
    "mov x8, #277", // seccomp(SECCOMP_SET_MODE_FILTER, flags, fprog)
    "mov x0, #1",
    "ldr w1, [x21, #16]",
    "mov x2, x21",
    "svc #0",
    "cmp x0, #0",
    "b.lt 3f",
    "2:",
    "mov w19, #0",
    "ldr x3, [sp]", // argc
    "ldr x0, [sp, #8]",
    "add x1, sp, #16",
    "add x2, x1, x3, lsl #3",
    "mov x8, #221", // execve
    "svc #0",
    "3:",
    "neg w20, w0",
    "sub sp, sp, #16",
    "mov w4, #0x45",
    "strb w4, [sp]",
    "strb w19, [sp, #1]",
    "str w20, [sp, #4]",
    "mov x8, #64", // write(socket, report, 8)
    "ldr w0, [x21, #20]",
    "mov x1, sp",
    "mov x2, #8",
    "svc #0",
    "mov x0, #126",
    "cmp w20, #2", // ENOENT
    "b.ne 4f",
    "mov x0, #127",
    "4:",
    "mov x8, #94", // exit_group
    "svc #0",
    "brk #1",
    "pyrt_trampoline_end:",
    ".popsection",
);

unsafe extern "C" {
    static pyrt_trampoline: u8;
    static pyrt_trampoline_end: u8;
}

/// The trampoline, made while we still may: before the limits of the program are ours.
#[derive(Debug)]
pub struct Trampoline(OwnedFd);

impl Trampoline {
    /// Makes it: it will load `filter`, and report on `socket`.
    ///
    /// # Errors
    /// memfd_create(2)'s; EACCES where the machine forbids executing memory.
    pub fn make(socket: BorrowedFd<'_>, filter: Option<(&[sock_filter], u32)>) -> io::Result<Self> {
        make(socket, filter).map(Self)
    }

    /// Replaces this process by the trampoline, and that by `path`; returns only if it could not be executed.
    ///
    /// `socket` is the one that it was made for; every other descriptor above 2 must be close-on-exec.
    #[must_use]
    pub fn execute(
        &self,
        path: &CString,
        args: &[CString],
        env: &[CString],
        socket: BorrowedFd<'_>,
    ) -> io::Error {
        execute_file(&self.0, path, args, env, socket)
    }
}

fn execute_file(
    file: &OwnedFd,
    path: &CString,
    args: &[CString],
    env: &[CString],
    socket: BorrowedFd<'_>,
) -> io::Error {
    let words: Vec<CString> = std::iter::once(path).chain(args).cloned().collect();
    let number = socket.as_raw_fd();
    // SAFETY: fcntl takes integers, and the owner of the socket outlives both calls.
    unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
    let error = super::exec::execute_file(file, &words, env);
    // SAFETY: as above.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    error
}

/// The program as a file in memory, with its parameters and the filter in it.
fn make(socket: BorrowedFd<'_>, filter: Option<(&[sock_filter], u32)>) -> io::Result<OwnedFd> {
    let file = super::sealed::executable_memory(c"exec", libc::MFD_ALLOW_SEALING)?;
    crate::paths::write_all(&file, &image(socket.as_raw_fd(), filter))?;
    rustix::fs::fcntl_add_seals(&file, super::sealed::SEALS)?;
    Ok(file)
}

/// An ELF file of one segment: header, parameters, code, filter.
fn image(socket: i32, filter: Option<(&[sock_filter], u32)>) -> Vec<u8> {
    let code = code();
    let (program, flags) = filter.unwrap_or_default();
    let program_offset = (HEADER_BYTES + code.len()).next_multiple_of(8);
    let length = (program_offset + size_of_val(program)) as u64;
    let entry = BASE + (HEADER_BYTES + PARAMETER_BYTES) as u64;
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let mut image = Vec::with_capacity(program_offset + program.len() * 8);
    // elf(5): 64 bits, little endian, version 1; ET_EXEC.
    image.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    image.extend([2_u16, machine].map(u16::to_le_bytes).concat());
    image.extend(1_u32.to_le_bytes());
    image.extend([entry, 64, 0].map(u64::to_le_bytes).concat()); // entry, program headers, no sections
    image.extend(0_u32.to_le_bytes());
    image.extend([64_u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    // PT_LOAD, readable and executable, all of the file.
    image.extend([1_u32, 5].map(u32::to_le_bytes).concat());
    image.extend([0, BASE, BASE, length, length, 0x1_0000].map(u64::to_le_bytes).concat());
    // The parameters, in place of the room that the code left for them.
    image.extend(u16::try_from(program.len()).unwrap_or(0).to_le_bytes());
    image.extend([0; 6]);
    image.extend((BASE + program_offset as u64).to_le_bytes());
    image.extend(flags.to_le_bytes());
    image.extend(socket.to_le_bytes());
    image.extend(&code[PARAMETER_BYTES..]);
    image.resize(program_offset, 0);
    for instruction in program {
        image.extend(instruction.code.to_le_bytes());
        image.extend([instruction.jt, instruction.jf]);
        image.extend(instruction.k.to_le_bytes());
    }
    image
}

fn code() -> &'static [u8] {
    // SAFETY: both symbols delimit one block of read-only bytes that the assembler wrote above; it is never written
    // to and lives as long as the program.
    unsafe {
        let (start, end) = (&raw const pyrt_trampoline, &raw const pyrt_trampoline_end);
        std::slice::from_raw_parts(start, end.addr() - start.addr())
    }
}
