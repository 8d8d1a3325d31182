//! The scorer: texts in, decisions and probabilities out.

use std::sync::{Mutex, PoisonError};

use crate::characters::Characters;
use crate::index::{Index, View};
use crate::raw::{self, Simd};
use crate::score::{Counts, Logarithms, Values, Weights};
use crate::settings::{Analyzer, Settings};
use crate::text::{self, SEPARATOR, Spaced, Text, Unit};
use crate::{Invalid, scan};

/// A text is read in pieces of that many characters, so that its length does not decide how much memory it takes.
const PIECE: usize = 1 << 15;
/// No setting needs larger numbers, and sums and products of smaller ones do not overflow.
const MOST: usize = 1 << 12;
/// Codes of an unfinished word that are kept when a piece ends within it: more than any term has.
const KEPT: usize = 64;

/// The arrays of a model; n terms, k classes. They may be mapped files: nothing in them is believed.
#[derive(Clone, Copy)]
pub struct Arrays<'a> {
    /// What `build_index` gave.
    pub index: &'a [u64],
    /// (n,), or empty when every term weighs 1.
    pub idf: &'a [f32],
    /// (n, k)
    pub weights: &'a [f32],
    /// (k,)
    pub intercept: &'a [f32],
}

/// What a kernel computes and keeps of a model; the arrays themselves stay with the caller.
pub struct Kernel {
    settings: Settings,
    characters: Characters,
    index: Index,
    logarithms: Logarithms,
    slope: Vec<f64>,
    offset: Vec<f64>,
    simd: Simd,
    piece: usize,
    idle: Mutex<Vec<Scratch>>,
}

/// What a batch has become; one row per text.
#[derive(Default)]
pub struct Scores {
    /// (texts, k)
    pub decisions: Vec<f32>,
    /// (texts, k)
    pub probabilities: Vec<f32>,
    /// (texts,): 1 where the text has a term.
    pub known: Vec<u8>,
}

/// Memory that one thread works in; kept from call to call.
struct Scratch {
    counts: Counts,
    values: Values,
    codes: Vec<u8>,
    bounds: Vec<u32>,
    tokens: Vec<u32>,
    left: Vec<u32>,
    begins: Vec<u32>,
}

impl Kernel {
    /// Check that everything fits together.
    ///
    /// `slope` and `offset` (k,) are Platt's: probability = 1 / (1 + exp(slope * decision + offset)).
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn new(
        settings: Settings,
        characters: &[u32],
        arrays: Arrays<'_>,
        slope: Vec<f64>,
        offset: Vec<f64>,
        simd: Simd,
    ) -> Result<Self, Invalid> {
        if settings.min_n == 0 || settings.min_n > settings.max_n || settings.min_chars == 0 {
            return Err(Invalid::new("the n-gram range is empty"));
        }
        if settings.max_chars > 0 && settings.max_chars < settings.min_chars {
            return Err(Invalid::new("words are cut to less than a token"));
        }
        if settings.max_n.max(settings.min_chars).max(settings.max_chars) > MOST {
            return Err(Invalid::new("the settings are beyond all measure"));
        }
        let index = Index::parse(arrays.index, &settings)?;
        let classes = arrays.intercept.len();
        let fits = classes > 0
            && slope.len() == classes
            && offset.len() == classes
            && index.terms.checked_mul(classes) == Some(arrays.weights.len())
            && (arrays.idf.is_empty() || arrays.idf.len() == index.terms);
        if !fits {
            return Err(Invalid::new("the arrays of the model do not fit each other"));
        }
        let characters = Characters::parse(characters, settings.lowercase)?;
        let logarithms = Logarithms::new();
        Ok(Self { settings, characters, index, logarithms, slope, offset, simd, piece: PIECE, idle: Mutex::default() })
    }

