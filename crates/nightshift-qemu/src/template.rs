//! Templates on disk: how they are named, made, found whole and published.
//!
//! A template is made in a staging folder of its own and gets its name by one rename, so nobody ever sees a half
//! of one, and several owners may make the same one at once without a lock: the first rename wins, and the others
//! find that the template is there.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nightshift_protocol::SandboxId;
use nightshift_sandbox::{Template, TemplateKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::command_line::{MachinePlan, Start, arguments};
use crate::folder::{name, remove_folder};
use crate::image::hexadecimal;

/// The version of what a template's folder holds. It is part of the key.
const FORMAT: u32 = 1;
/// The file that says what a template is; written last.
pub(crate) const RECORD: &str = "template.json";
/// The files of a template, beside its record.
const FILES: [&str; 4] = [name::MEMORY, name::STATE, name::DISK, name::INITRD];
/// The digits of a key. 128 bits are enough that two keys never meet.
const KEY_DIGITS: usize = 32;

/// What a template is, beside its memory, state and disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateRecord {
    pub(crate) format: u32,
    pub(crate) key: TemplateKey,
    /// QEMU and its version, as it says it: another QEMU may not understand the state.
    pub(crate) hypervisor: String,
    /// What the machine was; a clone must be the same.
    pub(crate) plan: MachinePlan,
    /// The folder of the image whose disk lies below the template's.
    pub(crate) image: PathBuf,
    /// The sizes in bytes of [`FILES`], in that order.
    pub(crate) sizes: [u64; FILES.len()],
}

/// Returns the key of a template: it changes with everything that the template depends on.
pub(crate) fn key(
    image_hash: &str,
    guest_program_hash: &str,
    hypervisor: &str,
    plan: &MachinePlan,
) -> TemplateKey {
    let mut hash = Sha256::new();
    let devices = arguments("template", plan, Start::Boot).join("\n");
    for part in [&FORMAT.to_string(), image_hash, guest_program_hash, hypervisor, &devices] {
        // With its length before it, a part cannot lend its end to the next one.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut digits = hexadecimal(&hash.finalize());
    digits.truncate(KEY_DIGITS);
    TemplateKey(digits)
}

/// Returns the folder in which `sandbox` is to become the template with `key`.
pub(crate) fn staging(templates: &Path, key: &TemplateKey, sandbox: &SandboxId) -> PathBuf {
    templates.join(format!("{key}.{sandbox}.partial"))
}

/// Whether a folder of that name is one in which a template is, or was, made.
pub(crate) fn is_staging(name: &str) -> bool {
    name.len() > KEY_DIGITS && name.ends_with(".partial")
}

/// Makes that folder, which must not be there yet, and what is above it.
pub(crate) fn make_staging(staging: &Path) -> io::Result<()> {
    if let Some(templates) = staging.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(templates)?;
    }
    DirBuilder::new().mode(0o700).create(staging)
}

