//! Telling systemd, or whoever set `NOTIFY_SOCKET`, how we are doing: sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends one state, as in `READY=1`, if anybody wants to know.
pub(super) fn notify(state: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(cause) = send(&name, state)
    {
        tracing::warn!(socket = %name.display(), %cause, "cannot tell the service manager how we are doing");
    }
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