    /// The same kernel with other instructions, that reads texts in pieces of so many characters; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn varied(self, simd: Simd, piece: usize) -> Self {
        Self { simd, piece: piece.max(1), ..self }
    }

    /// How many classes there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.slope.len()
    }

    /// Which instructions it uses.
    #[must_use]
    pub fn simd(&self) -> Simd {
        self.simd
    }

    /// Score `texts` with the arrays that `new` was given. Any number of threads may do so at once.
    ///
    /// # Panics
    ///
    /// The arrays are not those that `new` was given.
    #[must_use]
    pub fn score(&self, arrays: Arrays<'_>, texts: &[Text<'_>]) -> Scores {
        let classes = self.classes();
        let mut scores = Scores {
            decisions: vec![0.0; texts.len() * classes],
            probabilities: vec![0.0; texts.len() * classes],
            known: Vec::with_capacity(texts.len()),
        };
        let view = self.index.view(arrays.index);
        let weights =
            Weights { simd: self.simd, idf: arrays.idf, weights: arrays.weights, intercept: arrays.intercept };
        let mut scratch = self.take_scratch();
        for (text, decisions) in texts.iter().zip(scores.decisions.chunks_exact_mut(classes)) {
            match *text {
                Text::Latin1(units) => self.count(&view, units, &mut scratch),
                Text::Ucs2(units) => self.count(&view, units, &mut scratch),
                Text::Ucs4(units) => self.count(&view, units, &mut scratch),
            }
            let Scratch { counts, values, .. } = &mut scratch;
            let known = weights.decide(&self.settings, &self.logarithms, counts, values, decisions);
            scores.known.push(u8::from(known));
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        raw::calibrate(self.simd, &scores.decisions, &self.slope, &self.offset, &mut scores.probabilities);
        scores
    }

    fn take_scratch(&self) -> Scratch {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Scratch {
            counts: Counts::new(self.index.terms),
            values: Values::default(),
            codes: Vec::new(),
            bounds: Vec::new(),
            tokens: Vec::new(),
            left: Vec::new(),
            begins: Vec::new(),
        })
    }

    fn count<U: Unit>(&self, view: &View<'_>, text: &[U], scratch: &mut Scratch) {
        scratch.codes.clear();
        scratch.tokens.clear();
        match self.settings.analyzer {
            Analyzer::Word => self.count_words(view, text, scratch),
            Analyzer::Char => self.count_characters(view, text, false, scratch),
            Analyzer::CharWb => self.count_characters(view, text, true, scratch),
        }
    }

    fn count_words<U: Unit>(&self, view: &View<'_>, text: &[U], scratch: &mut Scratch) {
        let Scratch { counts, codes, bounds, tokens, left, .. } = scratch;
        // An unfinished word that was left by the piece before may have other characters.
        let mut ascii_rest = true;
        for start in (0..text.len()).step_by(self.piece) {
            let end = text.len().min(start + self.piece);
            let ascii = text::words(self.simd, &self.characters, self.settings.lowercase, text, start, end, codes);
            let ascii = ascii & ascii_rest;
            let complete = if end == text.len() {
                codes.push(SEPARATOR);
                codes.len()
            } else {
                codes.iter().rposition(|&code| code == SEPARATOR).map_or(0, |at| at + 1)
            };
            let rest = codes.len() - complete;
            codes.resize(codes.len() + scan::PADDING, SEPARATOR);
            bounds.clear();
            raw::boundaries(self.simd, &codes[..complete], bounds);
            counts.reserve(bounds.len() / 2);
            if self.settings.max_chars > 0 {
                scan::cut(codes, bounds, self.settings.max_chars);
            }
            if self.settings.max_n == 1 {
                scan::single_words(view, codes, bounds, counts);
            } else {
                let done = tokens.len();
                scan::tokens(view, &self.settings, codes, ascii, bounds, tokens);
                counts.reserve(tokens.len() * self.settings.max_n);
                scan::runs(view, &self.settings, tokens, done, left, counts);
                let keep = tokens.len().min(self.settings.max_n - 1);
                tokens.drain(..tokens.len() - keep);
            }
            self.keep(codes, complete, rest);
            ascii_rest = ascii | codes.is_empty();
        }
    }

    /// Leave nothing but the unfinished word in `codes`, and of that no more than is needed to see that it is too long.
    fn keep(&self, codes: &mut Vec<u8>, complete: usize, rest: usize) {
        let enough = KEPT.max(self.index.longest).max(4 * self.settings.max_chars.max(self.settings.min_chars)) + KEPT;
        codes.truncate(complete + rest.min(enough));
        codes.drain(..complete);
    }

    fn count_characters<U: Unit>(&self, view: &View<'_>, text: &[U], pad: bool, scratch: &mut Scratch) {
        let Scratch { counts, codes, begins, .. } = scratch;
        let mut spaced = Spaced::new(pad);
        for start in (0..text.len()).step_by(self.piece) {
            let end = text.len().min(start + self.piece);
            spaced.push_text(&self.characters, text, start, end, codes);
            let at_end = end == text.len();
            if at_end {
                spaced.finish(codes);
            }
            let mut done = 0;
            if pad {
                while let Some(length) = codes[done..].iter().position(|&code| code == SEPARATOR) {
                    let word = &codes[done..done + length];
                    scan::character_runs(view, &self.settings, word, true, true, begins, counts);
                    done += length + 1;
                }
            }
            // Padded words all end with a separator, so what is left here is an unfinished one.
            let last = at_end && !pad;
            done += scan::character_runs(view, &self.settings, &codes[done..], last, false, begins, counts);
            codes.drain(..done);
        }
    }
}
