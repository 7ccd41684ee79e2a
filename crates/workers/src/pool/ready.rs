//! When a worker is ready: when it listens, when it says so, and when it is well.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net;
use std::time::Duration;

use http::{HeaderValue, header};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::time::{sleep, timeout};
use unary_http::{Request, Response};
use unary_service::{BoxService, Service};

/// Between two looks whether a worker answers: from the first to the second, doubled each time.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How long a worker may take to say whether it is well, before it is asked again.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(5);

/// What sd_notify(3) sends is a few lines. What is longer is cut.
const NOTICE_BYTES_MAX: usize = 4096;

/// Where a worker says that it is ready. Its name is no file, so that there is none to leave behind, and none that the
/// worker's user may not open.
pub(super) struct Notices {
    socket: UnixDatagram,
    name: String,
}

impl Notices {
    /// A place of its own, for one worker.
    pub(super) fn new() -> io::Result<Self> {
        // By chance, so that nobody takes it before us: two that are the same are an error, and the next is tried.
        let name = format!("unary-{:016x}", RandomState::new().hash_one(std::process::id()));
        let socket = net::UnixDatagram::bind_addr(&net::SocketAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket)?, name })
    }

    /// What `NOTIFY_SOCKET` is.
    pub(super) fn variable(&self) -> Vec<u8> {
        format!("@{}", self.name).into_bytes()
    }

    /// Returns when it is said.
    pub(super) async fn ready(&self) {
        let mut notice = vec![0; NOTICE_BYTES_MAX];
        loop {
            match self.socket.recv(&mut notice).await {
                Ok(length) if is_ready(&notice[..length]) => return,
                Ok(_) => {}
                Err(_) => return std::future::pending().await,
            }
        }
    }
}

fn is_ready(notice: &[u8]) -> bool {
    notice.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

/// Returns when somebody accepts connections there.
pub(super) async fn listens(address: SocketAddr) {
    let mut pause = LOOK_EVERY.0;
    while TcpStream::connect(address).await.is_err() {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_EVERY.1);
    }
}

/// Returns when a request for this path is answered with a status below 400.
pub(super) async fn is_well(path: &str, service: &BoxService<Request, Response>) {
    let mut pause = LOOK_EVERY.0;
    loop {
        let mut request = Request::default();
        // The config has refused what is no path.
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        if let Ok(Ok(reply)) = timeout(HEALTH_TIME_MAX, service.call(request)).await
            && reply.status().as_u16() < 400
        {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_EVERY.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_a_line_of_its_own() {
        let check = |notice: &str, expected| assert_eq!(is_ready(notice.as_bytes()), expected, "{notice}");
        check("READY=1", true);
        check("STATUS=it begins\nREADY=1\n", true);
        check("READY=0", false);
        check("STATUS=READY=1", false);
        check("", false);
    }

    #[tokio::test]
    async fn a_notice_is_heard() {
        let notices = Notices::new().unwrap();
        let address = net::SocketAddr::from_abstract_name(&notices.name).unwrap();
        let worker = net::UnixDatagram::unbound().unwrap();
        worker.send_to_addr(b"STATUS=soon", &address).unwrap();
        worker.send_to_addr(b"READY=1", &address).unwrap();
        notices.ready().await;
        assert_eq!(notices.variable(), format!("@{}", notices.name).into_bytes());
    }
}
