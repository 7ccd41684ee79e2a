//! What stays open while the server changes: a WebSocket that echoes through `proxy`, and a download read so slowly
//! that it lasts.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tungstenite::Message;

use crate::Failure;
use crate::client::Client;
use crate::process::pause;

/// Where the WebSocket is.
pub(super) const SOCKET: &str = "/echo";

const ECHO_EVERY: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Several times what sockets hold on the way: the server has to go on sending.
const DOWNLOAD_BYTES: usize = 64 << 20;
const DOWNLOAD: &str = "download.bin";
const READ_EVERY: Duration = Duration::from_millis(100);

/// Sends messages and reads them back until told to end: how many.
pub(super) fn echo(port: u16, is_over: &AtomicBool) -> Result<u64, Failure> {
    let mut count = 0;
    let gone = |count: u64, error: String| format!("it ended after {count} echoes: {error}");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let dialled = TcpStream::connect_timeout(&address, WAIT_MAX).and_then(|stream| {
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        Ok(stream)
    });
    let stream = dialled.map_err(|error| gone(0, error.to_string()))?;
    let shaken = tungstenite::client(format!("ws://localhost:{port}{SOCKET}"), stream);
    let (mut socket, _) = shaken.map_err(|error| gone(0, error.to_string()))?;
    while !is_over.load(Ordering::Relaxed) {
        let message = Message::text(format!("message {count}"));
        let echoed = socket.send(message.clone()).and_then(|()| socket.read());
        let echoed = echoed.map_err(|error| gone(count, error.to_string()))?;
        if echoed != message {
            return Err(gone(count, format!("{echoed} came back for {message}")));
        }
        count += 1;
        pause(ECHO_EVERY);
    }
    socket.close(None).map_err(|error| gone(count, error.to_string()))?;
    Ok(count)
}

/// Writes what `download` reads.
pub(super) fn write_download(site: &Path) -> Result<(), Failure> {
    let bytes: Vec<u8> = (0..DOWNLOAD_BYTES).map(byte_at).collect();
    let path = site.join(DOWNLOAD);
    std::fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What stands at this place of the download: no piece of it is like the one before.
fn byte_at(place: usize) -> u8 {
    let [low, middle, high, ..] = place.to_le_bytes();
    low ^ middle ^ high
}

/// Reads so slowly that it would take a little longer than so many seconds, and the rest at once when told to end: how
/// many bytes, each the one that it should be.
pub(super) fn download(port: u16, seconds: u32, is_over: &AtomicBool) -> Result<u64, Failure> {
    let mut client = Client::connect(port).map_err(|error| format!("it did not begin: {error}"))?;
    let (length, begun) = client.begin(&format!("/{DOWNLOAD}"))?;
    if length != DOWNLOAD_BYTES {
        return Err(format!("it would be {length} bytes long, not {DOWNLOAD_BYTES}"));
    }
    let mut filled = take(0, &begun)?;
    let ticks = Duration::from_secs(u64::from(seconds) + 1).div_duration_f64(READ_EVERY);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a pace")]
    let mut buffer = vec![0; (DOWNLOAD_BYTES as f64 / ticks) as usize];
    while filled < DOWNLOAD_BYTES {
        let read = client.read(&mut buffer).map_err(|error| format!("it broke after {filled} bytes: {error}"))?;
        if read == 0 {
            return Err(format!("it ended after {filled} of {DOWNLOAD_BYTES} bytes"));
        }
        filled += take(filled, &buffer[..read])?;
        if !is_over.load(Ordering::Relaxed) {
            pause(READ_EVERY);
        }
    }
    Ok(filled as u64)
}

/// Compares a piece with what should stand at `place`, and gives its length.
fn take(place: usize, piece: &[u8]) -> Result<usize, Failure> {
    match piece.iter().enumerate().position(|(at, byte)| *byte != byte_at(place + at)) {
        None => Ok(piece.len()),
        Some(at) => Err(format!("it has a wrong byte at {}", place + at)),
    }
}
