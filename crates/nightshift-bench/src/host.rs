//! What the figures were taken on.

use nightshift_sandbox::Driver;
use serde::Serialize;

use crate::bench::BenchError;
use crate::ground::Ground;

/// The machine, as far as it bears on the figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostFacts {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    /// What runs guests: `kvm` or `tcg`.
    pub(crate) acceleration: String,
    pub(crate) because: String,
    pub(crate) qemu: String,
    pub(crate) kernel: String,
    /// Load averages over 1, 5 and 15 minutes before the bench.
    pub(crate) load_before: [f64; 3],
    /// The same after it; the bench itself is part of it.
    pub(crate) load_after: [f64; 3],
}

impl HostFacts {
    pub(crate) fn shown(&self) -> String {
        let Self { cpu, cores, memory_mib, acceleration, because, qemu, kernel, .. } = self;
        let [before, after] = [self.load_before[0], self.load_after[0]];
        format!(
            "  {cpu}, {cores} cores, {memory_mib} MiB; Linux {kernel}; {qemu}\n  guests run by {acceleration} ({because}); load {before:.1} before, {after:.1} after\n"
        )
    }
}

/// Describes this machine.
pub(crate) async fn describe(ground: &Ground, load_before: [f64; 3]) -> Result<HostFacts, BenchError> {
    let report =
        ground.driver().probe().await.map_err(BenchError::during("looking what runs guests here"))?;
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    Ok(HostFacts {
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_mib: memory_mib(&read("/proc/meminfo")).unwrap_or(0),
        acceleration: report.acceleration.to_string(),
        because: report.because,
        qemu: report.hypervisor,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load_before,
        load_after: load(),
    })
}

/// The load averages (proc_loadavg(5)).
pub(crate) fn load() -> [f64; 3] {
    parse_load(&std::fs::read_to_string("/proc/loadavg").unwrap_or_default())
}

fn parse_load(text: &str) -> [f64; 3] {
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0.0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}

/// The value behind `name` in a file of lines `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let kib: u64 = field(meminfo, "MemTotal")?.trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernel_s_files() {
        assert_eq!(field("a\t: b\nmodel name\t: EPYC 9\nmodel name\t: other", "model name"), Some("EPYC 9"));
        assert_eq!(memory_mib("MemTotal:       25000000 kB\nMemFree: 1 kB"), Some(24_414));
        assert_eq!(parse_load("0.50 1.25 2.00 3/123 4567\n"), [0.5, 1.25, 2.0]);
        assert_eq!(parse_load(""), [0.0; 3]);
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_none() {
        assert_eq!(field("model name\nother : x", "model name"), None);
        assert_eq!(memory_mib(""), None);
        assert_eq!(memory_mib("MemTotal:       many kB"), None);
        assert_eq!(parse_load("high 1.00"), [0.0, 1.0, 0.0]);
    }
}
