//! A process out of descriptors serves those it has, and the others once it can.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::program::{Program, connect};

/// Connections the server has room for, beside the first.
const ROOM: usize = 4;

fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"1 2\n").unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

/// Lowers the limit until there are only so many numbers left under it that are not taken.
fn leave_room(program: &Program) {
    let process = program.id();
    let taken: BTreeSet<u64> = fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero()))
        .unwrap()
        .map(|number| number.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let last_free = (0..).filter(|number| !taken.contains(number)).nth(ROOM - 1);
    let limit = last_free.map(|number: u64| number + 1);
    prlimit(Some(process), Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
}

#[test]
fn running_out_of_them_is_survived() {
    let mut program = Program::start("lines", ["--listen", "127.0.0.1:0", "--threads", "1"]);
    let address = program.hear_address().parse().unwrap();
    // Once it has answered, it has opened all it needs for itself.
    let mut first = connect(address);
    assert_eq!(ask(&mut first), "3\n");
    leave_room(&program);
    let mut served: Vec<_> = (0..ROOM).map(|_| connect(address)).collect();
    for stream in &mut served {
        assert_eq!(ask(stream), "3\n");
    }
    // The kernel accepts these; the server cannot.
    let mut waiting: Vec<_> = (0..ROOM).map(|_| connect(address)).collect();
    for stream in &mut waiting {
        stream.write_all(b"4 5\n").unwrap();
    }
    for stream in &mut served {
        assert_eq!(ask(stream), "3\n");
    }
    for stream in &waiting {
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.peek(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it had room after all");
        stream.set_nonblocking(false).unwrap();
    }
    drop(served);
    for stream in &mut waiting {
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"9\n");
    }
    drop(waiting);
    assert_eq!(ask(&mut connect(address)), "3\n");
    assert_eq!(ask(&mut first), "3\n");
    drop(first);
    program.stop_well();
}
