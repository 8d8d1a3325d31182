//! What a character is and how it lower-cases: the answers that Python gave when the model was trained.
//!
//! The table (see `models/characters.py`, which writes it) has two stages: a page number per 256 code points, and 256
//! entries per page. It is rewritten once per kernel into entries that answer everything about a character at once.

use crate::Invalid;

const LAYOUT: u32 = 1;
const CODE_POINTS: u32 = 0x11_0000;
const PAGES: usize = 0x1100;
const HEADER: usize = 3;
const SPECIAL_NUMBERS: usize = 5;

const DELTA: u32 = 0x1f_ffff;
const WORD: u32 = 1 << 21;
const SPACE: u32 = 1 << 22;
const CASED: u32 = 1 << 23;
const IGNORABLE: u32 = 1 << 24;
const SPECIAL: u32 = 1 << 25;

const CAPITAL_SIGMA: u32 = 0x3a3;
const SMALL_SIGMA: u32 = 0x3c3;
const FINAL_SIGMA: u32 = 0x3c2;

/// What is known about one character: bits 0 to 20 are its lower-case form, the others are flags.
#[derive(Clone, Copy)]
pub(crate) struct Character(u32);

impl Character {
    /// The code point of the lower-case form, unless the character is special.
    #[inline(always)]
    pub(crate) fn lowered(self) -> u32 {
        self.0 & DELTA
    }

    /// Whether the lower-case form is a word character (`\w`).
    #[inline(always)]
    pub(crate) fn is_word(self) -> bool {
        self.0 & WORD != 0
    }

    /// Whether it is white space (`\s`).
    #[inline(always)]
    pub(crate) fn is_space(self) -> bool {
        self.0 & SPACE != 0
    }

    /// Whether its lower-case form depends on its neighbours or is not exactly one character.
    #[inline(always)]
    pub(crate) fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }
}

/// The table of one kernel: with lower-casing, or with every character as its own lower-case form.
pub(crate) struct Characters {
    pages: Vec<u16>,
    entries: Vec<u32>,
    specials: Vec<(u32, Vec<u32>)>,
}

impl Characters {
    /// Read and check a table.
    pub(crate) fn parse(table: &[u32], lowercase: bool) -> Result<Self, Invalid> {
        let raw = Raw::parse(table)?;
        let mut characters = Self { pages: Vec::with_capacity(PAGES), entries: Vec::new(), specials: Vec::new() };
        if lowercase {
            characters.specials = raw.read_specials()?;
        }
        // Most pages lower nothing: they are taken over as they are, once, however many code points share them.
        let mut plain = vec![None; raw.entries.len() / 256];
        for page in 0..PAGES as u32 {
            let number = raw.pages[page as usize] as usize;
            if let Some(known) = plain[number]
                && page != CAPITAL_SIGMA >> 8
            {
                characters.pages.push(known);
                continue;
            }
            let entries = (page * 256..(page + 1) * 256).map(|code| raw.answer(code, lowercase));
            let entries: Vec<u32> = entries.collect::<Result<_, _>>()?;
            let known = (characters.entries.len() / 256) as u16;
            if entries.iter().all(|entry| entry & (DELTA | SPECIAL) == 0) {
                plain[number] = Some(known);
            }
            characters.pages.push(known);
            characters.entries.extend_from_slice(&entries);
        }
        characters.check_ascii(lowercase)?;
        // Or else the search for a sigma's neighbours would go on past other sigmas, and take a square of the time.
        if lowercase && characters.of(CAPITAL_SIGMA).0 & (CASED | IGNORABLE) != CASED {
            return Err(Invalid::new("the character table is wrong about sigma"));
        }
        Ok(characters)
    }

    /// What is known about the character `code`.
    #[inline(always)]
    pub(crate) fn of(&self, code: u32) -> Character {
        let page = self.pages.get((code >> 8) as usize).copied().unwrap_or_default();
        let entry = self.entries[usize::from(page) * 256 + (code & 0xff) as usize];
        Character(entry & !DELTA | (entry.wrapping_add(code) & DELTA))
    }

