//! Runs a filter as the kernel would, for tests.

use libc::sock_filter;

/// One system call as a filter sees it.
pub(super) struct Call {
    pub(super) arch: u32,
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            8 | 12 => 0,
            16..64 => {
                let arg = self.args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
            _ => panic!("load at {offset}"),
        }
    }
}

/// The filter's verdict. Panics where the kernel would refuse the program.
pub(super) fn run(program: &[sock_filter], call: &Call) -> u32 {
    let mut accumulator = 0u32;
    let mut at = 0;
    loop {
        let insn = program[at];
        at += 1;
        let branch = |taken| if taken { insn.jt } else { insn.jf } as usize;
        match u32::from(insn.code) {
            0x20 => accumulator = call.word(insn.k),
            0x54 => accumulator &= insn.k,
            0x06 => return insn.k,
            0x05 => at += insn.k as usize,
            0x15 => at += branch(accumulator == insn.k),
            0x25 => at += branch(accumulator > insn.k),
            0x35 => at += branch(accumulator >= insn.k),
            code => panic!("instruction {}: code {code:#x}", at - 1),
        }
    }
}
