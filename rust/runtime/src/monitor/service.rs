//! Serving who is connected to a container's monitor.

use std::os::fd::OwnedFd;

use pyrt_core::paths::memory_file;
use pyrt_core::wire::{Frame, Received};
use pyrt_core::{At, Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::Attach;
use super::clients::{Client, to_json};
use super::container::Container;
use super::control::Request;
use super::course::Then;
use super::log::Log;

/// Frames of one client in one round: the others, and the end of init, must not wait for a chatterer.
const FRAMES: usize = 16;

impl Container {
    pub(super) fn accept(&mut self) {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        match rustix::net::accept_with(&self.listener, flags) {
            Ok(socket) => self.clients.push(Client::new(socket, false)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            // EMFILE and its kin: the connection stays ready, and we would turn in circles.
            Err(_) => self.is_deaf = true,
        }
    }

    pub(super) fn serve(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.clients[index].flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        for _ in 0..FRAMES {
            if !self.clients[index].may_speak() {
                return;
            }
            let Some(received) = self.clients[index].receive() else { return };
            if let Err(error) = self.answer(index, &received) {
                self.clients[index].fail(&error);
            }
        }
    }

    fn answer(&mut self, index: usize, received: &Received) -> Result<()> {
        let content = received.content.as_slice();
        match (received.frame, content) {
            (Frame::Start, attach) => {
                self.start_for(index, if attach == [1] { Attach::Yes } else { Attach::No });
            }
            (Frame::Stdin, []) => self.stdio.push(b"", self.config.stdin_once),
            (Frame::Stdin, data) => {
                self.clients[index].owe(data.len());
                self.stdio.push(data, false);
            }
            (Frame::Feeds, []) => self.clients[index].feeds = true,
            (Frame::Resize, &[r0, r1, c0, c1]) => {
                self.stdio.resize(u16::from_le_bytes([r0, r1]), u16::from_le_bytes([c0, c1]))?;
            }
            (Frame::Signal, &[number]) => self.kill(i32::from(number))?,
            (Frame::Request, json) => self.answer_request(index, &Request::parse(json)?)?,
            _ => return Err(Error::new(Code::InvalidSpec, "control", "frame", "unexpected")),
        }
        Ok(())
    }

    fn answer_request(&mut self, index: usize, request: &Request) -> Result<()> {
        let mut fds = Vec::new();
        let mut reply = b"{}".to_vec();
        match *request {
            Request::State => reply = to_json(&self.state),
            Request::Kill { signal } => self.kill(signal)?,
            Request::Stop { timeout_ms } => {
                self.course.by_hand = true;
                self.begin_end(Then::End, std::time::Duration::from_millis(timeout_ms))?;
            }
            Request::Check => self.probes.ask(),
            Request::Wait => {
                self.clients[index].waits = true;
                return Ok(());
            }
            Request::Attach => {
                self.clients[index].attached = true;
                self.clients[index].waits = true;
            }
            Request::Resize { rows, columns } => self.stdio.resize(rows, columns)?,
            Request::Start => {
                self.start()?;
                self.meter.settle();
            }
            Request::Pod => {
                fds = self.pod_namespaces()?;
                self.clients[index].is_member = true;
            }
            Request::Ready { value } => self.hear_readiness(index, value),
            Request::Reopen => self.log.as_mut().map_or(Ok(()), Log::reopen)?,
            Request::Usage => reply = self.meter.tell(),
            Request::Join => {
                fds = self.join_descriptors()?;
                reply = to_json(&self.joining);
            }
        }
        self.clients[index].push(Frame::Reply, &reply, fds);
        Ok(())
    }

    pub(super) fn join_descriptors(&mut self) -> Result<Vec<OwnedFd>> {
        if self.state.status != "running" {
            return Err(Error::new(Code::Conflict, "exec", &*self.id, "container is not running"));
        }
        let mut fds = vec![self.created.pidfd.try_clone().at("dup", "pidfd")?];
        // Always there, empty without a filter: so that the place of the cgroup does not depend on it.
        let filter = self.joining.filter.as_deref().unwrap_or_default();
        fds.push(memory_file("seccomp", filter)?);
        fds.push(self.meter.usage_pipe()?);
        if let Some(cgroup) = &self.cgroup {
            fds.push(cgroup.try_clone().at("dup", "cgroup")?);
        }
        Ok(fds)
    }

    /// Starts on behalf of a client, which gets `Started` or `Failed`, unless it has gone meanwhile.
    pub(super) fn start_for(&mut self, index: usize, attach: Attach) {
        let mut look = [PollFd::from_borrowed_fd(self.clients[index].as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut look, Some(&now)).is_ok_and(|count| count > 0) {
            return; // hung up: the loop hears of it, and undoes
        }
        self.clients[index].attached = attach == Attach::Yes;
        match self.start() {
            Ok(()) => {
                self.clients[index].push(Frame::Started, b"", Vec::new());
                self.meter.settle();
            }
            Err(error) => self.clients[index].fail(&error),
        }
    }

    pub(super) fn drop_clients(&mut self) {
        for client in self.clients.iter().filter(|client| client.gone && client.is_lead) {
            if self.state.status == "created" && self.failure.is_none() {
                self.abandoned = true;
                // Init ends by itself at the end of its socket; this is for certain.
                let _ = rustix::process::pidfd_send_signal(&self.created.pidfd, Signal::KILL);
                let _ = client;
            }
        }
        // Docker's StdinOnce: whoever was killed sends no end of file, and the program would wait for it for ever.
        if self.config.stdin_once && self.clients.iter().any(|client| client.gone && client.feeds) {
            self.stdio.push(b"", true);
        }
        let loses_member = self.clients.iter().any(|client| client.gone && client.is_member);
        let lost = self.clients.iter().filter(|client| client.gone && client.readiness.is_some());
        self.pod.missing += lost.count();
        self.clients.retain(|client| !client.gone);
        if loses_member {
            self.follow_members();
        }
    }
}
