//! Telling systemd, or whoever set `NOTIFY_SOCKET`, how we are doing: sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variables that are for the process itself, and not for those it starts.
pub(crate) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Sends one state, as in `READY=1`, or several on lines of their own, if anybody wants to know.
pub fn notify(state: &str) {
    if let Some(name) = std::env::var_os(VARIABLES[0])
        && let Err(cause) = send(&name, state)
    {
        tracing::warn!(socket = %name.display(), %cause, "cannot tell the service manager how we are doing");
    }
}

/// Whether the service manager wants to hear from this process now and then.
pub(crate) fn watches() -> bool {
    let is_for_us = |pid: String| pid.parse() == Ok(std::process::id());
    std::env::var_os(VARIABLES[2]).is_some() && std::env::var(VARIABLES[1]).map_or(true, is_for_us)
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        // An abstract socket: a name that is no path.
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?; // Whoever does not listen must not hold us up.
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}
