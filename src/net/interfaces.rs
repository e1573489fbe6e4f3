//! The addresses of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// The addresses of all interfaces, IPv4 and IPv6. Asks the kernel alone: it takes some 50 µs.
///
/// Errors: the kernel refuses, for example for want of a descriptor.
#[allow(unsafe_code)]
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: the pointer is to a live pointer, which the call sets to a list it allocates.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = first.cast_const();
    while !next.is_null() {
        // SAFETY: each entry of the list is valid until it is freed below.
        let entry = unsafe { &*next };
        addresses.extend(ip(entry));
        next = entry.ifa_next;
    }
    // SAFETY: the list was made by `getifaddrs`, and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(addresses)
}

/// The IP address of an entry of the list; none in one of another family, or without an address.
#[allow(unsafe_code)]
fn ip(entry: &libc::ifaddrs) -> Option<IpAddr> {
    let address = entry.ifa_addr.cast_const();
    // SAFETY: the pointer is null, or to a socket address that lives as long as its entry.
    let family = i32::from(unsafe { address.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: a socket address of this family is a `sockaddr_in`, whatever its alignment.
            let it = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in>()) };
            Some(Ipv4Addr::from(u32::from_be(it.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: a socket address of this family is a `sockaddr_in6`, whatever its alignment.
            let it = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in6>()) };
            Some(Ipv6Addr::from(it.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_among_them() {
        let addresses = addresses().expect("addresses");
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{addresses:?}");
    }
}
