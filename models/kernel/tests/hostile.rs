//! What the fuzz targets check, for the seeds that they left and for bytes that are the same in every run.

#[path = "../fuzz/src/lib.rs"]
mod hostile;

use std::path::Path;

/// Every file of a folder of seeds.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = std::fs::read_dir(folder).expect("seeds").map(|entry| entry.expect("a seed").path());
    files.map(|path| std::fs::read(path).expect("a seed")).collect()
}

/// Bytes without end that only depend on `seed`.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
}

fn run(target: &str, check: fn(&[u8]), rounds: u64) {
    for seed in seeds(target) {
        check(&seed);
    }
    for round in 0..rounds {
        let length = [10, 40, 200, 1000][round as usize % 4];
        check(&noise(round).take(length).collect::<Vec<_>>());
    }
}

#[test]
fn texts_score_as_the_naive_model_says() {
    run("texts", hostile::texts::check, 3000);
}

#[test]
fn damaged_bundles_are_refused_or_score() {
    run("bundle", hostile::bundle::check, 6000);
}
