//! [`unary_fuzz::proxy_protocol`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    unary_fuzz::proxy_protocol(data);
});
