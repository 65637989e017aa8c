//! The command line of QEMU, as one function of what the machine is to be.
//!
//! It names no path: QEMU's working directory is the sandbox's folder, in which everything has a fixed name
//! (see [`crate::folder`]). So it is the same on every host, needs no quoting, keeps clear of the 108 bytes
//! a socket's path may have, and can be hashed into a template's key as it is.

use nightshift_sandbox::{Acceleration, MachineSize};
use serde::{Deserialize, Serialize};

use crate::checkpoint;
use crate::folder::name;
use crate::image::Screen;

/// The name of the virtio-serial port at which the guest program listens.
const CHANNEL_PORT: &str = "nightshift.channel";
/// The id of the ring that keeps the end of what the guest writes to its console.
pub(crate) const CONSOLE: &str = "console";
/// What the ring keeps, in bytes. QEMU wants a power of two.
pub(crate) const CONSOLE_BYTES: u32 = 64 * 1024;
/// The processor under TCG: x86-64-v2, which distributions build for, and nothing above it. Wide vectors and
/// five-level paging cost a tenth to a third more to translate.
pub(crate) const TRANSLATED_PROCESSOR: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm";
/// What TCG may use to keep translated code, in MiB. A desktop with a browser evicts its own code from less.
const TRANSLATION_CACHE_MIB: u32 = 512;

/// What executes instructions, and as which processor it shows itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Processor {
    /// What executes them.
    pub(crate) acceleration: Acceleration,
    /// QEMU's name of the processor, with flags.
    pub(crate) model: String,
}

impl Processor {
    /// The processor every host can show.
    pub(crate) fn translated() -> Self {
        Self { acceleration: Acceleration::Tcg, model: TRANSLATED_PROCESSOR.to_owned() }
    }
}

/// What a machine is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachinePlan {
    /// What executes its instructions.
    pub(crate) processor: Processor,
    /// Memory and processors.
    pub(crate) size: MachineSize,
    /// The screen.
    pub(crate) screen: Screen,
    /// The kernel's command line.
    pub(crate) kernel_command_line: String,
}

/// How a machine comes to life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// It boots, with its memory in a file that it shares, to be frozen one day.
    Boot,
    /// It waits for a frozen state and then for being told to go on, and takes its memory from a file that it never
    /// changes.
    Restore,
    /// It waits for the memory and the state of a checkpoint, and then for being told to go on.
    Resume {
        /// How many layers lie below its disk.
        layers: u32,
        /// The machine's generation id, a UUID; a new one if `None`.
        generation: Option<u128>,
    },
}

/// Returns QEMU's arguments for a machine called `machine`.
pub(crate) fn arguments(machine: &str, plan: &MachinePlan, start: Start) -> Vec<String> {
    let MachinePlan { processor, size, screen, kernel_command_line } = plan;
    let accelerator = match processor.acceleration {
        Acceleration::Kvm => "kvm".to_owned(),
        Acceleration::Tcg => format!("tcg,thread=multi,tb-size={TRANSLATION_CACHE_MIB}"),
    };
    let memory = name::MEMORY;
    let memory_mapping = match start {
        Start::Boot => "share=on",
        Start::Restore | Start::Resume { .. } => "share=off,readonly=on,rom=off",
    };
    let mut list = Arguments::default();

    list.flag("-nodefaults").flag("-no-user-config");
    list.option("-name", machine).option("-pidfile", name::PROCESS_ID);
    // A guest that breaks out of QEMU finds no way to start programs or to gain privileges.
    list.option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");

    list.option("-accel", accelerator)
        .option("-cpu", &processor.model)
        .option("-smp", size.processors.to_string());
    list.option("-m", format!("{}M", size.memory_mib));
    list.option(
        "-object",
        format!("memory-backend-file,id=memory,size={}M,mem-path={memory},{memory_mapping}", size.memory_mib),
    );
    list.option("-machine", "pc,hpet=off,vmport=off,dump-guest-core=off,memory-backend=memory");
    list.option("-rtc", "base=utc,clock=host");

    list.option("-kernel", name::KERNEL)
        .option("-initrd", name::INITRD)
        .option("-append", kernel_command_line);

    // The owner bound and listens on the monitor's socket before QEMU is there, and gave it as standard input:
    // there is nothing to wait for, and as long as the socket answers this QEMU lives.
    list.option("-chardev", "socket,id=monitor,fd=0,server=on,wait=off");
    list.option("-mon", "chardev=monitor,mode=control");
    list.option("-chardev", format!("ringbuf,id={CONSOLE},size={CONSOLE_BYTES}"));
    list.option("-serial", format!("chardev:{CONSOLE}"));

    // A sandbox's disk is worth nothing without the memory that belongs to it: the guest's flushes go nowhere.
    let mut below = String::new();
    if let Start::Resume { layers, .. } = start {
        for number in 0..layers {
            let (node, file) = (format!("layer-{number}"), checkpoint::layer(number));
            list.option(
                "-blockdev",
                format!(
                    "driver=qcow2,node-name={node},read-only=on,file.driver=file,file.filename={file}{below}"
                ),
            );
            below = format!(",backing={node}");
        }
    }
    list.option(
        "-blockdev",
        format!(
            "driver=qcow2,node-name={},discard=unmap,cache.no-flush=on,file.driver=file,file.filename={}{below}",
            name::DISK_NODE,
            name::DISK
        ),
    );
    list.option("-device", "virtio-blk-pci,id=disk0,drive=disk");

    list.option("-display", "dbus,p2p=yes");
    list.option(
        "-device",
        format!("virtio-vga,id=screen0,edid=on,xres={},yres={}", screen.width, screen.height),
    );
    list.option("-device", "virtio-keyboard-pci,id=keyboard0")
        .option("-device", "virtio-tablet-pci,id=tablet0");

    list.option("-device", "virtio-serial-pci,id=serial0,max_ports=2");
    list.option("-chardev", format!("socket,id=channel,path={},server=on,wait=off", name::CHANNEL));
    list.option(
        "-device",
        format!("virtserialport,id=channel0,bus=serial0.0,nr=1,chardev=channel,name={CHANNEL_PORT}"),
    );

    list.option("-device", "virtio-rng-pci,id=random0");
    // Tells a clone's kernel that it is a clone, so that it reseeds its random numbers.
    let generation = match start {
        Start::Resume { generation: Some(generation), .. } => uuid(generation),
        Start::Boot | Start::Restore | Start::Resume { generation: None, .. } => "auto".to_owned(),
    };
    list.option("-device", format!("vmgenid,id=generation0,guid={generation}"));

    match start {
        Start::Boot => {}
        // The state of a checkpoint's devices was saved while the guest ran, and would let it run as soon as it is
        // loaded; a clone may be made before somebody asks for it.
        Start::Restore | Start::Resume { .. } => {
            list.option("-incoming", "defer").flag("-S");
        }
    }
    list.0
}

