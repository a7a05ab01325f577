//! What processes have used, as the kernel counts it for getrusage(2) and wait4(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Counters of a process with all its descendants that were waited for, by it or by each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Microseconds of processor time.
    pub user_usec: u64,
    /// Microseconds of processor time in the kernel.
    pub system_usec: u64,
    /// The most memory that one of them, the largest, had resident at once.
    pub largest_resident_bytes: u64,
    /// Page faults that needed no reading.
    pub minor_faults: u64,
    /// Page faults that had to read.
    pub major_faults: u64,
    /// Bytes read from devices, in blocks of 512.
    pub read_bytes: u64,
    /// Bytes dirtied for devices, in blocks of 512.
    pub written_bytes: u64,
    /// Times that one of them waited.
    pub voluntary_switches: u64,
    /// Times that one of them was made to wait.
    pub involuntary_switches: u64,
}

/// How a child ended, and what it and its descendants have used.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its exit status.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// With all descendants that were waited for.
    pub usage: Usage,
}

/// Waits for the end of a child, held by a pidfd, and reaps it.
///
/// # Errors
/// ECHILD if it is none of ours, or somebody was faster.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Ended> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: waitid(2) writes one siginfo_t and one rusage, which `info` and `usage` have room for; the descriptor
        // is open for the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PIDFD,
                pidfd.as_raw_fd(),
                info.as_mut_ptr(),
                libc::WEXITED,
                usage.as_mut_ptr(),
            )
        };
        if result == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: both are plain integers, zeroed before and filled by the kernel; for WEXITED the union of siginfo_t is the
    // one that has si_status.
    let (info, usage, status) = unsafe {
        let info = info.assume_init();
        (info, usage.assume_init(), info.si_status())
    };
    let has_exited = info.si_code == libc::CLD_EXITED;
    Ok(Ended {
        code: has_exited.then_some(status),
        signal: (!has_exited).then_some(status),
        usage: read(&usage),
    })
}

/// What we have used ourselves.
#[must_use]
pub fn own() -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage(2) writes one rusage, which there is room for; with RUSAGE_SELF and a valid pointer it cannot fail,
    // and zeros would be valid, too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    read(&usage)
}

fn read(usage: &libc::rusage) -> Usage {
    let number = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
    let usec = |time: libc::timeval| number(time.tv_sec) * 1_000_000 + number(time.tv_usec);
    Usage {
        user_usec: usec(usage.ru_utime),
        system_usec: usec(usage.ru_stime),
        largest_resident_bytes: number(usage.ru_maxrss) * 1024,
        minor_faults: number(usage.ru_minflt),
        major_faults: number(usage.ru_majflt),
        read_bytes: number(usage.ru_inblock) * 512,
        written_bytes: number(usage.ru_oublock) * 512,
        voluntary_switches: number(usage.ru_nvcsw),
        involuntary_switches: number(usage.ru_nivcsw),
    }
}

impl Usage {
    /// The numbers in their order, for a pipe.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; USAGE_BYTES] {
        let mut bytes = [0; USAGE_BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip(self.numbers()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Adds what [`Usage::to_bytes`] gave of another.
    pub fn add(&mut self, bytes: &[u8; USAGE_BYTES]) {
        let peak = self.largest_resident_bytes;
        for (sum, other) in self.numbers_mut().into_iter().zip(bytes.as_chunks::<8>().0) {
            *sum = sum.saturating_add(u64::from_le_bytes(*other));
        }
        // The one number that is no sum.
        self.largest_resident_bytes = peak.max(self.largest_resident_bytes - peak);
    }

    fn numbers(mut self) -> [u64; 9] {
        self.numbers_mut().map(|number| *number)
    }

    fn numbers_mut(&mut self) -> [&mut u64; 9] {
        [
            &mut self.user_usec,
            &mut self.system_usec,
            &mut self.largest_resident_bytes,
            &mut self.minor_faults,
            &mut self.major_faults,
            &mut self.read_bytes,
            &mut self.written_bytes,
            &mut self.voluntary_switches,
            &mut self.involuntary_switches,
        ]
    }
}

/// Less than PIPE_BUF: a write of it is whole (pipe(7)).
pub const USAGE_BYTES: usize = 72;

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn sums_have_the_largest_peak() {
        let mut sum = Usage { user_usec: 1, largest_resident_bytes: 9, ..Usage::default() };
        let other = Usage {
            user_usec: 2,
            largest_resident_bytes: 4,
            involuntary_switches: 7,
            ..Usage::default()
        };
        sum.add(&other.to_bytes());
        let expected = Usage {
            user_usec: 3,
            largest_resident_bytes: 9,
            involuntary_switches: 7,
            ..Usage::default()
        };
        assert_eq!(sum, expected);
    }
}
