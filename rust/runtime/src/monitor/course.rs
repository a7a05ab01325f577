//! What becomes of a container: how long it may run, how it is asked to end, and whether it is started again.

use std::time::{Duration, Instant};

use pyrt_core::Result;
use pyrt_core::bundle::RestartPolicy;
use rustix::process::Signal;

use super::container::Container;

/// Before the first restart, and doubled before each other.
const PAUSE_MS: u64 = 100;
/// The longest pause.
const PAUSE_LIMIT_MS: u64 = 60_000;
/// Who ran as long as this begins anew with the shortest.
const STEADY: Duration = Duration::from_secs(10);

/// What comes after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// What the restart policy says.
    Policy,
    /// It is started again.
    Restart,
    /// Nothing.
    End,
}

/// The plan.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) then: Then,
    /// Whether `then` was a user's wish.
    pub(super) by_hand: bool,
    pub(super) restarts: u64,
    /// The pause before the last start, and from its end on that before the next.
    pub(super) pause_ms: u64,
    started: Option<Instant>,
    /// `--timeout`.
    limit: Option<Instant>,
    /// It ran for too long.
    pub(super) is_over: bool,
    /// It has been asked to end, and until when it may.
    pub(super) kill_at: Option<Instant>,
    /// It has ended, and is to be started again.
    pub(super) lives_on: bool,
}

impl Course {
    pub(super) fn of(restarts: u64, pause_ms: u64) -> Self {
        Self {
            then: Then::Policy,
            by_hand: false,
            restarts,
            pause_ms,
            started: None,
            limit: None,
            is_over: false,
            kill_at: None,
            lives_on: false,
        }
    }

    /// The program runs from now on.
    pub(super) fn begin(&mut self, timeout_ms: u64) {
        let now = Instant::now();
        self.started = Some(now);
        self.limit = (timeout_ms > 0).then(|| now + Duration::from_millis(timeout_ms));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.map_or(Duration::ZERO, |started| started.elapsed())
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        self.limit.into_iter().chain(self.kill_at).min()
    }

    /// Decides whether it is started again after an end with this code, and after which pause.
    pub(super) fn decide(&mut self, policy: Option<RestartPolicy>, code: i32) {
        self.lives_on = match (self.then, policy) {
            (Then::End, _) | (Then::Policy, None) => false,
            (Then::Restart, _) => true,
            (Then::Policy, Some(policy)) => {
                policy.always || code != 0 && policy.limit.is_none_or(|most| self.restarts < most)
            }
        };
        let is_steady = self.pause_ms == 0 || self.elapsed() >= STEADY;
        self.pause_ms = if is_steady { PAUSE_MS } else { PAUSE_LIMIT_MS.min(self.pause_ms * 2) };
    }
}

impl Container {
    /// Asks it to end, as its document says, and what comes then.
    pub(super) fn begin_end(&mut self, then: Then, grace: Duration) -> Result<()> {
        if self.course.kill_at.is_some() {
            return Ok(()); // it is ending
        }
        self.course.then = then;
        if self.state.status != "running" {
            return Ok(()); // it has ended
        }
        self.course.kill_at = Some(Instant::now() + grace);
        if self.begin_pre_stop() { Ok(()) } else { self.signal(self.config.stop_signal) }
    }

    /// Does what is due.
    pub(super) fn keep_time(&mut self) {
        let now = Instant::now();
        if self.course.due().is_some_and(|due| due <= now) {
            self.course.is_over = self.course.limit.is_some_and(|limit| limit <= now);
            (self.course.limit, self.course.kill_at) = (None, None);
            // ESRCH: it has ended already.
            let _ = rustix::process::pidfd_send_signal(&self.created.pidfd, Signal::KILL);
        }
    }
}
