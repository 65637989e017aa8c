//! Looks whether this host can run sandboxes, and says what to do if not.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nightshift_protocol::{Check, CheckOutcome, DoctorReport, ErrorCode, UserError};
use nightshift_sandbox::{Acceleration, CheckpointMemory, MachineSize};

use crate::desk::DeskError;
use crate::shared::Shared;

/// Free space below which nothing new is begun, in MiB: an overlay disk and the history must have room.
pub(crate) const LEAST_FREE_MIB: u64 = 2_048;

/// Free space that an image, its template and some sandboxes want, in MiB.
const GOOD_FREE_MIB: u64 = 16_384;

pub(crate) async fn examine(shared: &Shared, search_path: Option<&OsStr>) -> DoctorReport {
    let mut checks = vec![named("git", program(search_path, "git", "needed to take work in and out"))];
    let probed = shared.driver.probe().await;
    let checkpoints = probed.as_ref().ok().and_then(|report| report.checkpoints.clone());
    let probe = match probed {
        Ok(report) if report.acceleration == Acceleration::Kvm => {
            good(format!("kvm, by {} ({})", report.hypervisor, report.because))
        }
        Ok(report) => CheckOutcome::Weak {
            found: format!("tcg, by {} ({})", report.hypervisor, report.because),
            hint:
                "Sandboxes work, several times slower than with KVM. The brackets say what stands in its way."
                    .to_owned(),
        },
        Err(error) => CheckOutcome::Bad { error: DeskError::from(error).into() },
    };
    checks.push(named("acceleration", probe));
    checks.extend(checkpoints.map(|memory| named("checkpoints", checkpoint_memory(memory))));
    checks.push(named("image", image(shared, search_path).await));
    checks.push(named(
        "memory",
        memory(shared.settings.host_memory_mib, shared.settings.size, shared.rooms.limit()),
    ));
    checks.push(named("disk", disk(free_mib(&shared.settings.data))));
    let model = match shared.model.check(&shared.settings.default_model).await {
        Ok(facts) => good(format!("{} answers for {}", facts.display_name, shared.settings.default_model)),
        Err(error) => CheckOutcome::Bad { error: error.user_error() },
    };
    checks.push(named("model", model));
    let engines = crate::engine::Engines::of(shared).in_words();
    checks.push(named("engines", good(engines)));
    DoctorReport { checks }
}

fn checkpoint_memory(memory: CheckpointMemory) -> CheckOutcome {
    match memory {
        CheckpointMemory::Changes => good("they cost what changed in a sandbox"),
        CheckpointMemory::Whole { because, remedy } => CheckOutcome::Weak {
            found: format!("they have all of a sandbox's memory, which stands still meanwhile: {because}"),
            hint: remedy
                .unwrap_or_else(|| "Checkpoints take seconds, and some gigabytes of the disk.".to_owned()),
        },
    }
}

pub(crate) fn named(name: &str, outcome: CheckOutcome) -> Check {
    Check { name: name.to_owned(), outcome }
}

pub(crate) fn good(found: impl Into<String>) -> CheckOutcome {
    CheckOutcome::Good { found: found.into() }
}

async fn image(shared: &Shared, search_path: Option<&OsStr>) -> CheckOutcome {
    match (shared.images.find().await, shared.templates.find().await) {
        (Err(error), _) | (_, Err(error)) => CheckOutcome::Bad { error },
        (Ok(Some(image)), Ok(Some(template))) => good(format!(
            "image {} and template {} are ready",
            &image.hash[..16.min(image.hash.len())],
            template.key
        )),
        (Ok(Some(_)), Ok(None)) => CheckOutcome::Weak {
            found: "the image is ready, the template is not".to_owned(),
            hint: "The first task makes it, or `nightshift template build` now: some minutes, once."
                .to_owned(),
        },
        (Ok(None), _) => match program(search_path, "mmdebstrap", "needed once to build the guest image") {
            CheckOutcome::Good { .. } => CheckOutcome::Weak {
                found: "there is no guest image yet".to_owned(),
                hint: "The first task builds it, or `nightshift template build` now: several minutes, once."
                    .to_owned(),
            },
            missing => missing,
        },
    }
}

/// Looks for an executable file of that name in the folders of `search_path`.
fn program(search_path: Option<&OsStr>, name: &str, why: &str) -> CheckOutcome {
    let folders = search_path.map(std::env::split_paths).into_iter().flatten();
    let executable = |path: &Path| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    match folders.map(|folder| folder.join(name)).find(|path| executable(path)) {
        Some(path) => good(path.display().to_string()),
        None => CheckOutcome::Bad {
            error: UserError::new(
                ErrorCode::ToolMissing,
                format!("{name} is not installed ({why})"),
                format!("Install it: `sudo apt-get install {name}`."),
            ),
        },
    }
}

