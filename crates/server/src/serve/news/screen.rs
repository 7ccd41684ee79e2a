//! The first screen: what is served, where to find it, how to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use unary_net::Address;

/// Draws it, as lines without the last end of line.
pub(super) fn draw(served: &Path, addresses: &[Address], colour: bool) -> String {
    let ink = Ink { colour };
    let mut lines = vec![String::new(), format!("  {} serves {}", ink.bold("Unary"), ink.bold(&name(served)))];
    lines.push(String::new());
    lines.extend(links(addresses, outward_address()).into_iter().map(|Link { url, note }| {
        let space = if note.is_empty() { "" } else { "   " };
        format!("    {}{space}{}", ink.link(&url), ink.dim(note))
    }));
    lines.push(String::new());
    if addresses.iter().all(is_for_this_machine) {
        lines.push(ink.dim("  Only this machine can reach it. For others too: --listen :8080"));
    }
    lines.push(ink.dim("  Ctrl-C stops it."));
    lines.push(String::new());
    lines.join("\n")
}

/// The folder as its owner would call it: with its whole path, and `~` for home.
fn name(served: &Path) -> String {
    let whole = served.canonicalize().unwrap_or_else(|_| served.to_owned());
    let home = std::env::home_dir().filter(|home| home.parent().is_some());
    match home.as_deref().and_then(|home| whole.strip_prefix(home).ok()) {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => whole.display().to_string(),
    }
}

/// Where it can be reached, and by whom.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    url: String,
    note: &'static str,
}

/// What to click. The address of every interface is no place to go to: it is shown as this machine's
/// name for itself, and as the address that others reach it by.
fn links(addresses: &[Address], outward: Option<IpAddr>) -> Vec<Link> {
    let mut links = Vec::new();
    let mut add = |url: String, note| {
        if !links.iter().any(|link: &Link| link.url == url) {
            links.push(Link { url, note });
        }
    };
    for address in addresses {
        let Some((ip, port)) = ip_of(address) else {
            add(address.to_string(), "");
            continue;
        };
        if ip == Ipv4Addr::LOCALHOST || ip.is_unspecified() {
            add(url("localhost", port), "");
        } else {
            add(url(&host(ip), port), "");
        }
        if let Some(outward) = outward.filter(|_| ip.is_unspecified()) {
            add(url(&host(outward), port), "for others");
        }
    }
    links
}

/// Without the port where it is the one that every browser tries.
fn url(host: &str, port: u16) -> String {
    if port == 80 { format!("http://{host}/") } else { format!("http://{host}:{port}/") }
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn ip_of(address: &Address) -> Option<(IpAddr, u16)> {
    match address {
        Address::Tcp { host: Some(host), port } => Some((host.parse().ok()?, *port)),
        _ => None,
    }
}

fn is_for_this_machine(address: &Address) -> bool {
    ip_of(address).is_none_or(|(ip, _)| ip.is_loopback())
}

/// The address that packets to far away leave from. None is sent: connecting a UDP socket only looks
/// up the route. The address asked about is one of documentation's (RFC 5737).
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().as_ref().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

/// Makes text bold, dim or a link, where the terminal shows colour.
struct Ink {
    colour: bool,
}

impl Ink {
    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn link(&self, text: &str) -> String {
        self.paint("4;36", text)
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &[&str], expected: &[(&str, &'static str)]) {
        let addresses: Vec<Address> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let outward = Some(Ipv4Addr::new(192, 168, 1, 5).into());
        let expected: Vec<Link> = expected.iter().map(|&(url, note)| Link { url: url.to_owned(), note }).collect();
        assert_eq!(links(&addresses, outward), expected);
    }

    #[test]
    fn this_machine_is_localhost() {
        check(&["127.0.0.1:8080"], &[("http://localhost:8080/", "")]);
        check(&["[::1]:80"], &[("http://[::1]/", "")]);
    }

    #[test]
    fn every_interface_is_where_others_find_it() {
        let expected = [("http://localhost:81/", ""), ("http://192.168.1.5:81/", "for others")];
        check(&["[::]:81"], &expected);
        check(&["127.0.0.1:81", "0.0.0.0:81"], &expected);
    }

    #[test]
    fn a_unix_socket_is_named() {
        check(&["unix:/run/a.sock"], &[("unix:/run/a.sock", "")]);
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let addresses = ["127.0.0.1:8080".parse().unwrap()];
        assert!(!draw(Path::new("/"), &addresses, false).contains('\x1b'));
        assert!(draw(Path::new("/"), &addresses, true).contains("\x1b[4;36mhttp://localhost:8080/\x1b[0m"));
    }
}
