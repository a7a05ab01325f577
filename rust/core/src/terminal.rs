//! The user's terminal: raw while we relay, and as it was afterwards; the keys that detach from it.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{At, Result};

/// A terminal in raw mode. Dropped: as it was.
pub struct RawMode<'a> {
    fd: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawMode<'a> {
    /// Sets raw mode, if `fd` is a terminal.
    ///
    /// # Errors
    /// `kernel`.
    pub fn enter(fd: BorrowedFd<'a>) -> Result<Option<Self>> {
        if !rustix::termios::isatty(fd) {
            return Ok(None);
        }
        let before = tcgetattr(fd).at("tcgetattr", "terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(fd, OptionalActions::Now, &raw).at("tcsetattr", "terminal")?;
        Ok(Some(Self { fd, before }))
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // A terminal that has hung up has no mode to restore.
        let _ = tcsetattr(self.fd, OptionalActions::Drain, &self.before);
    }
}

/// Rows and columns, if `fd` is a terminal that knows them.
#[must_use]
pub fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(fd).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Looks for a sequence of keys in a stream of input.
pub struct DetachKeys {
    sequence: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// An empty sequence never matches.
    #[must_use]
    pub fn new(sequence: &[u8]) -> Self {
        Self { sequence: sequence.to_vec(), matched: 0 }
    }

    /// What of `input` goes on to the container, and whether the sequence is complete.
    ///
    /// A beginning is held back until the next key decides; keys after the end are dropped.
    pub fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut output = Vec::with_capacity(input.len());
        for &byte in input {
            while self.matched > 0 && self.sequence.get(self.matched) != Some(&byte) {
                // The first held key was no beginning after all.
                output.push(self.sequence[0]);
                self.matched = self.shorter_match();
            }
            if self.sequence.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.sequence.len() {
                    return (output, true);
                }
            } else {
                output.push(byte);
            }
        }
        (output, false)
    }

    /// The longest proper beginning of the sequence that the held keys, less the first, still are.
    fn shorter_match(&self) -> usize {
        let held = &self.sequence[1..self.matched];
        (0..held.len())
            .find(|&start| self.sequence.starts_with(&held[start..]))
            .map_or(0, |start| held.len() - start)
    }
}

#[cfg(test)]
mod tests {
    use super::DetachKeys;

    #[test]
    fn keys_are_held_back_and_given_back() {
        let mut keys = DetachKeys::new(b"\x10\x11");
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"c\x10"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.filter(b"\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11rest"), (Vec::new(), true));
    }

    #[test]
    fn no_keys_never_match() {
        assert_eq!(DetachKeys::new(b"").filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
