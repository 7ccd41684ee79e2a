//! What a rate limit of a million clients costs: `cargo run --release --example rate_limit -p
//! unary-service`. Memory is what the system says this process holds; a call is one look at the
//! clock, a keyed hash, a lock and two cache lines that are in no cache.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use unary_service::filter::rate_limit::{Key, Rate, Table};

/// What the server has, since how much memory a table takes is its business too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: u32 = 1_000_000;
const ROUNDS: usize = 9;

fn main() {
    // So slow that no client is forgotten between rounds.
    let rate = Rate::new(NonZeroU32::new(100).expect("it is not 0"), Duration::from_secs(3600));
    let before = resident_bytes();
    let table = Table::default();
    println!("{:>8.2} MiB: empty", mebibytes(table.bytes()));
    let first = round(&table, &rate, 1);
    println!("{:>8.2} MiB: a million clients, all of whom count", mebibytes(table.bytes()));
    println!("{:>8.2} MiB: grown resident memory", mebibytes(resident_bytes().saturating_sub(before)));
    println!("{:>8} clients share a count with another", table.shared());
    println!("{first:>8.1} ns a call of a new client, growth included");

    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round(&table, &rate, 7_919)).collect();
    rounds.sort_by(f64::total_cmp);
    println!("{:>8.1} ns a call of a known client, of a million at random", rounds[ROUNDS / 2]);

    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round(&table, &rate, 0)).collect();
    rounds.sort_by(f64::total_cmp);
    println!("{:>8.1} ns a call of the same client", rounds[ROUNDS / 2]);
}

/// A call of as many clients as there are, each so many after the one before; nanoseconds a call.
fn round(table: &Table, rate: &Rate, step: u32) -> f64 {
    let (begun, mut client) = (Instant::now(), 0);
    for _ in 0..CLIENTS {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + client));
        black_box(table.count(&Key::network(address, 64), rate));
        client = (client + step) % CLIENTS;
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(CLIENTS)
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("its second number is the resident pages") * 4096
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with two digits after the point")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
