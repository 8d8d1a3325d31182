//! From codes to nodes: finding the words or character runs of a text that are terms, and counting them.

use crate::index::{NONE, SHORT, STOP, View, halves, short_key};
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

/// The key of the codes from `start` to `end`, of the first 16 if there are more.
#[inline(always)]
fn key_at(codes: &[u8], start: usize, end: usize) -> [u64; 2] {
    let bytes = codes[start..].first_chunk::<SHORT>().copied().unwrap_or_default();
    let [low, high] = halves(bytes);
    let [low_mask, high_mask] = MASKS[end.wrapping_sub(start).min(SHORT)];
    [low & low_mask, high & high_mask]
}

/// Words are looked up that many at a time.
const GROUP: usize = 128;

/// Find the nodes of at most `GROUP` words and hand them to `use_node`, in order.
#[inline(always)]
fn group_of_words(view: &View<'_>, codes: &[u8], bounds: &[[u32; 2]], mut use_node: impl FnMut(usize, u32)) {
    let mut keys = [([0; 2], 0); GROUP];
    for (&[start, end], (key, slot)) in bounds.iter().zip(&mut keys) {
        *key = key_at(codes, start as usize, end as usize);
        *slot = view.find_short(*key);
    }
    for (at, (&[start, end], &(key, slot))) in bounds.iter().zip(&keys).enumerate() {
        let is_short = (end - start) as usize <= SHORT;
        let node = if is_short { view.short_at(slot, key) } else { view.long(&codes[start as usize..end as usize]) };
        use_node(at, node);
    }
}

/// Count the words between `bounds` in a model whose terms are single words.
///
/// A word that is too short is no token, and one that is no term does not count: here that is the same.
#[inline(always)]
pub(crate) fn single_words(view: &View<'_>, codes: &[u8], bounds: &[u32], counts: &mut Counts) {
    for group in bounds.as_chunks::<2>().0.chunks(GROUP) {
        let mut rows = [0; GROUP];
        group_of_words(view, codes, group, |at, node| rows[at] = counts.find(node));
        for &row in &rows[..group.len()] {
            counts.add(row);
        }
    }
}

/// Cut the words between `bounds` to their first `most` characters.
pub(crate) fn cut(codes: &[u8], bounds: &mut [u32], most: usize) {
    for [start, end] in bounds.as_chunks_mut::<2>().0 {
        // No character has less than one code.
        if (*end - *start) as usize > most {
            let word = &codes[*start as usize..*end as usize];
            *end = starts(word).nth(most).map_or(*end, |length| *start + length as u32);
        }
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
    for group in bounds.as_chunks::<2>().0.chunks(GROUP) {
        group_of_words(view, codes, group, |at, node| {
            let [start, end] = group[at];
            let word = &codes[start as usize..end as usize];
            let long_enough = if ascii {
                word.len() >= settings.min_chars
            } else {
                // No character has more than four codes.
                word.len() > 4 * settings.min_chars || starts(word).nth(settings.min_chars - 1).is_some()
            };
            out[found] = node;
            found += usize::from(long_enough) & usize::from(node != STOP);
        });
    }
    nodes.truncate(begin + found);
}

/// Count all runs of `min_n` to `max_n` tokens that end behind the first `done` ones.
#[inline(always)]
pub(crate) fn runs(
    view: &View<'_>,
    settings: &Settings,
    tokens: &[u32],
    done: usize,
    left: &mut Vec<u32>,
    counts: &mut Counts,
) {
    if settings.min_n == 1 {
        count_all(&tokens[done..], counts);
    }
    // left[i] is the node of the run of n - 1 tokens that begins with token i.
    left.clear();
    left.extend_from_slice(tokens);
    for n in 2..=settings.max_n.min(tokens.len()) {
        let runs = tokens.len() - n + 1;
        for (left, right) in left[..runs].chunks_mut(GROUP).zip(tokens[n - 1..].chunks(GROUP)) {
            let mut slots = [0; GROUP];
            for ((left, right), slot) in left.iter().zip(right).zip(&mut slots) {
                *slot = view.find_pair(*left, *right);
            }
            for ((left, right), slot) in left.iter_mut().zip(right).zip(slots) {
                *left = view.pair_at(slot, *left, *right);
            }
        }
        if n >= settings.min_n {
            count_all(&left[(done + 1).saturating_sub(n)..runs], counts);
        }
    }
}

/// Count nodes, a group at a time.
#[inline(always)]
fn count_all(nodes: &[u32], counts: &mut Counts) {
    for group in nodes.chunks(GROUP) {
        let mut rows = [0; GROUP];
        for (row, &node) in rows.iter_mut().zip(group) {
            *row = counts.find(node);
        }
        for &row in &rows[..group.len()] {
            counts.add(row);
        }
    }
}

#[inline(always)]
fn count_characters(view: &View<'_>, codes: &[u8], counts: &mut Counts) {
    let node = if codes.len() <= SHORT {
        let key = short_key(codes);
        view.short_at(view.find_short(key), key)
    } else {
        view.long(codes)
    };
    let row = counts.find(node);
    counts.add(row);
}

/// Count the runs of `min_n` to `max_n` characters in a piece of a segment: of a padded word, or of a whole text.
///
/// A run is counted where it begins, once all runs from there are complete. Returns how many of the codes are done; the
/// rest belongs before the next piece, unless this is the `last` one. `begins` is room for where characters begin.
pub(crate) fn character_runs(
    view: &View<'_>,
    settings: &Settings,
    codes: &[u8],
    last: bool,
    padded: bool,
    begins: &mut Vec<u32>,
    counts: &mut Counts,
) -> usize {
    begins.clear();
    begins.extend(starts(codes).map(|at| at as u32));
    let characters = begins.len();
    begins.push(codes.len() as u32);
    let done = if last { characters } else { (characters + 1).saturating_sub(settings.max_n) };
    counts.reserve((done + 1) * (settings.max_n - settings.min_n + 1));
    for begin in 0..done {
        let start = begins[begin] as usize;
        for n in settings.min_n..=settings.max_n.min(characters - begin) {
            count_characters(view, &codes[start..begins[begin + n] as usize], counts);
        }
    }
    // A padded word that is shorter than the shortest run counts as it is. (What is left of one that came in pieces is
    // at least as long as the longest.)
    if last && padded && 0 < characters && characters < settings.min_n {
        count_characters(view, codes, counts);
    }
    begins[done] as usize
}
