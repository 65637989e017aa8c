//! A clone becomes a machine of its own: clones share memory and disk with their template, and must not share a name,
//! keys, or the numbers they take for random.

use std::fs;
use std::io;
use std::path::Path;

use nightshift_channel::wire::service::{Identity, IdentityAnswer, IdentityRefusal};

use crate::kernel::Kernel;

/// How much randomness an identity brings, in bytes.
const ENTROPY_BYTES: std::ops::RangeInclusive<usize> = 32..=512;

/// Gives the machine its identity. Every step can be repeated.
pub(crate) fn take(identity: &Identity, root: &Path, kernel: &dyn Kernel) -> IdentityAnswer {
    check(identity)?;
    let name = identity.host_name.as_str();
    // Randomness first: whatever draws some from here on draws what no other clone does.
    step("the kernel's randomness", kernel.add_entropy(&identity.entropy))?;
    step("the clock", kernel.set_clock(identity.clock_unix_nanoseconds))?;
    step("the host name", kernel.set_host_name(name))?;
    step("/etc/hostname", replace(&root.join("etc/hostname"), &format!("{name}\n")))?;
    step("/etc/hosts", name_in_hosts(&root.join("etc/hosts"), name))?;
    let machine_id: String = identity.machine_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let machine_id = format!("{machine_id}\n");
    step("/etc/machine-id", replace(&root.join("etc/machine-id"), &machine_id))?;
    let for_dbus = root.join("var/lib/dbus/machine-id");
    if for_dbus.is_file() && !for_dbus.is_symlink() {
        step("/var/lib/dbus/machine-id", replace(&for_dbus, &machine_id))?;
    }
    step("/etc/ssh", remove_host_keys(&root.join("etc/ssh")))
}

fn check(identity: &Identity) -> IdentityAnswer {
    let invalid = |what: &str| Err(IdentityRefusal::Invalid { what: what.to_owned() });
    let name = identity.host_name.as_str();
    let fits = (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-');
    if !fits || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return invalid("the host name is not 1 to 63 letters, digits or hyphens");
    }
    if !ENTROPY_BYTES.contains(&identity.entropy.len()) {
        return invalid("the entropy is not 32 to 512 bytes");
    }
    // sd-id128(3): all zeroes stand for no id.
    if identity.machine_id == [0; 16] {
        return invalid("the machine id is zero");
    }
    Ok(())
}

fn step(what: &str, result: io::Result<()>) -> IdentityAnswer {
    result.map_err(|error| IdentityRefusal::Failed { what: format!("{what}: {error}") })
}

/// Replaces a file in one step. Not synced: a clone that is cut off is made again.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, content)?;
    fs::rename(partial, path)
}

/// Debian gives 127.0.1.1 to the machine's own name (hosts(5)).
fn name_in_hosts(path: &Path, name: &str) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "127.0.0.1\tlocalhost\n".to_owned(),
        Err(error) => return Err(error),
    };
    let others = before.lines().filter(|line| line.split_whitespace().next() != Some("127.0.1.1"));
    let after: String = others.map(|line| format!("{line}\n")).collect();
    replace(path, &format!("{after}127.0.1.1\t{name}\n"))
}

fn remove_host_keys(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Default, Clone)]
    struct Recording(Arc<Mutex<Vec<String>>>);

    impl Kernel for Recording {
        fn set_host_name(&self, name: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(format!("name {name}"));
            Ok(())
        }

        fn add_entropy(&self, entropy: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().push(format!("{} bytes of entropy", entropy.len()));
            Ok(())
        }

        fn set_clock(&self, unix_nanoseconds: i64) -> io::Result<()> {
            self.0.lock().unwrap().push(format!("clock {unix_nanoseconds}"));
            Ok(())
        }
    }

    fn identity() -> Identity {
        Identity {
            host_name: "sandbox-7".to_owned(),
            machine_id: [0xab; 16],
            entropy: vec![1; 32],
            clock_unix_nanoseconds: 5,
        }
    }

    #[test]
    fn a_clone_gets_its_name_id_and_randomness_and_loses_the_templates_keys() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("etc/ssh")).unwrap();
        fs::write(path("etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1\ttemplate\n::1 ip6-localhost\n")
            .unwrap();
        fs::write(path("etc/ssh/ssh_host_ed25519_key"), "secret").unwrap();
        fs::write(path("etc/ssh/sshd_config"), "").unwrap();
        let kernel = Recording::default();
        take(&identity(), root.path(), &kernel).unwrap();
        take(&identity(), root.path(), &kernel).unwrap();
        let content = |name: &str| fs::read_to_string(path(name)).unwrap();
        assert_eq!(content("etc/hostname"), "sandbox-7\n");
        assert_eq!(content("etc/hosts"), "127.0.0.1\tlocalhost\n::1 ip6-localhost\n127.0.1.1\tsandbox-7\n");
        assert_eq!(content("etc/machine-id"), "abababababababababababababababab\n");
        assert!(!path("etc/ssh/ssh_host_ed25519_key").exists() && path("etc/ssh/sshd_config").exists());
        assert_eq!(kernel.0.lock().unwrap()[..3], ["32 bytes of entropy", "clock 5", "name sandbox-7"]);
    }

    #[test]
    fn an_identity_out_of_range_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let kernel = Recording::default();
        let wrong = [
            Identity { host_name: "two words".to_owned(), ..identity() },
            Identity { host_name: String::new(), ..identity() },
            Identity { entropy: vec![1; 31], ..identity() },
            Identity { entropy: vec![1; 513], ..identity() },
            Identity { machine_id: [0; 16], ..identity() },
        ];
        for identity in wrong {
            assert!(matches!(take(&identity, root.path(), &kernel), Err(IdentityRefusal::Invalid { .. })));
        }
        assert_eq!(*kernel.0.lock().unwrap(), Vec::<String>::new());
    }
}
