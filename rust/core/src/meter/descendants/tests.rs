//! The walk beside processes that we started.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{Sum, sum};

#[test]
fn children_of_threads_are_counted() {
    let mut child = std::thread::spawn(|| {
        let script = "sleep 50 & exec sleep 60";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).process_group(0).spawn().unwrap()
    })
    .join()
    .unwrap();
    let mut buffer = [0; 4096];
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    // The shell, which becomes a sleep, and the other one.
    while sum(child.id(), &mut buffer).is_none_or(|sum| sum.tasks != 2) {
        assert!(std::time::Instant::now() < deadline);
    }
    let of_child = sum(child.id(), &mut buffer).unwrap();
    let all = sum(std::process::id(), &mut buffer).unwrap();
    assert!(all.tasks > of_child.tasks, "{all:?} {of_child:?}");
    assert!(of_child.anonymous_bytes > 0 && of_child.read_bytes.is_some());
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(sum(child.id(), &mut buffer), None::<Sum>);
}
