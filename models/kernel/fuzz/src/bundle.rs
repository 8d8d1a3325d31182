//! Any damage to the arrays of a model, or arrays that never were one: they are refused, or texts are scored.

use std::sync::OnceLock;

use _kernel::{Analyzer, Arrays, Kernel, Norm, Settings, Simd, Text, build_index};

use super::input::{Input, Widths};
use super::{same, unicode};

const CLASSES: usize = 3;
const HEADER: usize = 32;
const MOST_NUMBERS: usize = 1 << 16;

/// A model that works.
struct Sound {
    settings: Settings,
    index: Vec<u64>,
    terms: usize,
}

fn sound() -> &'static [Sound] {
    static SOUND: OnceLock<Vec<Sound>> = OnceLock::new();
    SOUND.get_or_init(|| [Analyzer::Word, Analyzer::Char, Analyzer::CharWb].map(model).into())
}

fn model(analyzer: Analyzer) -> Sound {
    let (min_n, max_n) = if analyzer == Analyzer::Word { (1, 3) } else { (2, 5) };
    let settings = Settings {
        analyzer,
        min_n,
        max_n,
        min_chars: 1,
        max_chars: 0,
        lowercase: true,
        stop_words: Vec::new(),
        sublinear_tf: false,
        binary: false,
        norm: Norm::L2,
    };
    let mut terms: Vec<String> = TEXT.split(' ').map(str::to_lowercase).collect();
    terms.extend(TEXT.to_lowercase().split(' ').collect::<Vec<_>>().windows(2).map(|pair| pair.join(" ")));
    terms.extend(TEXT.to_lowercase().split(' ').collect::<Vec<_>>().windows(3).map(|three| three.join(" ")));
    let letters: Vec<char> = TEXT.to_lowercase().chars().collect();
    terms.extend((2..=5).flat_map(|n| letters.windows(n).step_by(3).map(String::from_iter)));
    terms.sort_unstable();
    terms.dedup();
    let names: Vec<&str> = terms.iter().map(String::as_str).collect();
    let index = build_index(&settings, &names).expect("no term occurs twice");
    Sound { settings, index, terms: terms.len() }
}

const TEXT: &str = "The museum opened an exhibition of early paintings ΟΔΟΣ café and the antidisestablishmentarianism of \
                    uncharacteristically \u{4e2d}\u{6587}\u{6587}\u{5b57}\u{4e2d}\u{6587} paintings İstanbul 1234567890123456789 \
                    in the rain_the_winner broke";

/// Check what the bytes say.
pub fn check(data: &[u8]) {
    let input = &mut Input(data);
    let model = &sound()[input.below(3)];
    let mut settings = model.settings.clone();
    let kind = input.byte();
    let mut index = model.index.clone();
    let mut table = unicode::table().to_vec();
    let mut lengths = [model.terms * CLASSES, model.terms, CLASSES, CLASSES, CLASSES];
    let texts = [TEXT.chars().map(u32::from).collect(), input.text()];
    if kind & 1 != 0 {
        damage(&mut index, input);
    }
    if kind & 2 != 0 {
        damage(&mut table, input);
    }
    if kind & 4 != 0 {
        let which = input.below(lengths.len());
        lengths[which] = (input.number() >> input.below(64)) as usize % 5000;
    }
    if kind & 8 != 0 {
        index.truncate(if kind & 16 != 0 { HEADER } else { 0 });
        index.extend(arbitrary(input));
    }
    if kind & 32 != 0 {
        table = arbitrary(input).map(|number| number as u32).collect();
    }
    if kind & 64 != 0 {
        settings = Settings { max_n: input.number() as usize, min_chars: input.number() as usize, ..settings };
    }
    if kind & 128 != 0 {
        settings.lowercase = false;
    }
    score(settings, &index, &table, lengths, &texts, input);
}

fn score(
    settings: Settings,
    index: &[u64],
    table: &[u32],
    [weights, idf, intercept, slope, offset]: [usize; 5],
    texts: &[Vec<u32>],
    input: &mut Input<'_>,
) {
    let any = f32::from_bits(input.number() as u32);
    let mut weights: Vec<f32> = (0..weights).map(|at| f32::from((at % 7) as u8) - 3.0).collect();
    if let Some(first) = weights.get_mut(input.below(256)) {
        *first = any;
    }
    let idf: Vec<f32> = vec![1.5; idf];
    let intercept: Vec<f32> = vec![any; intercept];
    let slope: Vec<f64> = vec![-f64::from(any); slope];
    let arrays = Arrays { index, idf: &idf, weights: &weights, intercept: &intercept };
    let Ok(mut kernel) = Kernel::new(settings, table, arrays, slope, vec![0.0; offset], Simd::PORTABLE) else { return };
    let piece = if input.flag() { 1 << 15 } else { 1 + input.below(200) };
    kernel = kernel.varied(Simd::PORTABLE, piece);
    let widths: Vec<Widths> = texts.iter().map(|text| Widths::of(text)).collect();
    let batch: Vec<Text<'_>> = widths.iter().flat_map(Widths::texts).collect();
    let expected = kernel.score(arrays, &batch);
    assert_eq!(expected.decisions.len(), batch.len() * intercept.len());
    for simd in Simd::available() {
        kernel = kernel.varied(simd, piece);
        assert!(same(&kernel.score(arrays, &batch), &expected), "{} gives other bits", simd.name());
    }
}

/// Change some numbers of an array, or its length.
fn damage<N: Copy + TryFrom<u64> + Into<u64> + Default>(numbers: &mut Vec<N>, input: &mut Input<'_>) {
    for _ in 0..=input.below(6) {
        let range = [HEADER, 5000, 256, numbers.len()][input.below(4)].clamp(1, numbers.len().max(1));
        let from_end = input.byte() & 7 == 7;
        let at = (input.number() >> 32) as usize % range;
        let at = if from_end { numbers.len() - 1 - at.min(numbers.len() - 1) } else { at };
        let Some(&before) = numbers.get(at) else { return };
        let before: u64 = before.into();
        let value = match input.below(8) {
            0 => before ^ 1 << input.below(64),
            1 => before.wrapping_add(input.byte().into()),
            2 => before.wrapping_sub(input.byte().into()),
            3 => u64::MAX >> input.below(64),
            4 => input.byte().into(),
            5 => numbers[(input.number() >> 32) as usize % numbers.len()].into(),
            6 => input.number(),
            _ => {
                numbers.truncate(at.max(1));
                return;
            }
        };
        let narrow = N::try_from(value).or_else(|_| N::try_from(value & u64::from(u32::MAX)));
        let count = if input.byte() & 15 == 15 { 1 + input.below(256) } else { 1 };
        let end = numbers.len().min(at + count);
        numbers[at..end].fill(narrow.unwrap_or_default());
    }
}

/// Numbers that are the bytes of the input, or follow from it.
fn arbitrary(input: &mut Input<'_>) -> impl Iterator<Item = u64> {
    let (seed, mask, count) = (input.number(), u64::MAX >> input.below(64), input.number() as usize % MOST_NUMBERS);
    let mut state = seed | 1;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state & mask
    })
}
