//! Any text, any settings, any terms: see `hostile::texts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::texts::check(data));