    /// The lower-case form of a special character; `before` and `after` are its neighbours, nearest first.
    pub(crate) fn lower_special(
        &self,
        code: u32,
        before: impl Iterator<Item = u32>,
        after: impl Iterator<Item = u32>,
    ) -> Vec<u32> {
        if code == CAPITAL_SIGMA {
            let is_final = self.meets_cased(before) && !self.meets_cased(after);
            return vec![if is_final { FINAL_SIGMA } else { SMALL_SIGMA }];
        }
        let found = self.specials.binary_search_by_key(&code, |(special, _)| *special);
        found.map_or_else(|_| Vec::new(), |at| self.specials[at].1.clone())
    }

    /// Python's `handle_capital_sigma`: whether the first character that case does not ignore is cased.
    fn meets_cased(&self, mut neighbours: impl Iterator<Item = u32>) -> bool {
        let first = neighbours.find(|&code| self.of(code).0 & IGNORABLE == 0);
        first.is_some_and(|code| self.of(code).0 & CASED != 0)
    }

    /// The fast path for ASCII does not look at the table, so the table must say what that path does.
    fn check_ascii(&self, lowercase: bool) -> Result<(), Invalid> {
        let agrees = (0..128_u8).all(|byte| {
            let character = self.of(u32::from(byte));
            let lowered = if lowercase { byte.to_ascii_lowercase() } else { byte };
            let is_word = byte.is_ascii_alphanumeric() || byte == b'_';
            character.lowered() == u32::from(lowered) && character.is_word() == is_word && !character.is_special()
        });
        if agrees { Ok(()) } else { Err(Invalid::new("the character table is wrong about ASCII")) }
    }
}

/// The table as it stands in the file.
struct Raw<'a> {
    pages: &'a [u32],
    entries: &'a [u32],
    specials: &'a [u32],
}

impl<'a> Raw<'a> {
    fn parse(table: &'a [u32]) -> Result<Self, Invalid> {
        let damaged = || Invalid::new("the character table is damaged");
        let (header, rest) = table.split_at_checked(HEADER).ok_or_else(damaged)?;
        if header[0] != LAYOUT {
            return Err(Invalid::new("the character table has another layout"));
        }
        let (pages, rest) = rest.split_at_checked(PAGES).ok_or_else(damaged)?;
        let entries = (header[1] as usize).checked_mul(256).ok_or_else(damaged)?;
        let (entries, specials) = rest.split_at_checked(entries).ok_or_else(damaged)?;
        let complete = specials.len() == (header[2] as usize) * SPECIAL_NUMBERS;
        if !complete || pages.iter().any(|&page| page >= header[1]) {
            return Err(damaged());
        }
        Ok(Self { pages, entries, specials })
    }

    fn entry(&self, code: u32) -> u32 {
        self.entries[self.pages[(code >> 8) as usize] as usize * 256 + (code & 0xff) as usize]
    }

    /// The entry of `Characters` for `code`: still the difference to the lower-case form, but its word flag.
    fn answer(&self, code: u32, lowercase: bool) -> Result<u32, Invalid> {
        let entry = self.entry(code);
        if !lowercase {
            return Ok(entry & !(DELTA | SPECIAL));
        }
        let lowered = entry.wrapping_add(code) & DELTA;
        if lowered >= CODE_POINTS {
            return Err(Invalid::new("the character table leaves Unicode"));
        }
        let special = if code == CAPITAL_SIGMA { SPECIAL } else { 0 };
        Ok(entry & !WORD | self.entry(lowered) & WORD | special)
    }

