//! The index: from keys to node numbers, in one flat array that a bundle maps into memory.
//!
//! A node is a term or a run of words that a longer term begins with. Terms have the number of their row in the weights;
//! other nodes are numbered behind them. Three tables, each perfectly hashed (see `perfect.rs`) and each holding the
//! whole key, so that what is found is verified:
//!
//! | table | key | slot |
//! |---|---|---|
//! | short | codes of a word or character run, up to 16 bytes, filled with zeros | key, node |
//! | long | longer codes | where they are in `long_codes`, how many, node |
//! | pairs | node of a run of words, node of the word behind it | key, node of both together |
//!
//! Layout: `HEADER` numbers (u64, little-endian), then the sections, each from a multiple of eight numbers on.

use std::hint::select_unpredictable;
use std::ops::Range;

use crate::settings::Settings;
use crate::{Invalid, hash, perfect, raw};

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"clfindex");
pub(crate) const LAYOUT: u64 = 2;
pub(crate) const HEADER: usize = 32;
pub(crate) const SECTIONS: usize = 7;
pub(crate) const FIRST_SECTION: usize = 16;
pub(crate) const SEEDS: usize = 8;

/// The number that says "no node": of a word that occurs in no term.
pub(crate) const NONE: u32 = u32::MAX;
/// The node of a stop word.
pub(crate) const STOP: u32 = u32::MAX - 1;
/// More nodes than a node number can hold are refused.
pub(crate) const MAX_NODES: usize = 1 << 31;
/// Keys up to that many bytes are compared in place.
pub(crate) const SHORT: usize = 16;

/// A slot of the short table: the key's two halves, and the node.
pub(crate) type ShortSlot = [u64; 3];
/// A slot of the long table: start and length in `long_codes`, node, nothing.
pub(crate) type LongSlot = [u32; 4];
/// A slot of the table of pairs: left, right, node, nothing.
pub(crate) type PairSlot = [u32; 4];

/// Where the parts of an index are; what they hold is only looked at when it is needed, and never believed.
pub(crate) struct Index {
    /// How many rows the weights must have.
    pub(crate) terms: usize,
    /// The longest key of the short and long tables, in bytes.
    pub(crate) longest: usize,
    seeds: [u64; 3],
    sections: [Range<usize>; SECTIONS],
}

impl Index {
    /// Check the header of an index that was built with `settings`.
    pub(crate) fn parse(numbers: &[u64], settings: &Settings) -> Result<Self, Invalid> {
        let header: &[u64; HEADER] = numbers.first_chunk().ok_or_else(|| Invalid::new("the index is truncated"))?;
        if header[0] != MAGIC || header[1] != LAYOUT {
            return Err(Invalid::new("the index has another layout"));
        }
        if header[2] != settings.fingerprint() {
            return Err(Invalid::new("the index was built with other settings"));
        }
        let mut sections = std::array::from_fn(|_| 0..0);
        for (number, section) in sections.iter_mut().enumerate() {
            *section =
                read_section(numbers, header[FIRST_SECTION + 2 * number], header[FIRST_SECTION + 2 * number + 1])?;
        }
        let index = Self {
            terms: usize::try_from(header[3]).unwrap_or(usize::MAX),
            longest: usize::try_from(header[4]).unwrap_or(usize::MAX),
            seeds: [header[SEEDS], header[SEEDS + 1], header[SEEDS + 2]],
            sections,
        };
        index.check(numbers)?;
        Ok(index)
    }

    fn check(&self, numbers: &[u64]) -> Result<(), Invalid> {
        let whole_slots = self.sections[1].len().is_multiple_of(3)
            && self.sections[3].len().is_multiple_of(2)
            && self.sections[6].len().is_multiple_of(2);
        let view = self.view(numbers);
        let none_empty = !view.short.slots.is_empty()
            && !view.short.pilots.is_empty()
            && !view.long.slots.is_empty()
            && !view.long.pilots.is_empty()
            && !view.pairs.slots.is_empty()
            && !view.pairs.pilots.is_empty();
        // Slot and bucket numbers are computed in 32 bits; four pilots are in one number.
        let small = self.sections.iter().all(|section| section.len() < u32::MAX as usize / 4);
        // Unfinished words are kept up to that length.
        let possible = self.longest <= SHORT.max(view.long_codes.len());
        if whole_slots && none_empty && small && possible && self.terms < MAX_NODES {
            Ok(())
        } else {
            Err(Invalid::new("the index is damaged"))
        }
    }

    /// The tables, for as long as the numbers are borrowed.
    pub(crate) fn view<'a>(&self, numbers: &'a [u64]) -> View<'a> {
        let section = |number: usize| &numbers[self.sections[number].clone()];
        View {
            short: Table {
                pilots: bytemuck::cast_slice(section(0)),
                slots: section(1).as_chunks().0,
                seed: self.seeds[0],
            },
            long: Table {
                pilots: bytemuck::cast_slice(section(2)),
                slots: bytemuck::cast_slice(section(3).as_chunks::<2>().0),
                seed: self.seeds[1],
            },
            long_codes: bytemuck::cast_slice(section(4)),
            pairs: Table {
                pilots: bytemuck::cast_slice(section(5)),
                slots: bytemuck::cast_slice(section(6).as_chunks::<2>().0),
                seed: self.seeds[2],
            },
        }
    }
}

fn read_section(numbers: &[u64], start: u64, length: u64) -> Result<Range<usize>, Invalid> {
    let truncated = || Invalid::new("the index is truncated");
    let start = usize::try_from(start).map_err(|_| truncated())?;
    let length = usize::try_from(length).map_err(|_| truncated())?;
    let end = start.checked_add(length).ok_or_else(truncated)?;
    if start < HEADER || end > numbers.len() { Err(truncated()) } else { Ok(start..end) }
}

