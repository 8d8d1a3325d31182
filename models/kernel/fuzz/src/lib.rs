//! What the fuzz targets check. `tests/hostile.rs` of the kernel checks the same for the seeds, without a fuzzer.

pub mod bundle;
pub mod input;
pub mod naive;
pub mod texts;
pub mod unicode;

use _kernel::Scores;

/// Whether two levels of instructions gave the same bits; any NaN is like any other.
pub(crate) fn same(left: &Scores, right: &Scores) -> bool {
    let equal = |left: &[f32], right: &[f32]| {
        left.len() == right.len()
            && left
                .iter()
                .zip(right)
                .all(|(left, right)| left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan())
    };
    equal(&left.decisions, &right.decisions)
        && equal(&left.probabilities, &right.probabilities)
        && left.known == right.known
}
