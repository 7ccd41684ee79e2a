//! [`unary_fuzz::cgi_reply`] for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    unary_fuzz::cgi_reply(data);
});
