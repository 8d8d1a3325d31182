//! How a text becomes term counts and weights: scikit-learn's settings, with its names.

/// What the n-grams are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Analyzer {
    /// Runs of words, joined by a space.
    Word,
    /// Runs of characters.
    Char,
    /// Runs of characters within words that are padded with a space on both sides.
    CharWb,
}

/// What a document's weights are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Nothing.
    None,
    /// The sum of their absolute values.
    L1,
    /// The root of the sum of their squares.
    L2,
}

/// All settings; see scikit-learn's `TfidfVectorizer` for those of the same name.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the n-grams are made of.
    pub analyzer: Analyzer,
    /// The shortest n-gram, 1 or more.
    pub min_n: usize,
    /// The longest n-gram, `min_n` or more.
    pub max_n: usize,
    /// Shorter words are no tokens.
    pub min_chars: usize,
    /// Longer words are cut to that many characters; 0 leaves them whole.
    pub max_chars: usize,
    /// Whether texts are lower-cased first.
    pub lowercase: bool,
    /// Words that are taken out before n-grams are formed.
    pub stop_words: Vec<String>,
    /// 1 + ln(count) instead of the count.
    pub sublinear_tf: bool,
    /// 1 instead of the count.
    pub binary: bool,
    /// What a document's weights are divided by.
    pub norm: Norm,
}

impl Settings {
    /// A number that differs when an index built with other settings would give other terms.
    pub(crate) fn fingerprint(&self) -> u64 {
        let analyzer = match self.analyzer {
            Analyzer::Word => 0,
            Analyzer::Char => 1,
            Analyzer::CharWb => 2,
        };
        let numbers = [analyzer, self.min_n as u64, self.max_n as u64, self.min_chars as u64, self.max_chars as u64];
        let words = self.stop_words.iter().map(|word| crate::hash::of_bytes(word.as_bytes(), 1));
        numbers.into_iter().chain(words).fold(0, |all, one| crate::hash::of_pair(all, one, 2))
    }
}
