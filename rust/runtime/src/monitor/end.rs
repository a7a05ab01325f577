//! A container's end: exit.json and the receipt, and word to all who wait.

use std::os::fd::AsFd;

use pyrt_core::state::{Exit, now};
use pyrt_core::sys::usage::Ended;
use pyrt_core::wire::Frame;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::clients::{Client, to_json};
use super::container::Container;
use super::receipt::{self, Receipt};

impl Container {
    /// Writes exit.json and the receipt, unless the container never was; what those who wait are told.
    /// As a shell would say it; podman's of one that ran for too long.
    fn exit_code(&self, ended: Option<Ended>) -> i32 {
        let ended = ended.filter(|_| !self.course.is_over);
        let shell = |ended: Ended| ended.code.or(ended.signal.map(|signal| 128 + signal));
        ended.and_then(shell).unwrap_or(255)
    }

    pub(super) fn conclude(&mut self, ended: Option<Ended>) -> Option<Vec<u8>> {
        if self.abandoned {
            return None;
        }
        if self.probes.has_readiness() {
            self.tell_ready(false);
        }
        if self.config.infra.is_some() {
            // Whoever sees that a pod has ended may count on no service sending to it.
            self.bridged.iter_mut().for_each(|bridged| bridged.set_ready(false));
        }
        let signal = ended.and_then(|ended| ended.signal);
        let has_run = self.state.status == "running";
        let mut exit = Exit {
            id: self.id.clone(),
            exit_code: self.exit_code(ended),
            signal,
            reason: match has_run {
                true if self.course.is_over => "timed out",
                true => "exited",
                false => "start failed",
            }
            .to_owned(),
            error: self.failure.take(),
            started_at: self.state.started_at.clone(),
            finished_at: now(),
            restarts: self.course.restarts,
            by_hand: self.course.by_hand,
        };
        if has_run {
            self.course.decide(self.config.restart, exit.exit_code);
        }
        if let Some(error) = self.log.as_mut().and_then(|log| log.error.take()) {
            exit.error.get_or_insert(error);
        }
        let counted = self.meter.counted_usec();
        if let Some(Err(error)) =
            self.history.as_mut().map(|history| history.finish(self.bundle.as_fd(), counted))
        {
            exit.error.get_or_insert(error);
        }
        let receipt = has_run.then(|| self.meter.conclude(ended, self.course.lives_on));
        if let (Some(receipt), Some(config)) = (&receipt, &self.config.receipt)
            && let Err(error) = receipt::file(config, &exit, receipt)
        {
            exit.error.get_or_insert(error);
        }
        if has_run {
            self.events.tell_kills(self.config.events.as_ref());
            self.tell("died", &format!("\"exit_code\":{}", exit.exit_code));
        }
        if let Some(error) = self.events.error.take() {
            exit.error.get_or_insert(error);
        }
        let text = told(&exit, receipt.as_ref());
        match self.record.take().map(|record| record.write(&text)) {
            // Whoever waits is told here, and a later look finds start.json, thus an exit.
            Some(Err(error)) => Some(told(&Exit { error: Some(error), ..exit }, receipt.as_ref())),
            _ => Some(text),
        }
    }

    /// Tells everybody who waits, after the clean-up, so that "ended" means that nothing is left.
    pub(super) fn say_goodbye(&mut self, exit: Option<&[u8]>) {
        let Some(exit) = exit else { return };
        for client in self.clients.iter_mut().filter(|client| client.waits) {
            client.push(Frame::Exited, exit, Vec::new());
        }
        // Slow readers get what is theirs; those who left are dropped.
        while self.clients.iter().any(|client| client.has_output() && !client.gone) {
            let waiting =
                || self.clients.iter().filter(|client| client.has_output() && !client.gone);
            let mut fds: Vec<PollFd<'_>> = waiting()
                .map(|client| PollFd::from_borrowed_fd(client.as_fd(), PollFlags::OUT))
                .collect();
            if poll(&mut fds, None).is_err_and(|errno| errno != Errno::INTR) {
                return;
            }
            drop(fds);
            self.clients.iter_mut().for_each(Client::flush);
        }
    }
}

/// exit.json, with the receipt in it.
fn told(exit: &Exit, receipt: Option<&Receipt>) -> Vec<u8> {
    let mut text = to_json(exit);
    if let Some(receipt) = receipt {
        receipt.append_to(&mut text);
    }
    text
}
