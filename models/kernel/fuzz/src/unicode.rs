//! What a character is, as the Rust library says, and the table that tells it to the kernel.

use std::sync::OnceLock;

const CODE_POINTS: u32 = 0x11_0000;
const PAGE: u32 = 256;
const WORD: u32 = 1 << 21;
const SPACE: u32 = 1 << 22;
const CASED: u32 = 1 << 23;
const IGNORABLE: u32 = 1 << 24;
const SPECIAL: u32 = 1 << 25;

/// Whether it belongs to words.
pub fn is_word(code: u32) -> bool {
    char::from_u32(code).is_some_and(|one| one.is_alphanumeric() || one == '_')
}

/// Whether it is white space; Python adds four separators to those of Unicode.
pub fn is_space(code: u32) -> bool {
    (0x1c..0x20).contains(&code) || char::from_u32(code).is_some_and(char::is_whitespace)
}

/// Some of the characters between which a sigma looks for its neighbours.
fn is_ignorable(code: u32) -> bool {
    matches!(code, 0x27 | 0x2e | 0x3a | 0x5e | 0x60 | 0xad | 0xb7 | 0x300..0x370 | 0x2019 | 0x1_f3fb..0x1_f400)
}

fn is_cased(code: u32) -> bool {
    !is_ignorable(code) && char::from_u32(code).is_some_and(|one| one.is_lowercase() || one.is_uppercase())
}

fn lowered(code: u32) -> Vec<u32> {
    char::from_u32(code).map_or_else(|| vec![code], |one| one.to_lowercase().map(u32::from).collect())
}

/// A text in lower case, slowly.
pub fn lower(text: &[u32]) -> Vec<u32> {
    let meets_cased = |code: Option<&u32>| code.is_some_and(|&code| is_cased(code));
    let mut all = Vec::with_capacity(text.len());
    for (at, &code) in text.iter().enumerate() {
        if code == u32::from('Σ') {
            let before = meets_cased(text[..at].iter().rfind(|&&code| !is_ignorable(code)));
            let after = meets_cased(text[at + 1..].iter().find(|&&code| !is_ignorable(code)));
            all.push(u32::from(if before && !after { 'ς' } else { 'σ' }));
        } else {
            all.extend(lowered(code));
        }
    }
    all
}

/// The table in the form that `models/characters.py` describes.
pub fn table() -> &'static [u32] {
    static TABLE: OnceLock<Vec<u32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut pages: Vec<Vec<u32>> = Vec::new();
        let mut order = Vec::new();
        let mut records = Vec::new();
        for start in (0..CODE_POINTS).step_by(PAGE as usize) {
            let page: Vec<u32> = (start..start + PAGE).map(|code| entry(code, &mut records)).collect();
            let known = pages.iter().position(|earlier| *earlier == page);
            order.push(known.unwrap_or(pages.len()) as u32);
            if known.is_none() {
                pages.push(page);
            }
        }
        let mut table = vec![1, pages.len() as u32, records.len() as u32 / 5];
        table.extend(order);
        table.extend(pages.concat());
        table.extend(records);
        table
    })
}

fn entry(code: u32, records: &mut Vec<u32>) -> u32 {
    let flags =
        [(WORD, is_word(code)), (SPACE, is_space(code)), (CASED, is_cased(code)), (IGNORABLE, is_ignorable(code))];
    let flags = flags.into_iter().filter(|&(_, holds)| holds).fold(0, |all, (flag, _)| all | flag);
    let lowered = lowered(code);
    if let [one] = lowered[..] {
        return flags | one.wrapping_sub(code) & (WORD - 1);
    }
    records.extend([code, lowered.len() as u32]);
    records.extend(lowered.iter().copied().chain([0; 3]).take(3));
    flags | SPECIAL
}
