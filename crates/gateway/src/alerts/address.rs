//! Which addresses are the public internet's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether this is an ordinary address of the public internet: what is not known to be one is refused.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|block| block.holds(address)),
        // Whatever carries an IPv4 address in it (mapped, translated, 6to4, Teredo) is either outside of this or listed.
        IpAddr::V6(address) => {
            GLOBAL_V6.holds(address) && !NOT_PUBLIC_V6.iter().any(|block| block.holds(address))
        }
    }
}

/// From IANA's registry of special-purpose addresses.
const NOT_PUBLIC_V4: [V4; 17] = [
    V4::new([0, 0, 0, 0], 8),          // this network, unspecified
    V4::new([10, 0, 0, 0], 8),         // private
    V4::new([100, 64, 0, 0], 10),      // shared by customers of one provider (CGNAT)
    V4::new([127, 0, 0, 0], 8),        // loopback
    V4::new([168, 63, 129, 16], 32),   // Azure's own services, on a virtual machine of theirs
    V4::new([169, 254, 0, 0], 16),     // link-local, with the metadata of the clouds
    V4::new([172, 16, 0, 0], 12),      // private
    V4::new([192, 0, 0, 0], 24),       // protocols
    V4::new([192, 0, 2, 0], 24),       // documentation
    V4::new([192, 88, 99, 0], 24),     // relays of 6to4
    V4::new([192, 168, 0, 0], 16),     // private
    V4::new([198, 18, 0, 0], 15),      // benchmarks
    V4::new([198, 51, 100, 0], 24),    // documentation
    V4::new([203, 0, 113, 0], 24),     // documentation
    V4::new([224, 0, 0, 0], 4),        // multicast
    V4::new([240, 0, 0, 0], 4),        // reserved
    V4::new([255, 255, 255, 255], 32), // broadcast
];

/// All that is given out for ordinary use. Loopback, unspecified, IPv4-mapped and -compatible (::/8), NAT64 (64:ff9b::/96,
/// 64:ff9b:1::/48), unique local (fc00::/7), link-local (fe80::/10) and multicast (ff00::/8) are all outside.
const GLOBAL_V6: V6 = V6::new([0x2000, 0], 3);

const NOT_PUBLIC_V6: [V6; 4] = [
    V6::new([0x2001, 0], 23),      // protocols: Teredo, benchmarks, ORCHID
    V6::new([0x2001, 0x0db8], 32), // documentation
    V6::new([0x2002, 0], 16),      // 6to4
    V6::new([0x3fff, 0], 20),      // documentation
];

struct V4 {
    first: u32,
    mask: u32,
}

impl V4 {
    const fn new(first: [u8; 4], bits: u32) -> Self {
        Self { first: u32::from_be_bytes(first), mask: u32::MAX << (32 - bits) }
    }

    fn holds(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.first
    }
}

/// No block that matters here is smaller than 32 bits.
struct V6 {
    first: u32,
    mask: u32,
}

impl V6 {
    const fn new([first, second]: [u16; 2], bits: u32) -> Self {
        Self { first: ((first as u32) << 16) | second as u32, mask: u32::MAX << (32 - bits) }
    }

    fn holds(&self, address: Ipv6Addr) -> bool {
        let [first, second, ..] = address.segments();
        ((u32::from(first) << 16) | u32::from(second)) & self.mask == self.first
    }
}

/// One of each form that must be refused, for the tests here and those of the connection.
#[cfg(test)]
pub(super) const REFUSED: [&str; 44] = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    // Security test 4.
    #[test]
    fn every_private_special_and_disguised_form_is_refused() {
        for text in REFUSED {
            assert!(!public(text), "{text}");
        }
        assert!(!public("5f00::1") && !public("4000::1") && !public("fec0::1"));
    }

    #[test]
    fn the_neighbours_of_the_refused_blocks_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "8.8.8.8",
            "2000::1",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
        ] {
            assert!(public(text), "{text}");
        }
    }
}
