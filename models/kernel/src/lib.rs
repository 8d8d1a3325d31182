//! The native scorer of clf: from a text to the decisions of a linear model in one pass.
//!
//! A text becomes codes (`text.rs`: lower-cased, separators between words), the codes become nodes (`scan.rs`, found in
//! the index of `index.rs`), and the counts of the nodes that are terms become decisions (`score.rs`). scikit-learn's
//! `TfidfVectorizer` and a linear model are the specification; `models/reference.py` is the slow twin.

mod bounds;
mod builder;
mod characters;
mod hash;
mod index;
mod kernel;
mod perfect;
#[cfg(feature = "python")]
mod python;
mod ranking;
mod raw;
mod scan;
mod score;
mod settings;
mod text;

use std::fmt;

pub use builder::build_index;
pub use kernel::{Arrays, Kernel, Scores};
pub use ranking::Ranking;
pub use raw::Simd;
pub use settings::{Analyzer, Norm, Settings};
pub use text::Text;

/// Arrays or settings that no kernel can be made of; what is wrong with them, as half a sentence.
#[derive(Debug)]
pub struct Invalid(&'static str);

impl Invalid {
    pub(crate) fn new(what: &'static str) -> Self {
        Self(what)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}
