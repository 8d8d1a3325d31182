//! Building an index from the terms of a model; training does it once per bundle.

use std::collections::HashMap;

use crate::index::{FIRST_SECTION, HEADER, LAYOUT, MAGIC, MAX_NODES, NONE, SECTIONS, SEEDS, SHORT, STOP, short_key};
use crate::settings::{Analyzer, Settings};
use crate::{Invalid, hash, perfect, text};

const TRIES: u64 = 50;
const SECTION_ALIGNMENT: usize = 8;

/// The index of `terms`, in row order.
///
/// # Errors
///
/// A term occurs twice, or there are too many.
pub fn build_index(settings: &Settings, terms: &[&str]) -> Result<Vec<u64>, Invalid> {
    let mut nodes = Nodes { terms: terms.len(), next: terms.len(), keys: HashMap::new(), pairs: HashMap::new() };
    if settings.analyzer == Analyzer::Word {
        nodes.add_words(settings, terms)?;
    } else {
        for (row, term) in terms.iter().enumerate() {
            nodes.put_key(term, row as u32)?;
        }
    }
    if nodes.next >= MAX_NODES {
        return Err(Invalid::new("there are too many terms"));
    }
    nodes.write(settings)
}

/// All nodes by their keys.
struct Nodes {
    terms: usize,
    next: usize,
    keys: HashMap<Vec<u8>, u32>,
    pairs: HashMap<(u32, u32), u32>,
}

impl Nodes {
    /// Terms that no text can have (too short a word, a stop word, too many words) get no node.
    fn add_words(&mut self, settings: &Settings, terms: &[&str]) -> Result<(), Invalid> {
        let mut runs: Vec<(Vec<&str>, u32)> = Vec::new();
        for (row, term) in terms.iter().enumerate() {
            let words: Vec<&str> = term.split(' ').collect();
            let too_short = |word: &&str| word.chars().count() < settings.min_chars.max(1);
            if (settings.min_n..=settings.max_n).contains(&words.len()) && !words.iter().any(too_short) {
                runs.push((words, row as u32));
            }
        }
        for word in settings.stop_words.iter().filter(|word| !word.is_empty()) {
            self.keys.insert(text::of_term(word), STOP);
        }
        // Short runs first: what a longer run begins with then has its number already, if it is a term.
        runs.sort_by_key(|(words, _)| words.len());
        for (words, row) in runs {
            if !words.iter().any(|word| self.keys.get(&text::of_term(word)) == Some(&STOP)) {
                self.add_run(&words, row)?;
            }
        }
        Ok(())
    }

    fn add_run(&mut self, words: &[&str], row: u32) -> Result<(), Invalid> {
        let [begin @ .., last] = words else { return Ok(()) };
        let Some((first, middle)) = begin.split_first() else { return self.put_key(last, row) };
        let mut left = self.word(first);
        for word in middle {
            let key = (left, self.word(word));
            left = *self.pairs.entry(key).or_insert(self.next as u32);
            self.next += usize::from(left as usize == self.next);
        }
        let key = (left, self.word(last));
        if self.pairs.insert(key, row).is_some() { Err(Invalid::new("a term occurs twice")) } else { Ok(()) }
    }

    /// The node of a single word, a new one if it has none.
    fn word(&mut self, word: &str) -> u32 {
        let node = *self.keys.entry(text::of_term(word)).or_insert(self.next as u32);
        self.next += usize::from(node as usize == self.next);
        node
    }

    fn put_key(&mut self, term: &str, row: u32) -> Result<(), Invalid> {
        if term.is_empty() {
            return Ok(()); // no text has it
        }
        match self.keys.insert(text::of_term(term), row) {
            None | Some(STOP) => Ok(()),
            Some(_) => Err(Invalid::new("a term occurs twice")),
        }
    }

    fn write(self, settings: &Settings) -> Result<Vec<u64>, Invalid> {
        let longest = self.keys.keys().map(Vec::len).max().unwrap_or_default();
        let mut keys: Vec<(Vec<u8>, u32)> = self.keys.into_iter().collect();
        let mut pairs: Vec<((u32, u32), u32)> = self.pairs.into_iter().collect();
        // Maps have no order of their own, and equal models get equal bytes.
        keys.sort_unstable();
        pairs.sort_unstable();
        let (short, long): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(codes, _)| codes.len() <= SHORT);

