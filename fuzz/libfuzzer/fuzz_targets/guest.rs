//! [`unary_fuzz::guest`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    unary_fuzz::guest(data);
});
