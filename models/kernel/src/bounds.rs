//! Where words begin and end: the edges of the runs of codes that are no separators.

use crate::text::SEPARATOR;

/// Codes are looked at in blocks of that many, one bit each.
pub(crate) const BLOCK: usize = 64;

/// Finds the places where a word begins or ends, block by block.
#[derive(Default)]
pub(crate) struct Edges {
    in_word: u64,
    base: u32,
}

impl Edges {
    /// The bits at which a word begins or ends, and the position of bit 0; `words` has the bits within words.
    #[inline(always)]
    pub(crate) fn next(&mut self, words: u64) -> (u64, u32) {
        let base = self.base;
        let changes = words ^ (words << 1 | self.in_word);
        self.in_word = words >> 63;
        self.base += BLOCK as u32;
        (changes, base)
    }

    /// Append the positions at which a word begins or ends.
    #[inline(always)]
    pub(crate) fn push(&mut self, words: u64, bounds: &mut Vec<u32>) {
        let (mut changes, base) = self.next(words);
        while changes != 0 {
            bounds.push(base + changes.trailing_zeros());
            changes &= changes - 1;
        }
    }
}

/// One bit for each of at most 64 codes: whether it belongs to a word.
#[inline(always)]
pub(crate) fn words_in(codes: &[u8]) -> u64 {
    codes.iter().enumerate().fold(0, |bits, (at, &code)| bits | u64::from(code != SEPARATOR) << at)
}

/// Append where words begin and end in `codes`, in turn. The last code is a separator.
pub(crate) fn portable(codes: &[u8], bounds: &mut Vec<u32>) {
    let mut edges = Edges::default();
    for block in codes.chunks(BLOCK) {
        edges.push(words_in(block), bounds);
    }
}

#[cfg(test)]
mod tests {
    use super::portable;
    use crate::raw::{Simd, boundaries};

    /// Codes that end with a separator; about one in `rarity` is one.
    fn codes(length: usize, rarity: u64) -> Vec<u8> {
        let word = |at: u64| !crate::hash::of_pair(at, rarity, length as u64).is_multiple_of(rarity);
        (0..length as u64).map(|at| if at + 1 < length as u64 && word(at) { b'a' } else { 0 }).collect()
    }

    #[test]
    fn all_levels_find_what_a_loop_finds() {
        for length in (0..200).step_by(if cfg!(miri) { 21 } else { 1 }).chain([1000]) {
            for rarity in [1, 2, 3, 7, 100, u64::MAX] {
                let codes = codes(length, rarity);
                let in_word = |at: usize| at > 0 && codes[at - 1] != 0;
                let expected: Vec<u32> =
                    (0..length).filter(|&at| in_word(at) != (codes[at] != 0)).map(|at| at as u32).collect();
                let mut found = vec![7];
                portable(&codes, &mut found);
                assert_eq!(found[1..], expected);
                for simd in Simd::available() {
                    let mut found = vec![7];
                    boundaries(simd, &codes, &mut found);
                    assert_eq!(found[1..], expected, "{}, {length} codes", simd.name());
                }
            }
        }
    }
}
