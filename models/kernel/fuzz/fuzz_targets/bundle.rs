//! Any damage to a bundle: see `hostile::bundle`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::bundle::check(data));
