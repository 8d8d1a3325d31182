//! Any characters, settings and terms: every processor level gives the same bits, and the naive model's results.

use std::collections::{BTreeSet, HashMap};

use _kernel::{Arrays, Kernel, Settings, Simd, Text, build_index};

use super::input::{Input, Widths};
use super::naive::{Naive, grams, tokens};
use super::{same, unicode};

const MOST_TERMS: usize = 150;
/// Pieces as small as these, so that whatever can be cut is cut.
const PIECES: [usize; 8] = [1, 2, 3, 7, 63, 64, 129, 1 << 15];

/// Check what the bytes say.
pub fn check(data: &[u8]) {
    let input = &mut Input(data);
    let mut settings = input.settings();
    let piece = PIECES[input.below(PIECES.len())];
    let classes = 1 + input.below(40);
    let with_idf = input.flag();
    let (stride, first) = (1 + input.below(5), input.below(5));
    let texts: Vec<Vec<u32>> = (0..=input.below(3)).map(|_| input.text()).collect();
    settings.stop_words = stop_words(&settings, &texts, input.below(4));
    let terms = terms(&settings, &texts, stride, first, input);
    let weights: Vec<f32> =
        (0..terms.len() * classes).map(|at| f32::from((at * 2_654_435_761 % 17) as u8) - 8.0).collect();
    let idf: Vec<f32> = (0..terms.len()).map(|row| 1.0 + f32::from((row % 5) as u8) / 4.0).collect();
    let idf = if with_idf { &idf[..] } else { &[] };
    let intercept: Vec<f32> = (0..classes).map(|class| f32::from(class as u8) / 8.0 - 1.0).collect();
    let slope: Vec<f64> = (0..classes).map(|class| -0.5 - f64::from(class as u8)).collect();
    let offset = vec![0.25; classes];

    let names: Vec<&str> = terms.iter().map(String::as_str).collect();
    let index = build_index(&settings, &names).expect("no term occurs twice");
    let arrays = Arrays { index: &index, idf, weights: &weights, intercept: &intercept };
    let (slope_of, offset_of) = (slope.clone(), offset.clone());
    let mut kernel =
        Kernel::new(settings.clone(), unicode::table(), arrays, slope, offset, Simd::PORTABLE).expect("all fits");

    let widths: Vec<Widths> = texts.iter().map(|text| Widths::of(text)).collect();
    let forms: Vec<(usize, Text<'_>)> = widths
        .iter()
        .enumerate()
        .flat_map(|(number, text)| text.texts().into_iter().map(move |form| (number, form)))
        .collect();
    let batch: Vec<Text<'_>> = forms.iter().map(|(_, form)| *form).collect();
    kernel = kernel.varied(Simd::PORTABLE, piece);
    let expected = kernel.score(arrays, &batch);
    for simd in Simd::available() {
        kernel = kernel.varied(simd, piece);
        assert!(same(&kernel.score(arrays, &batch), &expected), "{} gives other bits", simd.name());
    }

    let rows: HashMap<Vec<u32>, usize> =
        terms.iter().enumerate().map(|(row, term)| (term.chars().map(u32::from).collect(), row)).collect();
    let naive = Naive { settings: &settings, rows, idf, weights: &weights, intercept: &intercept };
    let wanted: Vec<_> = texts.iter().map(|text| naive.decide(text)).collect();
    for (at, (number, _)) in forms.iter().enumerate() {
        let (decisions, largest, known) = &wanted[*number];
        assert_eq!(expected.known[at] == 1, *known);
        for (class, decision) in decisions.iter().enumerate() {
            let found = f64::from(expected.decisions[at * classes + class]);
            assert!((found - decision).abs() <= 4e-6 * (1.0 + 8.0 * largest), "{found} is not {decision}");
            let probability = 1.0 / (1.0 + (found * slope_of[class] + offset_of[class]).exp());
            assert!((f64::from(expected.probabilities[at * classes + class]) - probability).abs() <= 1e-6);
        }
    }
}

/// Some words of the texts.
fn stop_words(settings: &Settings, texts: &[Vec<u32>], count: usize) -> Vec<String> {
    texts.iter().flat_map(|text| tokens(settings, text)).filter_map(|word| string(&word)).take(count).collect()
}

/// Some n-grams of the texts, and some terms that the input makes up, which no text may be able to have.
fn terms(settings: &Settings, texts: &[Vec<u32>], stride: usize, first: usize, input: &mut Input<'_>) -> Vec<String> {
    let all: BTreeSet<Vec<u32>> = texts.iter().flat_map(|text| grams(settings, text)).collect();
    let occurring = all.iter().skip(first).step_by(stride).filter_map(|gram| string(gram)).take(MOST_TERMS);
    let mut terms: BTreeSet<String> = occurring.collect();
    for _ in 0..input.below(8) {
        terms.extend(string(&input.text()));
    }
    terms.into_iter().collect()
}

/// As a term; there is none with a surrogate.
fn string(codes: &[u32]) -> Option<String> {
    codes.iter().map(|&code| char::from_u32(code)).collect()
}
