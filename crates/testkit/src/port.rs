//! Ports for programs that must be told theirs.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range the kernel gives to whoever asks for any port (`net.ipv4.ip_local_port_range`): none of these is
/// given away between being found free and being used, and no client is ever connected to itself.
const PORTS: Range<u16> = 18_000..32_000;

/// A port of loopback that nobody uses, over TCP or UDP, and a different one each time. Where a program can listen on
/// port 0 and say which port it got, let it.
///
/// # Panics
///
/// If there is none.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let width = PORTS.end - PORTS.start;
    // Processes that run at once begin at different places.
    let first = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(width)).unwrap_or(0);
    (0..width)
        .map(|_| PORTS.start + (first + TAKEN.fetch_add(1, Ordering::Relaxed) % width) % width)
        .find(|&port| is_free(port))
        .unwrap_or_else(|| panic!("no port is free between {} and {}", PORTS.start, PORTS.end))
}

fn is_free(port: u16) -> bool {
    let at = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_is_free() {
        let ports: [u16; 20] = std::array::from_fn(|_| free_port());
        let mut sorted = ports.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ports.len(), "{ports:?}");
        assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
    }

    #[test]
    fn a_port_that_is_used_is_not_free() {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
        assert!(!is_free(tcp.local_addr().unwrap().port()));
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
        assert!(!is_free(udp.local_addr().unwrap().port()));
    }
}
