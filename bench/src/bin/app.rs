//! An app as others write them: a kibibyte of text, wherever its host wants it to listen.

#![forbid(unsafe_code)]

use unary::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static REPLY: [u8; 1 << 10] = [b'x'; 1 << 10];

fn main() -> std::process::ExitCode {
    unary::main(service_fn(async |_: Request| Ok(Response::new(Body::from(&REPLY[..])))))
}
