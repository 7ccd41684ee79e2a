//! [`unary_fuzz::client_connection`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    unary_fuzz::client_connection(data);
});
