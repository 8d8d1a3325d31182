//! From the bytes of a fuzzer to texts and settings. Bytes that are missing are zeros, so that every input is valid.

use _kernel::{Analyzer, Norm, Settings, Text};

/// Characters that something hangs on: case, width, white space, the ends of what the kernel's codes distinguish.
const NOTABLE: [u32; 40] = [
    0x20, 0x20, 0x61, 0x62, 0x41, 0x5a, 0x5f, 0x30, 0x39, 0x0a, 0x09, 0x1f, 0x00, 0x2e, 0x27, 0x7f, 0x80, 0xa0, 0xad,
    0xb7, 0xdf, 0xe9, 0xc9, 0xff, 0x100, 0x130, 0x301, 0x3a3, 0x3c3, 0x3c2, 0x7ff, 0x800, 0x3000, 0x4e2d, 0xd800,
    0xdc00, 0xffff, 0x1_0400, 0x1_f600, 0x10_ffff,
];
/// Most texts end there, few go on until whole pieces of the kernel are full.
const SHORT: usize = 600;
const LONG: usize = 40_000;

/// What is left of the fuzzer's bytes.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `limit`, which is at most 256.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        (0..8).fold(0, |all, _| all << 8 | u64::from(self.byte()))
    }

    /// One of two answers.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Characters: notable ones, runs of letters, any at all, and many repetitions of what came before.
    pub fn text(&mut self) -> Vec<u32> {
        let mut text = Vec::new();
        let most = if self.byte() == 77 { LONG } else { SHORT };
        for _ in 0..self.byte() {
            match self.below(8) {
                0..=3 => text.push(NOTABLE[self.below(NOTABLE.len())]),
                4 => text.extend((0..self.below(40)).map(|_| u32::from(b'a') + self.below(26) as u32)),
                5 => text.push((self.number() >> 40) as u32 % 0x11_0000),
                6 => self.repeat(&mut text, 8, most),
                _ => self.repeat(&mut text, 256, most),
            }
            if self.0.is_empty() {
                break;
            }
        }
        text
    }

    fn repeat(&mut self, text: &mut Vec<u32>, times: usize, longest: usize) {
        let piece = text[text.len().saturating_sub(1 + self.below(100))..].to_vec();
        let times = self.below(times).min(longest.saturating_sub(text.len()) / piece.len().max(1));
        text.extend(piece.repeat(times));
    }

    /// Settings of every kind, apart from stop words.
    pub fn settings(&mut self) -> Settings {
        let analyzer = [Analyzer::Word, Analyzer::Char, Analyzer::CharWb][self.below(3)];
        let min_n = 1 + self.below(3);
        let max_n = min_n + self.below(if analyzer == Analyzer::Word { 3 } else { 6 });
        let is_word = analyzer == Analyzer::Word;
        let min_chars = if is_word { [1, 2, 2, 3, 70][self.below(5)] } else { 1 };
        let max_chars = if is_word && self.flag() { min_chars + self.below(30) } else { 0 };
        Settings {
            analyzer,
            min_n,
            max_n,
            min_chars,
            max_chars,
            lowercase: self.flag(),
            stop_words: Vec::new(),
            sublinear_tf: self.flag(),
            binary: self.flag(),
            norm: [Norm::None, Norm::L1, Norm::L2][self.below(3)],
        }
    }
}

/// A text in the narrowest form that holds it, and in all wider ones.
pub struct Widths {
    one: Option<Vec<u8>>,
    two: Option<Vec<u16>>,
    four: Vec<u32>,
}

impl Widths {
    /// Of these characters.
    pub fn of(text: &[u32]) -> Self {
        let one = text.iter().map(|&code| u8::try_from(code).ok()).collect();
        let two = text.iter().map(|&code| u16::try_from(code).ok()).collect();
        Self { one, two, four: text.to_vec() }
    }

    /// All forms; they are the same text.
    pub fn texts(&self) -> Vec<Text<'_>> {
        let one = self.one.iter().map(|units| Text::Latin1(units));
        let two = self.two.iter().map(|units| Text::Ucs2(units));
        one.chain(two).chain([Text::Ucs4(&self.four)]).collect()
    }
}
