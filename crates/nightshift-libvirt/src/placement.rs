//! On which host a sandbox is made: the one with most room, decided by what the hosts say of themselves.

use nightshift_sandbox::MachineSize;

/// Memory that a machine costs its host besides its own, in MiB: QEMU, its translation cache and page tables.
const MACHINE_OVERHEAD_MIB: u64 = 256;

/// Memory that is left to the host itself, in MiB.
const HOST_RESERVE_MIB: u64 = 512;

/// Room in its storage pool that a sandbox needs to be worth starting, in MiB.
const DISK_MIB: u64 = 2048;

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoom {
    /// Its name.
    pub name: String,
    /// All its memory, in MiB.
    pub memory_mib: u64,
    /// The memory of all machines that run on it, whoever's they are, in MiB.
    pub used_mib: u64,
    /// The memory of our machines among them, in MiB.
    pub ours_mib: u64,
    /// What our machines may use, in MiB.
    pub limit_mib: Option<u64>,
    /// Free space in its storage pool, in MiB.
    pub disk_mib: u64,
    /// What must be brought there before the first machine can start, in MiB; 0 when the image is there.
    pub missing_mib: u64,
}

/// Why a host was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Too little memory is free.
    #[error("{name} has {free_mib} MiB of memory left")]
    Memory {
        /// The host.
        name: String,
        /// What a machine could have there, in MiB.
        free_mib: u64,
    },
    /// Too little space is free in the storage pool.
    #[error("{name} has {free_mib} MiB of disk left and needs {needed_mib}")]
    Disk {
        /// The host.
        name: String,
        /// What is free, in MiB.
        free_mib: u64,
        /// What would be needed, in MiB.
        needed_mib: u64,
    },
}

impl HostRoom {
    /// The largest memory a further machine may have here, in MiB.
    pub fn free_mib(&self) -> u64 {
        let of_host = self.memory_mib.saturating_sub(self.used_mib).saturating_sub(HOST_RESERVE_MIB);
        let of_host = of_host.saturating_sub(MACHINE_OVERHEAD_MIB);
        let of_limit = self.limit_mib.map_or(u64::MAX, |limit| limit.saturating_sub(self.ours_mib));
        of_host.min(of_limit)
    }

    /// The largest memory a machine may have here if no other runs, in MiB.
    pub fn most_mib(&self) -> u64 {
        Self { used_mib: 0, ours_mib: 0, ..self.clone() }.free_mib()
    }

    fn fits(&self, size: MachineSize) -> Result<(), NoRoom> {
        let free_mib = self.free_mib();
        if free_mib < u64::from(size.memory_mib) {
            return Err(NoRoom::Memory { name: self.name.clone(), free_mib });
        }
        let needed_mib = DISK_MIB.saturating_add(self.missing_mib);
        if self.disk_mib < needed_mib {
            return Err(NoRoom::Disk { name: self.name.clone(), free_mib: self.disk_mib, needed_mib });
        }
        Ok(())
    }
}