    /// In the order of their code points, so that they can be searched.
    fn read_specials(&self) -> Result<Vec<(u32, Vec<u32>)>, Invalid> {
        let damaged = || Invalid::new("the character table is damaged");
        let specials: Vec<(u32, Vec<u32>)> = self
            .specials
            .chunks_exact(SPECIAL_NUMBERS)
            .map(|record| {
                let lowered = record.get(2..2 + record[1] as usize);
                let lowered = lowered.filter(|lowered| lowered.iter().all(|&code| code < CODE_POINTS));
                Ok((record[0], lowered.ok_or_else(damaged)?.to_vec()))
            })
            .collect::<Result<_, _>>()?;
        if specials.is_sorted_by(|(left, _), (right, _)| left < right) { Ok(specials) } else { Err(damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_ENTRY: usize = HEADER + PAGES;

    /// A table of three pages: ASCII, nothing, and one with sigma; and one special character.
    fn table() -> Vec<u32> {
        let mut table = vec![LAYOUT, 3, 1];
        table.extend((0..PAGES as u32).map(|page| [0, 1, 1, 2].get(page as usize).copied().unwrap_or(1)));
        table.extend((0..256).map(|code: u32| match u8::try_from(code).unwrap_or_default() {
            b'A'..=b'Z' => WORD | CASED | 32,
            b'a'..=b'z' => WORD | CASED,
            b'0'..=b'9' | b'_' => WORD,
            _ => 0,
        }));
        table.extend([0; 256]);
        table.extend((0x300..0x400).map(|code| if code == CAPITAL_SIGMA { WORD | CASED | 32 } else { 0 }));
        table.extend([0x130, 2, 0x69, 0x307, 0]);
        table
    }

    fn refused(change: impl FnOnce(&mut Vec<u32>)) -> bool {
        let mut table = table();
        change(&mut table);
        Characters::parse(&table, true).is_err()
    }

    #[test]
    fn a_sound_table_answers() {
        let characters = Characters::parse(&table(), true).expect("sound");
        assert_eq!(characters.of(u32::from(b'A')).lowered(), u32::from(b'a'));
        assert!(!characters.of(u32::MAX).is_special());
        let word = [u32::from(b'a'); 1];
        let sigma = |before: &[u32], after: &[u32]| {
            characters.lower_special(CAPITAL_SIGMA, before.iter().copied(), after.iter().copied())
        };
        assert_eq!(sigma(&word, &[]), [FINAL_SIGMA]);
        assert_eq!(sigma(&word, &word), [SMALL_SIGMA]);
        assert_eq!(sigma(&[], &[]), [SMALL_SIGMA]);
        assert_eq!(characters.lower_special(0x130, std::iter::empty(), std::iter::empty()), [0x69, 0x307]);
        assert!(characters.lower_special(0x131, std::iter::empty(), std::iter::empty()).is_empty());
    }

    #[test]
    fn unsound_tables_are_refused() {
        for length in [0, 2, HEADER, FIRST_ENTRY, table().len() - 1] {
            assert!(refused(|table| table.truncate(length)), "{length} numbers");
        }
        assert!(refused(|table| table[0] = 2), "layout");
        assert!(refused(|table| table[1] = 0), "no page");
        assert!(refused(|table| table[1] = u32::MAX), "pages that are not there");
        assert!(refused(|table| table[2] = u32::MAX), "records that are not there");
        assert!(refused(|table| table[HEADER + 17] = 3), "page number");
        assert!(refused(|table| table[FIRST_ENTRY + 256] = CODE_POINTS), "behind the last character");
        assert!(refused(|table| table[FIRST_ENTRY + usize::from(b'A')] = WORD), "lower case of ASCII");
        assert!(refused(|table| table[FIRST_ENTRY + usize::from(b'-')] = WORD), "words of ASCII");
        assert!(refused(|table| table[FIRST_ENTRY + usize::from(b'A')] |= SPECIAL), "special ASCII");
        assert!(refused(|table| table[FIRST_ENTRY + 2 * 256 + 0xa3] |= IGNORABLE), "sigma that is skipped");
        assert!(refused(|table| table[FIRST_ENTRY + 3 * 256 + 3] = CODE_POINTS), "no character");
        assert!(refused(|table| table[FIRST_ENTRY + 3 * 256 + 1] = 4), "four characters");
        let twice = |table: &mut Vec<u32>| {
            table[2] = 2;
            table.extend_from_within(FIRST_ENTRY + 3 * 256..);
        };
        assert!(refused(twice), "a record that occurs twice");
    }
}
