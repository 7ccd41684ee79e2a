//! [`unary_fuzz::h2_connection`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    unary_fuzz::h2_connection(data);
});
