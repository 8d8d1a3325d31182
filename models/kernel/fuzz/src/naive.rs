//! The specification as a few slow loops: what scikit-learn makes of a text, with maps and no tables.

use std::collections::HashMap;

use _kernel::{Analyzer, Norm, Settings};

use super::unicode::{is_space, is_word, lower};

const SPACE: u32 = 0x20;

/// All n-grams of a text, in any order and as often as they occur.
pub fn grams(settings: &Settings, text: &[u32]) -> Vec<Vec<u32>> {
    let text = if settings.lowercase { lower(text) } else { text.to_vec() };
    match settings.analyzer {
        Analyzer::Word => runs_of_words(settings, &text),
        Analyzer::Char => runs(settings, &squeezed(&text)),
        Analyzer::CharWb => text
            .split(|&code| is_space(code))
            .filter(|word| !word.is_empty())
            .flat_map(|word| runs_of_padded(settings, &[&[SPACE], word, &[SPACE]].concat()))
            .collect(),
    }
}

/// The words of a text that are tokens.
pub fn tokens(settings: &Settings, text: &[u32]) -> Vec<Vec<u32>> {
    let most = if settings.max_chars == 0 { usize::MAX } else { settings.max_chars };
    let stop_words: Vec<Vec<u32>> =
        settings.stop_words.iter().map(|word| word.chars().map(u32::from).collect()).collect();
    text.split(|&code| !is_word(code))
        .filter(|word| word.len() >= settings.min_chars)
        .map(|word| word[..word.len().min(most)].to_vec())
        .filter(|word| !stop_words.contains(word))
        .collect()
}

fn runs_of_words(settings: &Settings, text: &[u32]) -> Vec<Vec<u32>> {
    let tokens = tokens(settings, text);
    (settings.min_n..=settings.max_n).flat_map(|n| tokens.windows(n).map(|run| run.join(&SPACE))).collect()
}

fn runs(settings: &Settings, text: &[u32]) -> Vec<Vec<u32>> {
    (settings.min_n..=settings.max_n).flat_map(|n| text.windows(n).map(<[u32]>::to_vec)).collect()
}

fn runs_of_padded(settings: &Settings, word: &[u32]) -> Vec<Vec<u32>> {
    if word.len() < settings.min_n { vec![word.to_vec()] } else { runs(settings, word) }
}

/// Runs of two or more white spaces become one space; a single one stays what it is.
fn squeezed(text: &[u32]) -> Vec<u32> {
    let runs = text.chunk_by(|&left, &right| is_space(left) && is_space(right));
    runs.flat_map(|run| if run.len() > 1 { &[SPACE] } else { run }).copied().collect()
}

/// A model of its terms, and of the numbers that the kernel gets too.
pub struct Naive<'a> {
    pub settings: &'a Settings,
    pub rows: HashMap<Vec<u32>, usize>,
    pub idf: &'a [f32],
    pub weights: &'a [f32],
    pub intercept: &'a [f32],
}

impl Naive<'_> {
    /// Decisions, and how large the sums were that they came from; the last is whether the text has a term.
    pub fn decide(&self, text: &[u32]) -> (Vec<f64>, f64, bool) {
        let mut counts: HashMap<usize, u32> = HashMap::new();
        for row in grams(self.settings, text).iter().filter_map(|gram| self.rows.get(gram)) {
            *counts.entry(*row).or_default() += 1;
        }
        let value = |row: usize, count: u32| {
            let count = if self.settings.binary { 1.0 } else { f64::from(count) };
            let frequency = if self.settings.sublinear_tf { count.ln() + 1.0 } else { count };
            frequency * self.idf.get(row).map_or(1.0, |&idf| f64::from(idf))
        };
        let values: Vec<(usize, f64)> = counts.iter().map(|(&row, &count)| (row, value(row, count))).collect();
        let length = match self.settings.norm {
            Norm::None => 1.0,
            Norm::L1 => values.iter().map(|(_, value)| value.abs()).sum(),
            Norm::L2 => values.iter().map(|(_, value)| value * value).sum::<f64>().sqrt(),
        };
        let length = if length == 0.0 { 1.0 } else { length };
        let classes = self.intercept.len();
        let weight = |row: usize, class: usize| f64::from(self.weights[row * classes + class]);
        let decisions = (0..classes).map(|class| {
            let sum: f64 = values.iter().map(|&(row, value)| value * weight(row, class)).sum();
            sum / length + f64::from(self.intercept[class])
        });
        let largest = values.iter().map(|(_, value)| value.abs()).sum::<f64>() / length;
        (decisions.collect(), largest, !counts.is_empty())
    }
}
