//! The XML that libvirt is told, each as one function of what it says.
//!
//! Format: <https://libvirt.org/formatdomain.html>, <https://libvirt.org/formatstorage.html> and
//! <https://libvirt.org/formatsnapshot.html>; all of it is checked against libvirt's own schemas in a test.

use std::fmt::Write;

use nightshift_sandbox::{Acceleration, MachineSize};
use serde::{Deserialize, Serialize};

/// The name of the virtio-serial port at which the guest program listens.
pub const CHANNEL_PORT: &str = "nightshift.channel";

/// What TCG may use to keep translated code, in MiB. A desktop with a browser evicts its own code from less.
const TRANSLATION_CACHE_MIB: u32 = 512;

/// The processor's features above QEMU's `qemu64` under TCG: together x86-64-v2, which distributions build for.
const TRANSLATED_FEATURES: [&str; 6] = ["ssse3", "sse4.1", "sse4.2", "popcnt", "cx16", "lahf_lm"];

/// What a machine is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainPlan {
    /// Its name: that of its sandbox.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// What runs its instructions.
    pub acceleration: Acceleration,
    /// Memory and processors.
    pub size: MachineSize,
    /// The screen's width and height, in pixels.
    pub screen: (u32, u32),
    /// Paths on the host.
    pub files: Files,
    /// The kernel's command line.
    pub kernel_command_line: String,
    /// The disk's size, in bytes.
    pub disk_bytes: u64,
}

/// Files of a machine, by their paths on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The kernel.
    pub kernel: String,
    /// Its first root file system, with the guest program.
    pub initrd: String,
    /// The disk, a qcow2 file on top of others.
    pub disk: String,
}

/// A machine's UUID, which libvirt wants beside the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uuid(pub u128);

impl std::fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = format!("{:032x}", self.0);
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        formatter.write_str(&parts.join("-"))
    }
}

/// Returns the description of a machine. It has no network card, and ends when its guest switches it off or restarts.
pub fn domain(plan: &DomainPlan) -> String {
    let DomainPlan {
        name,
        uuid,
        acceleration,
        size,
        screen: (width, height),
        files,
        kernel_command_line,
        ..
    } = plan;
    let (kind, features, processor) = match acceleration {
        Acceleration::Kvm => {
            ("kvm", String::new(), "<cpu mode='host-passthrough' check='none' migratable='on'/>".to_owned())
        }
        Acceleration::Tcg => {
            let mut wanted = String::new();
            for feature in TRANSLATED_FEATURES {
                let _infallible = write!(wanted, "\n    <feature policy='require' name='{feature}'/>");
            }
            (
                "qemu",
                format!("\n    <tcg><tb-cache unit='MiB'>{TRANSLATION_CACHE_MIB}</tb-cache></tcg>"),
                format!(
                    "<cpu mode='custom' match='exact' check='none'>\n    <model fallback='forbid'>qemu64</model>{wanted}\n  </cpu>"
                ),
            )
        }
    };
    format!(
        "<domain type='{kind}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{processors}</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{command_line}</cmdline>
  </os>
  <features>
    <acpi/>{features}
  </features>
  {processor}
  <clock offset='utc'>
    <timer name='hpet' present='no'/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='{disk}'/>
      <target dev='{DISK}' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='null'>
      <target port='0'/>
    </serial>
    <channel type='unix'>
      <target type='virtio' name='{CHANNEL_PORT}'/>
    </channel>
    <input type='tablet' bus='virtio'/>
    <input type='keyboard' bus='virtio'/>
    <graphics type='vnc'>
      <listen type='socket'/>
    </graphics>
    <video>
      <model type='virtio' heads='1'>
        <resolution x='{width}' y='{height}'/>
      </model>
    </video>
    <memballoon model='none'/>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
  </devices>
</domain>
",
        name = text(name),
        memory = size.memory_mib,
        processors = size.processors,
        kernel = text(&files.kernel),
        initrd = text(&files.initrd),
        command_line = text(kernel_command_line),
        disk = text(&files.disk),
    )
}

/// Returns the description of a machine with a processor and nothing else, to try whether a host starts it.
pub fn trial(name: &str, uuid: Uuid) -> String {
    format!(
        "<domain type='kvm'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
",
        name = text(name)
    )
}

/// The disk's name in the guest.
pub const DISK: &str = "vda";

/// Returns the description of a volume that holds `bytes` bytes as they are.
pub fn plain_volume(name: &str, bytes: u64) -> String {
    format!(
        "<volume>
  <name>{}</name>
  <capacity unit='bytes'>{bytes}</capacity>
  <allocation unit='bytes'>0</allocation>
  <target>
    <format type='raw'/>
  </target>
</volume>
",
        text(name)
    )
}

/// Returns the description of an empty disk of `bytes` bytes that shows what the qcow2 file at `below` holds.
pub fn layer_volume(name: &str, bytes: u64, below: &str) -> String {
    format!(
        "<volume>
  <name>{}</name>
  <capacity unit='bytes'>{bytes}</capacity>
  <target>
    <format type='qcow2'/>
  </target>
  <backingStore>
    <path>{}</path>
    <format type='qcow2'/>
  </backingStore>
</volume>
",
        text(name),
        text(below)
    )
}

