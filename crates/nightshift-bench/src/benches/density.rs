//! How many sandboxes a host holds: what idle clones cost, and whether many of them answer.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_channel::GuestUser;
use nightshift_supervisor::{Desk, shell};

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, say};

const PSS: &str = "pss_percent";
const PSS_MIB: &str = "pss_mib";
const ANSWERING: &str = "answering";
const UNCHANGED: &str = "template_unchanged";

const MEASURES: &[Measure] = &[
    Measure {
        name: PSS,
        about: "memory (PSS) of an idle clone, of 6, by its size",
        unit: "%",
        bar: Some(Bar::AtMost(10.0)),
    },
    Measure { name: PSS_MIB, about: "the same", unit: "MiB", bar: None },
    Measure {
        name: ANSWERING,
        about: "of 12 clones those that answer a command",
        unit: "",
        bar: Some(Bar::AtLeast(12.0)),
    },
    Measure {
        name: UNCHANGED,
        about: "template files whose hash is the same after all",
        unit: "share",
        bar: Some(Bar::AtLeast(1.0)),
    },
];

/// Clones that share the memory while it is measured.
const SHARING: usize = 6;
/// Clones that are to answer.
const MANY: usize = 12;
/// How long clones idle before they are measured.
const IDLE: Duration = Duration::from_secs(20);
/// Twelve guests at once on two processors are slow.
const LIMIT: Duration = Duration::from_secs(120);

/// See the module.
pub(crate) struct Density;

#[async_trait]
impl Bench for Density {
    fn name(&self) -> &'static str {
        "density"
    }

    fn about(&self) -> &'static str {
        "what idle clones cost in memory, and whether a dozen of them answer"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        let template = ground.template().await?;
        let before = hashes(&template.folder)?;
        let mut samples = Samples::default();
        let mut desks = Vec::new();
        while desks.len() < SHARING {
            say(&format!("clone {} of {SHARING}", desks.len() + 1));
            desks.push(ground.clone_of(&template).await?.0);
        }
        // Every idle clone is looked at as often as it takes to have the samples asked for.
        for look in 1..=(ground.samples() as usize).div_ceil(SHARING) {
            say(&format!("look {look}: {} s of idling", IDLE.as_secs()));
            tokio::time::sleep(IDLE).await;
            for desk in &desks {
                let mib = pss_mib(ground, desk)?;
                samples.add(PSS_MIB, mib);
                samples.add(PSS, mib / f64::from(ground.size().memory_mib) * 100.0);
            }
        }
        while desks.len() < MANY {
            say(&format!("clone {} of {MANY}", desks.len() + 1));
            desks.push(ground.clone_of(&template).await?.0);
        }
        for round in 0..ground.samples() {
            let mut answering = 0;
            let asked: Vec<_> = desks
                .iter()
                .map(|desk| {
                    let channel = desk.channel.clone();
                    tokio::spawn(async move {
                        shell(&channel, &format!("density-{round}"), "echo here", GuestUser::Agent, LIMIT)
                            .await
                    })
                })
                .collect();
            for answer in asked {
                let answer = answer.await.map_err(BenchError::during("asking a clone"))?;
                match answer {
                    Ok(said) if said.stdout.starts_with(b"here") => answering += 1,
                    Ok(said) => say(&format!("a clone answered {:?}", String::from_utf8_lossy(&said.stdout))),
                    Err(error) => say(&format!("a clone does not answer: {error}")),
                }
            }
            samples.add(ANSWERING, f64::from(answering));
        }
        drop(desks);
        ground.clear().await;
        for (before, after) in before.iter().zip(hashes(&template.folder)?) {
            samples.add(UNCHANGED, if *before == after { 1.0 } else { 0.0 });
        }
        Ok(samples)
    }
}

/// The proportional set size of a clone's QEMU: its own memory, and its share of what it shares (proc_pid_smaps(5)).
fn pss_mib(ground: &Ground, desk: &Desk) -> Result<f64, BenchError> {
    let pid = ground.sandboxes().join(desk.machine.sandbox().as_str()).join("pid");
    let pid = std::fs::read_to_string(pid).map_err(BenchError::io("reading QEMU's process id"))?;
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.trim()))
        .map_err(BenchError::io("reading what memory QEMU has"))?;
    pss_kib(&rollup)
        .map(|kib| kib as f64 / 1024.0)
        .ok_or_else(|| BenchError::Unexpected("the kernel tells no proportional set size".to_owned()))
}

fn pss_kib(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The SHA-256 of each file of a template, by name.
fn hashes(folder: &Path) -> Result<Vec<(String, String)>, BenchError> {
    let mut hashes = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(BenchError::io("reading the template's folder"))?;
    for entry in entries {
        let entry = entry.map_err(BenchError::io("reading the template's folder"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hash = sha256(&entry.path()).map_err(BenchError::io("hashing a template's file"))?;
        hashes.push((name, hash));
    }
    hashes.sort();
    Ok(hashes)
}

fn sha256(path: &Path) -> std::io::Result<String> {
    use sha2::{Digest, Sha256};

    let mut hash = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_size_is_read_and_not_the_resident_one() {
        let rollup = "00400000-7fff00000000 ---p 00000000 00:00 0 [rollup]\nRss: 200 kB\nPss:      150 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(pss_kib(rollup), Some(150));
        assert_eq!(pss_kib("Rss: 200 kB"), None);
    }

    #[test]
    fn a_changed_file_changes_its_hash_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("memory", "a"), ("state", "b")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let before = hashes(folder.path()).unwrap();
        std::fs::write(folder.path().join("state"), "c").unwrap();
        let after = hashes(folder.path()).unwrap();
        let same: Vec<_> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
        assert_eq!(same, [true, false]);
        // echo -n a | sha256sum
        assert_eq!(before[0].1, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    }
}