        let mut sections: [Vec<u64>; SECTIONS] = Default::default();
        let mut seeds = [0; 3];
        let short: Vec<_> = short.into_iter().map(|(codes, node)| (short_key(&codes), node)).collect();
        let place = place(&short, |([low, high], _), seed| hash::of_pair(*low, *high, seed))?;
        sections[0] = place.pilots();
        sections[1] = place.fill([0, 0, u64::from(NONE)], |([low, high], node)| [*low, *high, u64::from(*node)]);
        seeds[0] = place.seed;

        let (long, codes) = end_to_end(long)?;
        let place = self::place(&long, |(codes, ..), seed| hash::of_bytes(codes, seed))?;
        sections[2] = place.pilots();
        sections[3] = place.fill([u64::MAX; 2], |(codes, start, node)| {
            [u64::from(*start) | (codes.len() as u64) << 32, u64::from(*node)]
        });
        sections[4] = codes;
        seeds[1] = place.seed;

        let place =
            self::place(&pairs, |((left, right), _), seed| hash::of_pair(u64::from(*left), u64::from(*right), seed))?;
        sections[5] = place.pilots();
        sections[6] = place.fill([u64::MAX; 2], |((left, right), node)| {
            [u64::from(*left) | u64::from(*right) << 32, u64::from(*node)]
        });
        seeds[2] = place.seed;
        Ok(assemble(settings, self.terms, longest, seeds, &sections))
    }
}

/// A key of the long table: its codes, where they start, its node.
type LongKey = (Vec<u8>, u32, u32);

/// All long keys in one array; and each with its place in there.
fn end_to_end(keys: Vec<(Vec<u8>, u32)>) -> Result<(Vec<LongKey>, Vec<u64>), Invalid> {
    let mut all = Vec::new();
    let mut placed = Vec::with_capacity(keys.len());
    for (codes, node) in keys {
        let start = u32::try_from(all.len()).map_err(|_| Invalid::new("the terms are too long"))?;
        all.extend_from_slice(&codes);
        placed.push((codes, start, node));
    }
    all.resize(all.len().next_multiple_of(8), 0);
    let numbers = all.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    Ok((placed, numbers))
}

/// Keys and the slots that they got.
struct Placed<'a, K> {
    keys: &'a [K],
    placement: perfect::Placement,
    seed: u64,
}

fn place<K>(keys: &[K], hash: impl Fn(&K, u64) -> u64) -> Result<Placed<'_, K>, Invalid> {
    (0..TRIES)
        .find_map(|seed| {
            let hashes: Vec<u64> = keys.iter().map(|key| hash(key, seed)).collect();
            perfect::place(&hashes).map(|placement| Placed { keys, placement, seed })
        })
        .ok_or_else(|| Invalid::new("no perfect hash was found"))
}

impl<K> Placed<'_, K> {
    fn pilots(&self) -> Vec<u64> {
        let four = |pilots: &[u16; 4]| pilots.iter().rev().fold(0, |all, &one| all << 16 | u64::from(one));
        self.placement.pilots.as_chunks().0.iter().map(four).collect()
    }

    /// All slots one after the other; `empty` is what the unused ones hold.
    fn fill<const N: usize>(&self, empty: [u64; N], slot: impl Fn(&K) -> [u64; N]) -> Vec<u64> {
        let mut slots = vec![empty; self.placement.slots];
        for (key, &at) in self.keys.iter().zip(&self.placement.slot_of) {
            slots[at] = slot(key);
        }
        slots.as_flattened().to_vec()
    }
}

fn assemble(
    settings: &Settings,
    terms: usize,
    longest: usize,
    seeds: [u64; 3],
    sections: &[Vec<u64>; SECTIONS],
) -> Vec<u64> {
    let mut numbers = vec![0; HEADER];
    numbers[0] = MAGIC;
    numbers[1] = LAYOUT;
    numbers[2] = settings.fingerprint();
    numbers[3] = terms as u64;
    numbers[4] = longest as u64;
    numbers[SEEDS..SEEDS + seeds.len()].copy_from_slice(&seeds);
    for (number, section) in sections.iter().enumerate() {
        numbers.resize(numbers.len().next_multiple_of(SECTION_ALIGNMENT), 0);
        numbers[FIRST_SECTION + 2 * number] = numbers.len() as u64;
        numbers[FIRST_SECTION + 2 * number + 1] = section.len() as u64;
        numbers.extend_from_slice(section);
    }
    numbers
}
