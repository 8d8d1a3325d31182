//! The native scorer of clf: from a text to the decisions of a linear model in one pass.

#[cfg(feature = "python")]
mod python;
