//! Which addresses a sandbox may be connected to: those that are everybody's, and no other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// A host of the public internet.
    Public,
    /// This very machine.
    Loopback,
    /// A network that is somebody's own: RFC 1918, RFC 4193 (unique local), RFC 6598 (shared with a carrier), or RFC 5737
    /// (made for documentation).
    Private,
    /// The same wire, or a cloud's metadata service, which hands out keys to whoever asks.
    LinkLocal,
    /// Anything else: multicast, reserved, or another address written in this one (mapped, NAT64,
    /// 6to4, Teredo), which would be decided by whoever translates it.
    Special,
}

/// Says what an address leads to. What is not known to be public is not.
pub fn kind_of(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

/// IANA's registry of special-purpose addresses (RFC 6890), and multicast.
fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
        // Alibaba Cloud's metadata service.
        [100, 100, 100, 200] => AddressKind::LinkLocal,
        [100, 64..=127, ..] => AddressKind::Private,
        // Azure's "wire server", a public address that answers inside its machines only.
        [169, 254, ..] | [168, 63, 129, 16] => AddressKind::LinkLocal,
        // Made for documentation (RFC 5737): nobody's on the internet, and taken inside some networks for their own.
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Private,
        [0, ..]
        | [192, 0, 0, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 88, 99, _]
        | [192, 175, 48, _]
        | [198, 18 | 19, ..]
        | [224..=255, ..] => AddressKind::Special,
        _ => AddressKind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    // The metadata services of AWS, Google Cloud and Oracle Cloud are unique local addresses.
    const METADATA: [Ipv6Addr; 3] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    ];
    if METADATA.contains(&address) {
        return AddressKind::LinkLocal;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        [0xfc00..=0xfdff, ..] => AddressKind::Private,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        // 2000::/3 is all that is given out (RFC 4291), less what is special in it: protocol assignments with Teredo,
        // documentation, 6to4, documentation again.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => {
            AddressKind::Special
        }
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Special,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> AddressKind {
        kind_of(text.parse().unwrap())
    }

    #[test]
    fn public_hosts_are_public() {
        for address in [
            "8.8.8.8",
            "1.1.1.1",
            "140.82.112.3",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert_eq!(kind(address), AddressKind::Public, "{address}");
        }
    }

    #[test]
    fn this_machine_and_private_networks_are_told_apart_from_the_rest() {
        for address in ["127.0.0.1", "127.255.255.254", "::1"] {
            assert_eq!(kind(address), AddressKind::Loopback, "{address}");
        }
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "203.0.113.9",
            "fd12::1",
            "fc00::1",
        ] {
            assert_eq!(kind(address), AddressKind::Private, "{address}");
        }
    }

    #[test]
    fn metadata_services_are_never_private_hosts() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fe80::1",
        ] {
            assert_eq!(kind(address), AddressKind::LinkLocal, "{address}");
        }
    }

    #[test]
    fn an_address_that_holds_another_is_special_whatever_it_holds() {
        let holding = [
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "::ffff:0:127.0.0.1",
        ];
        for address in holding {
            assert_eq!(kind(address), AddressKind::Special, "{address}");
        }
    }

    #[test]
    fn what_nobody_has_is_special() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "ff02::1",
            "2001:db8::1",
            "5f00::1",
            "fec0::1",
        ] {
            assert_eq!(kind(address), AddressKind::Special, "{address}");
        }
    }

    proptest! {
        #[test]
        fn std_s_own_classes_are_never_public(bits in any::<u32>()) {
            let address = Ipv4Addr::from(bits);
            let special = address.is_loopback() || address.is_private() || address.is_link_local() || address.is_multicast()
                || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
            prop_assert!(!special || kind_of(address.into()) != AddressKind::Public);
        }

        #[test]
        fn nothing_outside_2000_is_public(bits in any::<u128>()) {
            let address = Ipv6Addr::from(bits);
            let global = (address.segments()[0] & 0xe000) == 0x2000;
            prop_assert!(global || kind_of(address.into()) != AddressKind::Public);
        }
    }
}
