//! The processes that belong to one home folder.

use rustix::process::{Pid, Signal, kill_process};

/// Kills every process whose environment names `home` as its home folder: a job and what it started inherit it. A
/// process that changed its environment is missed; tests start none.
pub(super) fn kill_at_home(home: &str) {
    let wanted = format!("HOME={home}");
    // A process may start another while it is looked for; those are found the next time.
    for _ in 0..3 {
        let found = at_home(wanted.as_bytes());
        if found.is_empty() {
            return;
        }
        for pid in found {
            // It may have ended by itself.
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}

fn at_home(wanted: &[u8]) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_at_home = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == wanted))
    };
    pids.filter(is_at_home).filter_map(Pid::from_raw).collect()
}
