//! Ranges become instructions.
//!
//! A jump of classic BPF goes forward, and a conditional one at most 255 instructions. So the program is
//! written from its end: every target exists before the jump to it, and where it is too far a `ja`
//! (32-bit offset) is put in between. Calls are found by binary search, since each instruction of a
//! search is paid at every system call that the kernel's cache of plain "allow" does not answer, and
//! each instruction of the program at every load.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET,
    BPF_W, sock_filter,
};

use super::lower::{BAD_ARCH, Clause, Op, Outcome, Policy, Range, Test};

/// Offsets in `struct seccomp_data` (include/uapi/linux/seccomp.h), little endian.
const NR: u32 = 0;
/// See [`NR`].
const ARCH: u32 = 4;
/// See [`NR`].
const ARGS: u32 = 16;

/// An instruction, counted from the end of the program.
type Label = usize;

#[derive(Default)]
struct Assembler {
    /// The program, last instruction first.
    reversed: Vec<sock_filter>,
    /// The latest `ret` of each value.
    returns: Vec<(u32, Label)>,
    /// The latest code of each outcome that has clauses.
    blocks: Vec<(usize, Label)>,
}

pub(super) fn assemble(policy: &Policy) -> Vec<sock_filter> {
    let mut asm = Assembler::default();
    let mut next = asm.ret(BAD_ARCH);
    for (audit, ranges) in policy.lines.iter().rev() {
        let search = asm.search(ranges, &policy.outcomes);
        let search = asm.load(NR, search);
        next = asm.jump(BPF_JEQ, *audit, search, next);
    }
    asm.load(ARCH, next);
    asm.reversed.reverse();
    asm.reversed
}

impl Assembler {
    fn push(&mut self, code: u32, jt: u8, jf: u8, k: u32) -> Label {
        // Opcodes are below 0x100.
        self.reversed.push(sock_filter { code: code as u16, jt, jf, k });
        self.reversed.len() - 1
    }

    /// How many instructions the next one to be written would have to skip.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - 1 - to
    }

    fn ret(&mut self, value: u32) -> Label {
        // The last 200 leave room for what is written between here and the jump.
        if let Some(&(_, label)) = self.returns.iter().find(|(known, _)| *known == value)
            && self.distance(label) < 200
        {
            return label;
        }
        let label = self.push(BPF_RET | BPF_K, 0, 0, value);
        self.returns.retain(|(known, _)| *known != value);
        self.returns.push((value, label));
        label
    }

    /// A label for `to` that a conditional jump can reach.
    fn near(&mut self, to: Label) -> Label {
        let distance = self.distance(to);
        if distance <= 255 {
            return to;
        }
        // A program that long would be refused for its length.
        self.push(BPF_JMP | BPF_JA, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX))
    }

    fn jump(&mut self, test: u32, k: u32, yes: Label, no: Label) -> Label {
        let (mut yes, mut no) = (self.near(yes), self.near(no));
        // A trampoline for one moves the other by one.
        yes = self.near(yes);
        no = self.near(no);
        if yes == no {
            return yes;
        }
        let (jt, jf) = (self.distance(yes), self.distance(no));
        debug_assert!(jt <= 255 && jf <= 255);
        self.push(BPF_JMP | test | BPF_K, jt as u8, jf as u8, k)
    }

    /// `A = data[offset]`, then `next`, which must be the instruction written last or is jumped to.
    fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_to(next);
        self.push(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset)
    }

    fn and(&mut self, mask: u32, next: Label) -> Label {
        self.fall_to(next);
        self.push(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask)
    }

    /// Makes sure that falling through reaches `next`.
    fn fall_to(&mut self, next: Label) {
        let distance = self.distance(next);
        if distance != 0 {
            self.push(BPF_JMP | BPF_JA, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX));
        }
    }

    /// Binary search over the starts of `ranges`.
    fn search(&mut self, ranges: &[Range], outcomes: &[Outcome]) -> Label {
        if let [only] = ranges {
            return self.outcome(only.outcome, outcomes);
        }
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let yes = self.search(high, outcomes);
        let no = self.search(low, outcomes);
        self.jump(BPF_JGE, high[0].start, yes, no)
    }

    fn outcome(&mut self, index: usize, outcomes: &[Outcome]) -> Label {
        match &outcomes[index] {
            Outcome::Return(value) => self.ret(*value),
            Outcome::Clauses { clauses, otherwise } => {
                if let Some(&(_, label)) = self.blocks.iter().find(|(known, _)| *known == index) {
                    return label;
                }
                let mut next = self.ret(*otherwise);
                for clause in clauses.iter().rev() {
                    next = self.clause(clause, next);
                }
                self.blocks.push((index, next));
                next
            }
        }
    }

    fn clause(&mut self, clause: &Clause, no: Label) -> Label {
        let mut yes = self.ret(clause.ret);
        for test in clause.tests.iter().rev() {
            yes = self.test(test, yes, no);
        }
        yes
    }

    fn test(&mut self, test: &Test, yes: Label, no: Label) -> Label {
        let (op, yes, no) = match test.op {
            Op::Ne => (Op::Eq, no, yes),
            Op::Lt => (Op::Ge, no, yes),
            Op::Le => (Op::Gt, no, yes),
            op => (op, yes, no),
        };
        let low_word = ARGS + 8 * test.index;
        let (high, low) = ((test.value >> 32) as u32, test.value as u32);
        let compare_low = match op {
            Op::Gt => self.jump(BPF_JGT, low, yes, no),
            Op::Ge => self.jump(BPF_JGE, low, yes, no),
            Op::Masked(mask) => {
                let equal = self.jump(BPF_JEQ, low, yes, no);
                self.and(mask as u32, equal)
            }
            _ => self.jump(BPF_JEQ, low, yes, no),
        };
        let compare_low = self.load(low_word, compare_low);
        if !test.wide {
            return compare_low;
        }
        let compare_high = match op {
            Op::Gt | Op::Ge => {
                // Above: decided. Equal: the low word decides. Below: decided the other way.
                let equal = self.jump(BPF_JEQ, high, compare_low, no);
                self.jump(BPF_JGT, high, yes, equal)
            }
            Op::Masked(mask) => {
                let equal = self.jump(BPF_JEQ, high, compare_low, no);
                self.and((mask >> 32) as u32, equal)
            }
            _ => self.jump(BPF_JEQ, high, compare_low, no),
        };
        self.load(low_word + 4, compare_high)
    }
}