fn memory(host_mib: Option<u64>, size: MachineSize, limit: u32) -> CheckOutcome {
    let needed = u64::from(size.memory_mib);
    match host_mib {
        None => good(format!("its size is not known; {limit} sandboxes of {needed} MiB at once")),
        Some(host) if host < needed + 512 => CheckOutcome::Bad {
            error: UserError::new(
                ErrorCode::OutOfMemory,
                format!("{host} MiB are too few for a sandbox of {needed} MiB"),
                "Set sandbox.memory_mib in config.toml to less, or use a larger machine.",
            ),
        },
        Some(host) => {
            good(format!("{}: {limit} sandboxes of {} at once", size_words(host), size_words(needed)))
        }
    }
}

/// A size in the unit that people think in, with one place.
fn size_words(mib: u64) -> String {
    let tenths = (mib * 10 + 512) / 1_024;
    match tenths {
        ..10 => format!("{mib} MiB"),
        _ if tenths.is_multiple_of(10) => format!("{} GiB", tenths / 10),
        _ => format!("{}.{} GiB", tenths / 10, tenths % 10),
    }
}

fn disk(free_mib: Option<u64>) -> CheckOutcome {
    match free_mib {
        None => good("its free space is not known"),
        Some(free) if free < LEAST_FREE_MIB => CheckOutcome::Bad { error: too_little_space(free) },
        Some(free) if free < GOOD_FREE_MIB => CheckOutcome::Weak {
            found: format!("{free} MiB free"),
            hint: format!("An image, its template and some sandboxes want {GOOD_FREE_MIB} MiB."),
        },
        Some(free) => good(format!("{} free", size_words(free))),
    }
}

pub(crate) fn too_little_space(free_mib: u64) -> UserError {
    UserError::new(
        ErrorCode::DiskFull,
        format!(
            "only {free_mib} MiB are free on the disk of Nightshift's data folder, less than {LEAST_FREE_MIB}"
        ),
        "Free some space and try again; `nightshift prune` removes old images and templates that nobody needs.",
    )
}

/// Free space of the disk that holds `folder`, in MiB.
pub(crate) fn free_mib(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize) / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_how_to_install_it() {
        let CheckOutcome::Bad { error } = program(Some(OsStr::new("/nowhere")), "git", "needed") else {
            panic!("git was found in /nowhere");
        };
        assert_eq!(error.hint, "Install it: `sudo apt-get install git`.");
    }

    #[test]
    fn a_program_is_found_where_the_search_path_says() {
        assert!(matches!(
            program(Some(OsStr::new("/nowhere:/bin")), "sh", "needed"),
            CheckOutcome::Good { .. }
        ));
    }

    #[test]
    fn checkpoints_of_the_whole_memory_are_weak_and_say_why_and_what_to_do() {
        assert_eq!(checkpoint_memory(CheckpointMemory::Changes), good("they cost what changed in a sandbox"));
        let whole = |remedy: Option<&str>| CheckpointMemory::Whole {
            because: "kernel.yama.ptrace_scope is 2".to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let weak = |hint: &str| {
            CheckOutcome::Weak {
            found: "they have all of a sandbox's memory, which stands still meanwhile: kernel.yama.ptrace_scope is 2"
                .to_owned(),
            hint: hint.to_owned(),
        }
        };
        assert_eq!(checkpoint_memory(whole(Some("Set it to 1."))), weak("Set it to 1."));
        let otherwise = weak("Checkpoints take seconds, and some gigabytes of the disk.");
        assert_eq!(checkpoint_memory(whole(None)), otherwise);
    }

    #[test]
    fn a_nearly_full_disk_is_bad_and_a_tight_one_weak() {
        assert!(matches!(disk(Some(10)), CheckOutcome::Bad { .. }));
        assert!(matches!(disk(Some(LEAST_FREE_MIB)), CheckOutcome::Weak { .. }));
        assert!(matches!(disk(Some(GOOD_FREE_MIB)), CheckOutcome::Good { .. }));
        assert_eq!(disk(Some(55_236)), good("53.9 GiB free"));
    }

    #[test]
    fn a_host_smaller_than_a_sandbox_cannot_run_one() {
        assert!(matches!(memory(Some(1_024), MachineSize::default(), 1), CheckOutcome::Bad { .. }));
        let enough = memory(Some(24_105), MachineSize::default(), 2);
        assert_eq!(enough, good("23.5 GiB: 2 sandboxes of 2 GiB at once"));
    }
}
