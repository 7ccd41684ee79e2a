//! [`unary_fuzz::fastcgi`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    unary_fuzz::fastcgi(data);
});
