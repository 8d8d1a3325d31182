//! From codes to nodes: finding the words or character runs of a text that are terms, and counting them.

use crate::index::{NONE, SHORT, STOP, View, halves};
use crate::score::Counts;
use crate::settings::Settings;
use crate::text::is_start;

/// Bytes behind the last code that a scanner may read.
pub(crate) const PADDING: usize = SHORT;

/// MASKS[n] keeps the first n bytes of a key.
const MASKS: [[u64; 2]; SHORT + 1] = {
    let mut masks = [[0; 2]; SHORT + 1];
    let mut length = 1;
    while length <= SHORT {
        let mask = u128::MAX >> (128 - 8 * length);
        masks[length] = [mask as u64, (mask >> 64) as u64];
        length += 1;
    }
    masks
};

/// The key of the `length` codes from `start` on, at most 16.
#[inline(always)]
fn key_at(codes: &[u8], start: usize, length: usize) -> [u64; 2] {
    let bytes = codes[start..].first_chunk::<SHORT>().copied().unwrap_or_default();
    let [low, high] = halves(bytes);
    let [low_mask, high_mask] = MASKS[length.min(SHORT)];
    [low & low_mask, high & high_mask]
}

/// Count the words between `bounds` in a model whose terms are single words.
///
/// A word that is too short is no token, and one that is no term does not count: here that is the same.
#[inline(always)]
pub(crate) fn single_words(
    view: &View<'_>,
    settings: &Settings,
    codes: &[u8],
    ascii: bool,
    bounds: &[u32],
    counts: &mut Counts,
) {
    for &[start, end] in bounds.as_chunks::<2>().0 {
        let (start, end) = (start as usize, end as usize);
        let length = cut(settings, &codes[start..end], ascii);
        counts.add(node_at(view, codes, start, length));
    }
}

#[inline(always)]
fn node_at(view: &View<'_>, codes: &[u8], start: usize, length: usize) -> u32 {
    if length <= SHORT { view.short(key_at(codes, start, length)) } else { view.long(&codes[start..start + length]) }
}

/// How many codes of a word count.
#[inline(always)]
fn cut(settings: &Settings, word: &[u8], ascii: bool) -> usize {
    let most = settings.max_chars;
    if most == 0 || word.len() <= most {
        word.len()
    } else if ascii {
        most
    } else {
        starts(word).nth(most).unwrap_or(word.len())
    }
}

/// Where the characters begin in some codes.
#[inline(always)]
fn starts(codes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    codes.iter().enumerate().filter(|(_, byte)| is_start(**byte)).map(|(at, _)| at)
}

/// Append the node of every token between `bounds`: `NONE` for unknown words, nothing for stop words and short ones.
#[inline(always)]
pub(crate) fn tokens(
    view: &View<'_>,
    settings: &Settings,
    codes: &[u8],
    ascii: bool,
    bounds: &[u32],
    nodes: &mut Vec<u32>,
) {
    let begin = nodes.len();
    nodes.resize(begin + bounds.len() / 2, NONE);
    let out = &mut nodes[begin..];
    let mut found = 0;
    for &[start, end] in bounds.as_chunks::<2>().0 {
        let (start, end) = (start as usize, end as usize);
        let word = &codes[start..end];
        let long_enough = if ascii {
            word.len() >= settings.min_chars
        } else {
            // No character has more than four codes.
            word.len() > 4 * settings.min_chars || starts(word).take(settings.min_chars).count() == settings.min_chars
        };
        let node = node_at(view, codes, start, cut(settings, word, ascii));
        out[found] = node;
        found += usize::from(long_enough & (node != STOP));
    }
    nodes.truncate(begin + found);
}

/// Count all runs of `min_n` to `max_n` tokens that end behind the first `done` ones.
#[inline(always)]
pub(crate) fn runs(view: &View<'_>, settings: &Settings, tokens: &[u32], done: usize, left: &mut Vec<u32>, counts: &mut Counts) {
    if settings.min_n == 1 {
        for &node in &tokens[done..] {
            counts.add(node);
        }
    }
    // left[i] is the node of the run of n - 1 tokens that begins with token i.
    left.clear();
    left.extend_from_slice(tokens);
    for n in 2..=settings.max_n.min(tokens.len()) {
        for begin in 0..=tokens.len() - n {
            let end = begin + n - 1;
            left[begin] = view.pair(left[begin], tokens[end]);
            if n >= settings.min_n && end >= done {
                counts.add(left[begin]);
            }
        }
    }
}

/// Counts the runs of `min_n` to `max_n` characters in a segment of text: a padded word, or all of it.
///
/// Segments may come in pieces. A run is counted where it begins, once all runs from there are complete.
#[derive(Default)]
pub(crate) struct Characters {
    /// Whether runs of the segment were counted in an earlier piece.
    begun: bool,
    /// Where the characters of the piece begin, and where the last one ends.
    starts: Vec<u32>,
}

impl Characters {
    /// Count the runs of a piece; returns how many of its codes are done. The rest belongs before the next piece.
    pub(crate) fn count(
        &mut self,
        view: &View<'_>,
        settings: &Settings,
        codes: &[u8],
        last: bool,
        whole_if_short: bool,
        counts: &mut Counts,
    ) -> usize {
        self.starts.clear();
        self.starts.extend(starts(codes).map(|at| at as u32));
        self.starts.push(codes.len() as u32);
        let characters = self.starts.len() - 1;
        let begins = if last { characters } else { (characters + 1).saturating_sub(settings.max_n) };
        counts.reserve((begins + 1) * (settings.max_n - settings.min_n + 1));
        for begin in 0..begins {
            let start = self.starts[begin] as usize;
            for n in settings.min_n..=settings.max_n.min(characters - begin) {
                counts.add(view.any(&codes[start..self.starts[begin + n] as usize]));
            }
        }
        // A padded word that is shorter than the shortest run counts as it is.
        if last && whole_if_short && !self.begun && 0 < characters && characters < settings.min_n {
            counts.add(view.any(codes));
        }
        self.begun = !last && (self.begun || begins > 0);
        self.starts[begins] as usize
    }
}