/// A UUID as RFC 9562 writes it.
fn uuid(number: u128) -> String {
    let digits = format!("{number:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.to_owned());
        self
    }

    fn option(&mut self, option: &str, value: impl Into<String>) -> &mut Self {
        self.0.extend([option.to_owned(), value.into()]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(processor: Processor) -> MachinePlan {
        MachinePlan {
            processor,
            size: MachineSize::default(),
            screen: Screen { width: 1280, height: 800 },
            kernel_command_line: "console=ttyS0 root=/dev/vda rw quiet".to_owned(),
        }
    }

    /// One option with its value a line.
    fn listed(arguments: &[String]) -> String {
        let mut lines = String::new();
        for argument in arguments {
            lines.push_str(if argument.starts_with('-') { "\n" } else { " " });
            lines.push_str(argument);
        }
        lines.trim_start().to_owned()
    }

    fn listed_plan(processor: Processor, start: Start) -> String {
        listed(&arguments("sandbox-0123456789", &plan(processor), start))
    }

    #[test]
    fn a_machine_that_boots_under_translation() {
        insta::assert_snapshot!(listed_plan(Processor::translated(), Start::Boot));
    }

    #[test]
    fn a_clone_under_kvm() {
        let processor = Processor { acceleration: Acceleration::Kvm, model: "host".to_owned() };
        insta::assert_snapshot!(listed_plan(processor, Start::Restore));
    }

    #[test]
    fn a_machine_brought_back_from_a_checkpoint() {
        let generation = Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        insta::assert_snapshot!(listed_plan(
            Processor::translated(),
            Start::Resume { layers: 3, generation }
        ));
    }

    #[test]
    fn a_clone_has_the_devices_of_the_machine_it_is_cloned_from() {
        let devices = |start| {
            let arguments = arguments("sandbox-0123456789", &plan(Processor::translated()), start);
            let pairs: Vec<_> = arguments
                .windows(2)
                .filter(|pair| {
                    pair[0].starts_with('-') && !matches!(pair[0].as_str(), "-object" | "-incoming")
                })
                .map(|pair| pair.join(" "))
                .collect();
            pairs
        };
        assert_eq!(devices(Start::Boot), devices(Start::Restore));
    }

    #[test]
    fn no_machine_has_a_network_card_or_a_path_of_the_host() {
        for start in [Start::Boot, Start::Restore, Start::Resume { layers: 2, generation: None }] {
            let text = listed_plan(Processor::translated(), start).replace("root=/dev/vda", "");
            assert!(!text.contains('/') && !text.contains("net"), "{text}");
        }
    }
}
