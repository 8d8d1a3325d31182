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