/// Chooses the host with most memory left; among equals one that has the image, then the one named first.
///
/// # Errors
///
/// Says of every host why it was not chosen.
pub fn place(hosts: &[HostRoom], size: MachineSize) -> Result<&HostRoom, Vec<NoRoom>> {
    let mut refusals = Vec::new();
    let mut best: Option<&HostRoom> = None;
    for host in hosts {
        match host.fits(size) {
            Err(refusal) => refusals.push(refusal),
            Ok(()) => {
                let rank = |host: &HostRoom| (host.free_mib(), host.missing_mib == 0);
                if best.is_none_or(|best| rank(host) > rank(best)) {
                    best = Some(host);
                }
            }
        }
    }
    best.ok_or(refusals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_host_could_hold_alone_is_its_memory_less_what_it_keeps_and_no_more_than_is_said() {
        let busy = HostRoom { used_mib: 3_000, ours_mib: 1_000, ..host("a", 4_096) };
        assert_eq!((busy.most_mib(), busy.free_mib()), (4_096 - 512 - 256, 328));
        assert_eq!(HostRoom { limit_mib: Some(1_500), ..busy }.most_mib(), 1_500);
    }

    fn host(name: &str, memory_mib: u64) -> HostRoom {
        HostRoom {
            name: name.to_owned(),
            memory_mib,
            used_mib: 0,
            ours_mib: 0,
            limit_mib: None,
            disk_mib: 100_000,
            missing_mib: 0,
        }
    }

    fn chosen(hosts: &[HostRoom]) -> Result<&str, Vec<NoRoom>> {
        place(hosts, MachineSize::default()).map(|host| host.name.as_str())
    }

    #[test]
    fn the_host_with_most_memory_left_is_chosen_and_not_the_largest() {
        let busy = HostRoom { used_mib: 60_000, ..host("large", 64_000) };
        assert_eq!(chosen(&[busy, host("small", 8_000)]), Ok("small"));
    }

    #[test]
    fn a_limit_counts_only_our_machines() {
        let limited = HostRoom { limit_mib: Some(4_096), used_mib: 4_096, ..host("a", 64_000) };
        assert_eq!(limited.free_mib(), 4_096);
        let full = HostRoom { ours_mib: 2_100, ..limited };
        assert_eq!(
            chosen(std::slice::from_ref(&full)),
            Err(vec![NoRoom::Memory { name: "a".to_owned(), free_mib: 1_996 }])
        );
        assert_eq!(chosen(&[full, host("b", 4_000)]), Ok("b"));
    }

    #[test]
    fn among_equals_the_one_with_the_image_is_chosen_then_the_first() {
        let bare = HostRoom { missing_mib: 1_800, ..host("bare", 8_000) };
        assert_eq!(chosen(&[bare.clone(), host("ready", 8_000)]), Ok("ready"));
        assert_eq!(chosen(&[host("first", 8_000), host("second", 8_000)]), Ok("first"));
        assert_eq!(chosen(&[bare]), Ok("bare"));
    }

    #[test]
    fn every_host_says_why_it_has_no_room() {
        let tight = HostRoom { disk_mib: 3_000, missing_mib: 1_800, ..host("tight", 8_000) };
        let refusals = chosen(&[host("tiny", 1_000), tight]).unwrap_err();
        let said: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        tiny has 232 MiB of memory left
        tight has 3000 MiB of disk left and needs 3848
        ");
        assert_eq!(chosen(&[]), Err(Vec::new()));
    }

    fn any_host() -> impl Strategy<Value = HostRoom> {
        let memory = 0_u64..200_000;
        (memory.clone(), memory.clone(), memory.clone(), prop::option::of(memory), 0_u64..9_000, 0_u64..3_000)
            .prop_map(|(memory_mib, used_mib, ours_mib, limit_mib, disk_mib, missing_mib)| HostRoom {
                name: format!("{memory_mib}-{used_mib}"),
                memory_mib,
                used_mib,
                ours_mib,
                limit_mib,
                disk_mib,
                missing_mib,
            })
    }

    proptest! {
        #[test]
        fn who_is_chosen_fits_and_nobody_who_fits_has_more_room(hosts in prop::collection::vec(any_host(), 0..8)) {
            let size = MachineSize::default();
            match place(&hosts, size) {
                Ok(best) => {
                    prop_assert!(best.fits(size).is_ok());
                    let better = hosts.iter().filter(|host| host.fits(size).is_ok() && host.free_mib() > best.free_mib());
                    prop_assert_eq!(better.count(), 0);
                }
                Err(refusals) => prop_assert_eq!(refusals.len(), hosts.len()),
            }
        }

        #[test]
        fn a_host_that_is_filled_up_is_never_chosen_again(mut host in any_host()) {
            let size = MachineSize::default();
            let mut placed = 0_u64;
            while place(std::slice::from_ref(&host), size).is_ok() {
                host.used_mib += u64::from(size.memory_mib);
                host.ours_mib += u64::from(size.memory_mib);
                placed += 1;
                prop_assert!(placed * u64::from(size.memory_mib) <= host.memory_mib);
            }
        }
    }
}
