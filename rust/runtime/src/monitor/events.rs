//! What happens to a container, told in the file of all events: the half of it that nobody else sees.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyrt_core::bundle::EventsConfig;
use pyrt_core::meter::files::keyed;
use pyrt_core::{Error, journal};
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

/// memory.events has some hundred bytes.
const EVENTS_BYTES: usize = 1024;

/// Where events go, and the file that says when the kernel killed for want of memory.
#[derive(Debug)]
pub(super) struct Events {
    memory: Option<OwnedFd>,
    oom_kills: u64,
    /// The first refusal; the container is not ended for it, and exit.json tells it.
    pub(super) error: Option<Error>,
}

impl Events {
    /// Begins to watch the container's own cgroup: without the memory controller there is nothing to see.
    pub(super) fn watch(cgroup: Option<&OwnedFd>) -> Self {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let memory = cgroup.and_then(|cgroup| {
            rustix::fs::openat(cgroup, "memory.events", flags, Mode::empty()).ok()
        });
        let mut events = Self { memory, oom_kills: 0, error: None };
        // Kills before now were of another life; and reading arms the poll.
        events.count_kills();
        events
    }

    /// What polls ready when memory.events has changed.
    pub(super) fn memory(&self) -> Option<BorrowedFd<'_>> {
        self.memory.as_ref().map(AsFd::as_fd)
    }

    /// Kills since the last look.
    fn count_kills(&mut self) -> u64 {
        let Some(memory) = &self.memory else { return 0 };
        let mut text = [0; EVENTS_BYTES];
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(memory, &mut text, 0));
        let text = count.ok().and_then(|count| std::str::from_utf8(&text[..count]).ok());
        let Some(kills) = text.and_then(|text| keyed(text, "oom_kill")) else {
            // ENODEV: the cgroup is gone, and the poll would be ready for ever.
            self.memory = None;
            return 0;
        };
        let new = kills.saturating_sub(self.oom_kills);
        self.oom_kills = kills;
        new
    }

    /// Tells of processes that the kernel killed meanwhile.
    pub(super) fn tell_kills(&mut self, config: Option<&EventsConfig>) {
        let kills = self.count_kills();
        if kills > 0 {
            self.tell(config, "oom", &format!("\"oom_kills\":{kills}"));
        }
    }

    /// Tells one event; `more` are further fields, as JSON.
    pub(super) fn tell(&mut self, config: Option<&EventsConfig>, status: &str, more: &str) {
        let Some(config) = config else { return };
        let line = line(config, status, more, now_ns());
        if let Err(error) = journal::append(&config.path, config.max_size_bytes, line.as_bytes()) {
            self.error.get_or_insert(error);
        }
    }
}

/// `{"time":NANOSECONDS,"type":"container","status":…,SUBJECT…,MORE…}`
fn line(config: &EventsConfig, status: &str, more: &str, time_ns: u64) -> String {
    let subject = config.subject.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let subject = subject.unwrap_or("\"id\":\"\"");
    let comma = if more.is_empty() { "" } else { "," };
    format!(
        "{{\"time\":{time_ns},\"type\":\"container\",\"status\":\"{status}\",{subject}{comma}{more}}}\n"
    )
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::{EventsConfig, line};

    #[test]
    fn an_event_is_a_line_of_json() {
        let subject = r#"{"id":"a1","attributes":{"a":"{}"}}"#.to_owned();
        let config = EventsConfig { path: "/e".into(), max_size_bytes: 1, subject };
        for (more, code) in [("", None), ("\"exit_code\":3", Some(3))] {
            let text = line(&config, "died", more, 5);
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event["time"], 5);
            assert_eq!(event["attributes"]["a"], "{}");
            assert_eq!(event["exit_code"].as_i64(), code);
        }
    }
}