/// Returns the description of a snapshot: memory and devices into the file `memory`, and from then on whatever is
/// written to the disk into the new file `disk`.
pub fn snapshot(memory: &str, disk: &str) -> String {
    format!(
        "<domainsnapshot>
  <memory snapshot='external' file='{}'/>
  <disks>
    <disk name='{DISK}' snapshot='external'>
      <driver type='qcow2'/>
      <source file='{}'/>
    </disk>
  </disks>
</domainsnapshot>
",
        text(memory),
        text(disk)
    )
}

/// Text between tags or in an attribute (XML 1.0, 2.4). What XML cannot hold at all is left out.
pub(crate) fn text(words: &str) -> String {
    let mut escaped = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Reads the value of an attribute in the first tag of `xml` that begins with `tag`, its five entities resolved.
pub fn attribute(xml: &str, tag: &str, name: &str) -> Option<String> {
    let rest = &xml[xml.find(tag)?..];
    let rest = &rest[..rest.find('>')?];
    let value = rest.split_once(&format!(" {name}='"))?.1;
    let value = value.split('\'').next()?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&quot;", "\""), ("&amp;", "&")];
    Some(entities.iter().fold(value.to_owned(), |value, (entity, letter)| value.replace(entity, letter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::process::Command;

    fn plan(acceleration: Acceleration) -> DomainPlan {
        let path = |name: &str| format!("/var/lib/libvirt/images/{name}");
        DomainPlan {
            name: "sandbox-0123456789".to_owned(),
            uuid: Uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            acceleration,
            size: MachineSize::default(),
            screen: (1280, 800),
            files: Files {
                kernel: path("nightshift-1.kernel"),
                initrd: path("nightshift-1.initrd"),
                disk: path("sandbox-0123456789.qcow2"),
            },
            kernel_command_line: "console=ttyS0 root=/dev/vda rw quiet".to_owned(),
            disk_bytes: 16 << 30,
        }
    }

    /// What libvirt's own schema says of a description; nothing when it is right.
    fn breaches(xml: &str, schema: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(xml.as_bytes()).unwrap();
        let checked = Command::new("virt-xml-validate").arg(file.path()).arg(schema).output();
        let checked = checked.expect("virt-xml-validate is installed by ./dev setup");
        if checked.status.success() {
            String::new()
        } else {
            String::from_utf8_lossy(&checked.stderr).into_owned()
        }
    }

    #[test]
    fn a_machine_under_translation() {
        insta::assert_snapshot!(domain(&plan(Acceleration::Tcg)));
    }

    #[test]
    fn a_machine_under_kvm() {
        insta::assert_snapshot!(domain(&plan(Acceleration::Kvm)));
    }

    #[test]
    fn disks_and_snapshots() {
        let all = [
            plain_volume("nightshift-1.kernel", 57_646_880),
            layer_volume("sandbox-1.qcow2", 16 << 30, "/p/nightshift-1.qcow2"),
            snapshot("/p/checkpoint-1.memory", "/p/sandbox-1.1.qcow2"),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn libvirts_own_schemas_find_nothing_wrong() {
        let strange = DomainPlan { kernel_command_line: "a='<&>\"' b".to_owned(), ..plan(Acceleration::Tcg) };
        let all = [
            (domain(&plan(Acceleration::Tcg)), "domain"),
            (domain(&plan(Acceleration::Kvm)), "domain"),
            (domain(&strange), "domain"),
            (plain_volume("a", 1), "storagevol"),
            (layer_volume("a", 1, "/b"), "storagevol"),
            (snapshot("/m", "/d"), "domainsnapshot"),
            (trial("trial", Uuid(1)), "domain"),
        ];
        for (xml, schema) in all {
            assert_eq!(breaches(&xml, schema), "", "{xml}");
        }
    }

    #[test]
    fn no_machine_has_a_network_card_and_every_one_has_acpi() {
        for acceleration in [Acceleration::Tcg, Acceleration::Kvm] {
            let xml = domain(&plan(acceleration));
            assert!(!xml.contains("<interface") && !xml.contains("<hostdev") && !xml.contains("<filesystem"));
            assert!(xml.contains("<acpi/>"));
        }
    }

    #[test]
    fn an_attribute_is_read_from_the_tag_that_is_meant() {
        let xml = "<graphics type='vnc' socket='/a'><listen type='socket' socket='/it&apos;s'/></graphics>";
        assert_eq!(attribute(xml, "<listen ", "socket").as_deref(), Some("/it's"));
        assert_eq!(attribute(xml, "<graphics ", "socket").as_deref(), Some("/a"));
        assert_eq!(attribute(xml, "<listen ", "path"), None);
        assert_eq!(attribute("<listen", "<listen", "socket"), None);
    }

    proptest! {
        #[test]
        fn no_text_opens_or_closes_a_tag_and_all_of_it_reads_back(words in "[ -~äß]{0,40}") {
            let xml = snapshot(&words, "/d");
            prop_assert_eq!(xml.matches('<').count(), 9);
            prop_assert_eq!(attribute(&xml, "<memory ", "file"), Some(words));
        }
    }
}
