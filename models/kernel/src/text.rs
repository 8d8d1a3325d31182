//! Texts as Python holds them, and their way into codes: the bytes that the scanners read.
//!
//! A code is the UTF-8 of a lower-cased character, with three exceptions that no character collides with: `SEPARATOR`
//! between words, `FOREIGN` for a lone surrogate (no term holds one), and C0 80 for U+0000.

use crate::characters::{Character, Characters};
use crate::raw::{self, Simd};

/// The code between two words.
pub(crate) const SEPARATOR: u8 = 0;
/// The code of a character that no term can hold.
pub(crate) const FOREIGN: u8 = 0xff;

/// The characters of a text, borrowed from Python: one number per character, of the width that its largest one needs.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// Every character is below U+0100.
    Latin1(&'a [u8]),
    /// Every character is below U+10000.
    Ucs2(&'a [u16]),
    /// Any character.
    Ucs4(&'a [u32]),
}

impl Text<'_> {
    /// In characters.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Latin1(characters) => characters.len(),
            Self::Ucs2(characters) => characters.len(),
            Self::Ucs4(characters) => characters.len(),
        }
    }

    /// Whether there is no character.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One character of a text.
pub(crate) trait Unit: Copy {
    fn code(self) -> u32;
    /// Write the codes of ASCII words to `codes`, if all `units` are ASCII; `codes` is as long as `units`.
    fn ascii_words(simd: Simd, units: &[Self], fold: bool, codes: &mut [u8]) -> bool;
}

macro_rules! unit {
    ($($number:ty => $ascii_words:path),*) => {$(
        impl Unit for $number {
            #[inline(always)]
            fn code(self) -> u32 {
                u32::from(self)
            }

            #[inline(always)]
            fn ascii_words(simd: Simd, units: &[Self], fold: bool, codes: &mut [u8]) -> bool {
                $ascii_words(simd, units, fold, codes)
            }
        }
    )*};
}
unit!(u8 => raw::ascii_words_1, u16 => raw::ascii_words_2, u32 => raw::ascii_words_4);

/// Write the lower-cased codes of ASCII words, and separators for everything else, if all `units` are ASCII.
///
/// Free of branches, so that the compiler makes vector instructions of it; `fold` is whether to lower-case.
#[inline(always)]
pub(crate) fn ascii_words<U: Copy + Into<u32>>(units: &[U], fold: bool, codes: &mut [u8]) -> bool {
    let case_bit = if fold { 0x20 } else { 0 };
    let mut all = 0_u32;
    for (unit, code) in units.iter().zip(codes) {
        let number: u32 = (*unit).into();
        all |= number;
        let byte = number as u8;
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let is_joint = byte == b'_';
        let is_digit = byte.wrapping_sub(b'0') < 10;
        let lowered = byte | if is_letter { case_bit } else { 0 };
        *code = if is_letter | is_digit | is_joint { lowered } else { SEPARATOR };
    }
    all < 0x80
}

const BLOCK: usize = 64;

/// Append the codes of the words in `text[start..end]`, with a separator for every character that is in no word.
pub(crate) fn words<U: Unit>(
    simd: Simd,
    characters: &Characters,
    fold: bool,
    text: &[U],
    start: usize,
    end: usize,
    codes: &mut Vec<u8>,
) -> bool {
    let mut ascii = true;
    let mut at = start;
    while at < end {
        let stop = end.min(at + BLOCK);
        let length = codes.len();
        codes.resize(length + stop - at, SEPARATOR);
        if !U::ascii_words(simd, &text[at..stop], fold, &mut codes[length..]) {
            codes.truncate(length);
            ascii = false;
            for position in at..stop {
                word_codes(characters, text, position, codes);
            }
        }
        at = stop;
    }
    ascii
}

/// Append the codes of one character, or a separator.
#[inline(always)]
fn word_codes<U: Unit>(characters: &Characters, text: &[U], position: usize, codes: &mut Vec<u8>) {
    let code = text[position].code();
    let character = characters.of(code);
    if character.is_special() {
        for lowered in special(characters, text, position) {
            // What the lower-case form is made of counts, not the character itself.
            if characters.of(lowered).is_word() { push(lowered, codes) } else { codes.push(SEPARATOR) }
        }
    } else if character.is_word() {
        push(character.lowered(), codes);
    } else {
        codes.push(SEPARATOR);
    }
}

#[cold]
fn special<U: Unit>(characters: &Characters, text: &[U], position: usize) -> Vec<u32> {
    let before = text[..position].iter().rev().map(|unit| unit.code());
    let after = text[position + 1..].iter().map(|unit| unit.code());
    characters.lower_special(text[position].code(), before, after)
}

