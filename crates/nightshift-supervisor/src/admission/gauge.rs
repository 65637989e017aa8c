//! What the host has left, read from Linux.

use std::path::PathBuf;

use super::Resources;
use crate::doctor;

/// Looks at the host.
#[derive(Debug, Clone)]
pub(crate) enum Gauge {
    /// At this one.
    Host {
        /// Where the kernel tells of itself, as in `/proc`.
        kernel: PathBuf,
        /// A folder on the disk that counts.
        disk: PathBuf,
    },
    /// At none: nothing is known.
    Nothing,
    /// At what a test says.
    #[cfg(test)]
    Fixed(Resources),
}

impl Gauge {
    /// Reads what there is now. What cannot be read is not known.
    pub(crate) fn read(&self) -> Resources {
        match self {
            Self::Nothing => Resources::default(),
            #[cfg(test)]
            Self::Fixed(resources) => *resources,
            Self::Host { kernel, disk } => {
                let text = |path: &str| std::fs::read_to_string(kernel.join(path)).ok();
                Resources {
                    available_mib: text("meminfo").and_then(|text| available_mib(&text)),
                    stalled_percent: text("pressure/memory").and_then(|text| stalled_percent(&text)),
                    free_disk_mib: doctor::free_mib(disk),
                }
            }
        }
    }
}

/// Reads `MemAvailable` (proc_meminfo(5)).
fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1_024)
}

/// Reads the share of the last ten seconds in which something stood still for memory.
fn stalled_percent(pressure: &str) -> Option<f32> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_pressure_are_read_as_linux_writes_them() {
        let meminfo = "MemTotal:       24684544 kB\nMemFree:  100 kB\nMemAvailable:    2097152 kB\n";
        assert_eq!(available_mib(meminfo), Some(2_048));
        let pressure = "some avg10=12.50 avg60=3.00 avg300=1.00 total=99\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(stalled_percent(pressure), Some(12.5));
    }

    #[test]
    fn a_host_is_looked_at_where_its_kernel_tells_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let gauge = Gauge::Host { kernel: folder.path().to_owned(), disk: "/nowhere".into() };
        assert_eq!(gauge.read(), Resources::default());
        std::fs::write(folder.path().join("meminfo"), "MemAvailable: 614400 kB\n").unwrap();
        std::fs::create_dir(folder.path().join("pressure")).unwrap();
        std::fs::write(folder.path().join("pressure/memory"), "some avg10=31.50 avg60=0.00\n").unwrap();
        let known = Resources { available_mib: Some(600), stalled_percent: Some(31.5), free_disk_mib: None };
        assert_eq!(gauge.read(), known);
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        assert_eq!((available_mib("MemTotal: 1 kB\n"), stalled_percent("")), (None, None));
        assert_eq!(Gauge::Nothing.read(), Resources::default());
    }
}