/// Whether it may be the name of a template's folder.
pub(crate) fn is_key(key: &TemplateKey) -> bool {
    key.0.len() == KEY_DIGITS && key.0.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns what the template with `key` is, if it is there and whole.
pub(crate) fn load(templates: &Path, key: &TemplateKey) -> Option<TemplateRecord> {
    // A key names a folder here: what is no key must not be joined to a path.
    if !is_key(key) {
        return None;
    }
    let folder = templates.join(&key.0);
    let record: TemplateRecord = serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()?;
    let whole = record.format == FORMAT
        && record.key == *key
        && sizes(&folder).is_ok_and(|sizes| sizes == record.sizes)
        && record.image.join(crate::image::DISK).is_file();
    if !whole {
        tracing::warn!(%key, "a template is damaged and will not be used");
    }
    whole.then_some(record)
}

/// Publishes what is in `staging` as the template with `key`. When the same template was published meanwhile,
/// that one is returned and `staging` removed; a damaged one in its place is replaced.
///
/// It writes all of it to the disk first, which takes seconds.
pub(crate) fn publish(
    templates: &Path,
    staging: &Path,
    key: TemplateKey,
    hypervisor: String,
    plan: MachinePlan,
    image: PathBuf,
) -> io::Result<Template> {
    for name in FILES {
        let file = File::open(staging.join(name))?;
        file.set_permissions(Permissions::from_mode(0o400))?;
        file.sync_all()?;
    }
    let record =
        TemplateRecord { format: FORMAT, key: key.clone(), hypervisor, plan, image, sizes: sizes(staging)? };
    fs::write(staging.join(RECORD), serde_json::to_vec_pretty(&record)?)?;
    File::open(staging.join(RECORD))?.sync_all()?;
    File::open(staging)?.sync_all()?;

    let folder = templates.join(&key.0);
    if load(templates, &key).is_some() {
        remove_folder(staging)?;
    } else {
        remove_folder(&folder)?;
        match fs::rename(staging, &folder) {
            Err(_) if load(templates, &key).is_some() => remove_folder(staging)?,
            result => result?,
        }
    }
    File::open(templates)?.sync_all()?;
    Ok(Template { key, folder })
}

fn sizes(folder: &Path) -> io::Result<[u64; FILES.len()]> {
    let mut sizes = [0; FILES.len()];
    for (size, name) in sizes.iter_mut().zip(FILES) {
        *size = fs::metadata(folder.join(name))?.len();
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::Processor;
    use crate::image::Screen;
    use nightshift_sandbox::{Acceleration, MachineSize};

    fn plan() -> MachinePlan {
        MachinePlan {
            processor: Processor::translated(),
            size: MachineSize::default(),
            screen: Screen { width: 1280, height: 800 },
            kernel_command_line: "quiet".to_owned(),
        }
    }

    /// A cache of templates and an image, with one template staged for each of `sandboxes`.
    struct Cache {
        folder: tempfile::TempDir,
        key: TemplateKey,
    }

    impl Cache {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("image")).unwrap();
            fs::write(folder.path().join("image").join(crate::image::DISK), "disk").unwrap();
            Self { folder, key: key("image", "guest", "QEMU", &plan()) }
        }

        fn templates(&self) -> PathBuf {
            self.folder.path().join("templates")
        }

        fn stage(&self, sandbox: &str, content: &str) -> PathBuf {
            let staging = staging(&self.templates(), &self.key, &sandbox.parse().unwrap());
            make_staging(&staging).unwrap();
            for name in FILES {
                fs::write(staging.join(name), content).unwrap();
            }
            staging
        }

        fn publish(&self, staging: &Path) -> Template {
            let image = self.folder.path().join("image");
            publish(&self.templates(), staging, self.key.clone(), "QEMU".to_owned(), plan(), image).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.templates()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    #[test]
    fn a_key_changes_with_everything_the_template_depends_on() {
        let kvm = Processor { acceleration: Acceleration::Kvm, model: "host".to_owned() };
        let larger = MachineSize { memory_mib: 4096, ..MachineSize::default() };
        let keys = [
            key("image", "guest", "QEMU", &plan()),
            key("image2", "guest", "QEMU", &plan()),
            key("image", "guest2", "QEMU", &plan()),
            key("image", "guest", "QEMU2", &plan()),
            key("imageg", "uest", "QEMU", &plan()),
            key("image", "guest", "QEMU", &MachinePlan { processor: kvm, ..plan() }),
            key("image", "guest", "QEMU", &MachinePlan { size: larger, ..plan() }),
            key(
                "image",
                "guest",
                "QEMU",
                &MachinePlan { screen: Screen { width: 800, height: 600 }, ..plan() },
            ),
            key("image", "guest", "QEMU", &MachinePlan { kernel_command_line: String::new(), ..plan() }),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        assert_eq!(key("image", "guest", "QEMU", &plan()), keys[0]);
    }

    #[test]
    fn a_staged_template_is_not_found_before_it_is_published() {
        let cache = Cache::new();
        let staging = cache.stage("sandbox-0000000000", "x");
        assert_eq!(load(&cache.templates(), &cache.key), None);
        let template = cache.publish(&staging);
        assert_eq!(template.folder, cache.templates().join(&cache.key.0));
        let record = load(&cache.templates(), &cache.key).unwrap();
        assert_eq!((record.plan, record.hypervisor.as_str()), (plan(), "QEMU"));
        assert_eq!(cache.names(), [cache.key.0.as_str()]);
    }

    #[test]
    fn of_two_that_make_the_same_template_the_first_wins() {
        let cache = Cache::new();
        let (first, second) =
            (cache.stage("sandbox-0000000000", "1"), cache.stage("sandbox-1111111111", "2"));
        let published = cache.publish(&first);
        assert_eq!(cache.publish(&second), published);
        assert_eq!(fs::read_to_string(published.folder.join(name::MEMORY)).unwrap(), "1");
        assert_eq!(cache.names(), [cache.key.0.as_str()]);
    }

    #[test]
    fn a_damaged_template_is_not_used_and_is_replaced() {
        let cache = Cache::new();
        let template = cache.publish(&cache.stage("sandbox-0000000000", "whole"));
        let state = template.folder.join(name::STATE);
        fs::remove_file(&state).unwrap();
        fs::write(&state, "cut").unwrap();
        assert_eq!(load(&cache.templates(), &cache.key), None);
        cache.publish(&cache.stage("sandbox-1111111111", "again"));
        assert!(load(&cache.templates(), &cache.key).is_some());
    }

    #[test]
    fn a_template_whose_image_is_gone_is_not_used() {
        let cache = Cache::new();
        cache.publish(&cache.stage("sandbox-0000000000", "x"));
        fs::remove_dir_all(cache.folder.path().join("image")).unwrap();
        assert_eq!(load(&cache.templates(), &cache.key), None);
    }

    #[test]
    fn what_is_no_key_is_never_a_path() {
        let cache = Cache::new();
        cache.publish(&cache.stage("sandbox-0000000000", "x"));
        for text in ["", ".", "..", "../templates", "/etc", "é123456789012345678901234567890"] {
            assert_eq!(load(&cache.templates(), &TemplateKey(text.to_owned())), None);
        }
    }
}