/// A perfectly hashed table.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a, S> {
    pub(crate) pilots: &'a [u16],
    pub(crate) slots: &'a [S],
    pub(crate) seed: u64,
}

impl<S> Table<'_, S> {
    /// Which slot may hold a key with this hash. It is on its way into the cache when this returns.
    #[inline(always)]
    fn find(&self, hash: u64) -> u32 {
        let pilot = self.pilots[perfect::bucket(hash, self.pilots.len())];
        let slot = perfect::slot(hash, pilot, self.slots.len());
        raw::prefetch(self.slots, slot);
        slot as u32
    }
}

/// The tables of an index.
///
/// Looking up takes two steps, `find_...` and `..._at`. Whoever does the first for many keys before the second waits for
/// memory once and not every time.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) short: Table<'a, ShortSlot>,
    pub(crate) long: Table<'a, LongSlot>,
    pub(crate) long_codes: &'a [u8],
    pub(crate) pairs: Table<'a, PairSlot>,
}

impl View<'_> {
    /// The slot for a key of at most 16 bytes.
    #[inline(always)]
    pub(crate) fn find_short(&self, [low, high]: [u64; 2]) -> u32 {
        self.short.find(hash::of_pair(low, high, self.short.seed))
    }

    /// The node of a key of at most 16 bytes, given its slot. No branch depends on what is found.
    #[inline(always)]
    pub(crate) fn short_at(&self, slot: u32, [low, high]: [u64; 2]) -> u32 {
        let slot = &self.short.slots[slot as usize];
        let differs = (slot[0] ^ low) | (slot[1] ^ high);
        select_unpredictable(differs == 0, slot[2] as u32, NONE)
    }

    /// The node of a longer key.
    pub(crate) fn long(&self, codes: &[u8]) -> u32 {
        let slot = self.long.find(hash::of_bytes(codes, self.long.seed));
        let [start, length, node, _] = self.long.slots[slot as usize];
        let (start, length) = (start as usize, length as usize);
        let found = self.long_codes.get(start..start + length);
        if found == Some(codes) { node } else { NONE }
    }

    /// The slot for a run of words: `left` is the node of all but its last word.
    #[inline(always)]
    pub(crate) fn find_pair(&self, left: u32, right: u32) -> u32 {
        self.pairs.find(hash::of_pair(u64::from(left), u64::from(right), self.pairs.seed))
    }

    /// The node of a run of words, given its slot.
    #[inline(always)]
    pub(crate) fn pair_at(&self, slot: u32, left: u32, right: u32) -> u32 {
        let slot = &self.pairs.slots[slot as usize];
        let differs = (slot[0] ^ left) | (slot[1] ^ right);
        select_unpredictable(differs == 0, slot[2], NONE)
    }
}

/// The key of at most 16 bytes, filled with zeros, which no key holds.
pub(crate) fn short_key(codes: &[u8]) -> [u64; 2] {
    let mut bytes = [0; SHORT];
    bytes[..codes.len()].copy_from_slice(codes);
    halves(bytes)
}

/// The two halves of 16 bytes as numbers.
#[inline(always)]
pub(crate) fn halves(bytes: [u8; SHORT]) -> [u64; 2] {
    let number = u128::from_le_bytes(bytes);
    [number as u64, (number >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Analyzer, Norm};

    fn settings() -> Settings {
        Settings {
            analyzer: Analyzer::Word,
            min_n: 1,
            max_n: 2,
            min_chars: 1,
            max_chars: 0,
            lowercase: true,
            stop_words: Vec::new(),
            sublinear_tf: false,
            binary: false,
            norm: Norm::L2,
        }
    }

    fn refused(change: impl FnOnce(&mut Vec<u64>)) -> bool {
        let terms = ["a", "b", "a b", "longer than sixteen", "antidisestablishmentarianism"];
        let mut numbers = crate::build_index(&settings(), &terms).expect("built");
        change(&mut numbers);
        Index::parse(&numbers, &settings()).is_err()
    }

    #[test]
    fn unsound_indexes_are_refused() {
        assert!(!refused(|_| ()), "sound");
        for length in [0, HEADER - 1, HEADER, HEADER + 1] {
            assert!(refused(|numbers| numbers.truncate(length)), "{length} numbers");
        }
        for (at, value) in [(0, 0), (1, LAYOUT + 1), (2, 0), (3, 1 << 31), (3, u64::MAX), (4, 1 << 20), (4, u64::MAX)] {
            assert!(refused(|numbers| numbers[at] = value), "{value} at {at}");
        }
        for section in 0..SECTIONS {
            let (start, length) = (FIRST_SECTION + 2 * section, FIRST_SECTION + 2 * section + 1);
            for value in [0, HEADER as u64 - 1, 1 << 40, u64::MAX] {
                assert!(refused(|numbers| numbers[start] = value), "section {section} at {value}");
            }
            assert!(refused(|numbers| numbers[length] = u64::MAX), "the length of section {section}");
            assert!(refused(|numbers| numbers[length] = 1 << 40), "the length of section {section}");
            // Only the codes of long words may be empty, unless there are long words.
            assert!(refused(|numbers| numbers[length] = 0), "section {section} is empty");
        }
        for section in [1, 3, 6] {
            assert!(refused(|numbers| numbers[FIRST_SECTION + 2 * section + 1] -= 1), "half a slot in {section}");
        }
    }

    #[test]
    fn settings_are_part_of_an_index() {
        let numbers = crate::build_index(&settings(), &["a"]).expect("built");
        let other = Settings { max_chars: 6, ..settings() };
        assert!(Index::parse(&numbers, &settings()).is_ok());
        assert!(Index::parse(&numbers, &other).is_err());
    }
}