/// Append the code of one lower-cased character.
#[inline(always)]
fn push(code: u32, codes: &mut Vec<u8>) {
    match code {
        0 => codes.extend_from_slice(&[0xc0, 0x80]),
        1..0x80 => codes.push(code as u8),
        0x80..0x800 => codes.extend_from_slice(&[0xc0 | (code >> 6) as u8, continued(code)]),
        0xd800..0xe000 => codes.push(FOREIGN),
        0x800..0x1_0000 => codes.extend_from_slice(&[0xe0 | (code >> 12) as u8, continued(code >> 6), continued(code)]),
        _ => codes.extend_from_slice(&[
            0xf0 | (code >> 18) as u8,
            continued(code >> 12),
            continued(code >> 6),
            continued(code),
        ]),
    }
}

#[inline(always)]
fn continued(code: u32) -> u8 {
    0x80 | (code & 0x3f) as u8
}

/// The codes of a term or a stop word, which are lower-cased already or never will be.
pub(crate) fn of_term(term: &str) -> Vec<u8> {
    let mut codes = Vec::with_capacity(term.len());
    for character in term.chars() {
        push(u32::from(character), &mut codes);
    }
    codes
}

/// Whether a byte begins the code of a character.
#[inline(always)]
pub(crate) fn is_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Text for the character analyzers, on its way through `Spaced::push_text`.
///
/// scikit-learn replaces runs of two or more white spaces by one space; a single one stays what it is.
pub(crate) struct Spaced {
    /// A run of white space at the end of what was read: its first character, and whether it has more.
    run: Option<(u32, bool)>,
    /// Pad words with spaces and separate them, instead of keeping white space.
    pad: bool,
    in_word: bool,
}

impl Spaced {
    pub(crate) fn new(pad: bool) -> Self {
        Self { run: None, pad, in_word: false }
    }

    /// Append the codes of `text[start..end]`.
    pub(crate) fn push_text<U: Unit>(
        &mut self,
        characters: &Characters,
        text: &[U],
        start: usize,
        end: usize,
        codes: &mut Vec<u8>,
    ) {
        for position in start..end {
            let code = text[position].code();
            let character = characters.of(code);
            if character.is_space() {
                self.run = Some((code, self.run.is_some()));
                continue;
            }
            self.end_run(codes);
            if self.pad && !self.in_word {
                codes.push(b' ');
                self.in_word = true;
            }
            push_any(characters, character, text, position, codes);
        }
    }

    /// Append what the end of the text decides.
    pub(crate) fn finish(&mut self, codes: &mut Vec<u8>) {
        self.end_run(codes);
        if self.pad {
            self.end_word(codes);
        }
    }

    fn end_run(&mut self, codes: &mut Vec<u8>) {
        let Some((code, longer)) = self.run.take() else { return };
        if self.pad {
            self.end_word(codes);
        } else {
            push(if longer { u32::from(b' ') } else { code }, codes);
        }
    }

    fn end_word(&mut self, codes: &mut Vec<u8>) {
        if std::mem::take(&mut self.in_word) {
            codes.extend_from_slice(&[b' ', SEPARATOR]);
        }
    }
}

#[inline(always)]
fn push_any<U: Unit>(characters: &Characters, character: Character, text: &[U], position: usize, codes: &mut Vec<u8>) {
    if character.is_special() {
        for lowered in special(characters, text, position) {
            push(lowered, codes);
        }
    } else {
        push(character.lowered(), codes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_words_are_those_of_the_standard_library() {
        let units: Vec<u32> = (0..256).collect();
        for simd in Simd::available() {
            for fold in [false, true] {
                for start in (0..=128).step_by(if cfg!(miri) { 11 } else { 1 }) {
                    for end in (start..=256.min(start + 70)).step_by(if cfg!(miri) { 7 } else { 1 }) {
                        let mut codes = vec![7; end - start];
                        let is_ascii = u32::ascii_words(simd, &units[start..end], fold, &mut codes);
                        assert_eq!(is_ascii, end <= 128);
                        if is_ascii {
                            let expected: Vec<u8> = (start..end).map(|unit| expected(unit as u8, fold)).collect();
                            assert_eq!(codes, expected);
                        }
                    }
                }
            }
        }
    }

    fn expected(unit: u8, fold: bool) -> u8 {
        match unit {
            b'_' => unit,
            _ if !unit.is_ascii_alphanumeric() => SEPARATOR,
            _ if fold => unit.to_ascii_lowercase(),
            _ => unit,
        }
    }

    #[test]
    fn no_wide_character_passes_for_ascii() {
        for unit in [0x161, 0x8061, 0xff41] {
            assert!(!u16::ascii_words(Simd::detect(), &[unit; 40], true, &mut [0; 40]));
            assert!(!u32::ascii_words(Simd::detect(), &[u32::from(unit) << 8 | 0x61; 40], true, &mut [0; 40]));
        }
    }

    #[test]
    fn a_term_is_its_utf_8() {
        for code in (0..0x11_0000).step_by(if cfg!(miri) { 4999 } else { 1 }).filter_map(char::from_u32).skip(1) {
            assert_eq!(of_term(code.encode_utf8(&mut [0; 4])), code.to_string().into_bytes());
        }
        assert_eq!(of_term("\0"), [0xc0, 0x80]);
    }
}
