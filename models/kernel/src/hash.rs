//! Hashes of keys: the folded 64 x 64 -> 128 bit product, as in wyhash by Wang Yi (public domain).
//!
//! They only decide where to look. What is found there is compared with the key itself, so a collision costs time
//! when an index is built and never changes an answer.

const ODD: [u64; 4] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3];

#[inline(always)]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of two numbers.
#[inline(always)]
pub(crate) fn of_pair(left: u64, right: u64, seed: u64) -> u64 {
    fold(left ^ ODD[0], right ^ seed.wrapping_add(ODD[1]))
}

/// The hash of bytes of any length.
pub(crate) fn of_bytes(bytes: &[u8], seed: u64) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<8>();
    let mut tail = [0; 8];
    tail[..rest.len()].copy_from_slice(rest);
    let mut hash = fold(seed ^ ODD[2], bytes.len() as u64 ^ ODD[3]);
    for block in blocks {
        hash = fold(hash ^ u64::from_le_bytes(*block), ODD[0]) ^ hash.rotate_left(29);
    }
    fold(hash ^ u64::from_le_bytes(tail), ODD[1])
}
