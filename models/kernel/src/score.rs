//! From the terms of a document to its decisions and probabilities.

use crate::raw::{self, Simd};
use crate::settings::{Norm, Settings};

/// Counts up to that one have their logarithm in a table.
const LOGARITHMS: usize = 64;
/// How many rows ahead the weights are asked for.
const AHEAD: usize = 64;
const LINE_FLOATS: usize = 16;
/// Weights of that many classes are asked for before the norm is known, those of others when they are summed.
const MOST_AHEAD: usize = 128;
/// How many rows are summed in single precision.
const GROUP: usize = 16;

/// How often each term occurs in one document.
pub(crate) struct Counts {
    /// One number per term, and one more that stands for all nodes that are no terms and is never 0.
    counts: Vec<u32>,
    /// The terms that occur, in order of their first occurrence; only the first `found` are in use.
    rows: Vec<u32>,
    found: usize,
}

impl Counts {
    pub(crate) fn new(terms: usize) -> Self {
        let mut counts = vec![0; terms + 1];
        counts[terms] = 1;
        Self { counts, rows: Vec::new(), found: 0 }
    }

    /// Make room for `more` occurrences.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, more: usize) {
        // One more, because every occurrence writes and only new terms keep what was written.
        let needed = (self.found + more).min(self.counts.len()) + 1;
        if self.rows.len() < needed {
            self.rows.resize(needed.next_power_of_two(), 0);
        }
    }

    /// Where a node is counted. The count is on its way into the cache when this returns.
    #[inline(always)]
    pub(crate) fn find(&self, node: u32) -> u32 {
        let row = node.min(self.counts.len() as u32 - 1);
        raw::prefetch(&self.counts, row as usize);
        row
    }

    /// Count one occurrence; there is room for it. Whether the row is that of a term makes no branch.
    #[inline(always)]
    pub(crate) fn add(&mut self, row: u32) {
        let count = &mut self.counts[row as usize];
        self.rows[self.found] = row;
        self.found += usize::from(*count == 0);
        // The number of the others must not come round to 0.
        *count = count.saturating_add(1);
    }

    fn clear(&mut self) {
        for &row in &self.rows[..self.found] {
            self.counts[row as usize] = 0;
        }
        self.found = 0;
    }
}

/// What turns counts into decisions; k classes, n terms.
pub(crate) struct Weights<'a> {
    pub(crate) simd: Simd,
    /// (n,), or empty when every term weighs 1.
    pub(crate) idf: &'a [f32],
    /// (n, k)
    pub(crate) weights: &'a [f32],
    /// (k,)
    pub(crate) intercept: &'a [f32],
}

/// Room for the weights of one document's terms, before and after the norm, and for the sums of its classes.
#[derive(Default)]
pub(crate) struct Values {
    exact: Vec<f64>,
    values: Vec<f32>,
    sums: Vec<f64>,
}

/// ln(count) + 1 for small counts.
pub(crate) struct Logarithms([f64; LOGARITHMS]);

impl Logarithms {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|count| f64::from(count.max(1) as u32).ln() + 1.0))
    }

    #[inline(always)]
    fn of(&self, count: u32) -> f64 {
        self.0.get(count as usize).copied().unwrap_or_else(|| f64::from(count).ln() + 1.0)
    }
}

impl Weights<'_> {
    /// Write the decisions of one document and forget its counts. Returns whether it had a term at all.
    pub(crate) fn decide(
        &self,
        settings: &Settings,
        logarithms: &Logarithms,
        counts: &mut Counts,
        room: &mut Values,
        decisions: &mut [f32],
    ) -> bool {
        let rows = &counts.rows[..counts.found];
        room.exact.clear();
        if settings.binary {
            // scikit-learn sets counts to 1 first, and 1 + ln(1) is 1.
            self.weigh(rows, |_| 1.0, &mut room.exact);
        } else if settings.sublinear_tf {
            self.weigh(rows, |row| logarithms.of(counts.counts[row as usize]), &mut room.exact);
        } else {
            self.weigh(rows, |row| f64::from(counts.counts[row as usize]), &mut room.exact);
        }
        let scale = 1.0 / norm(&room.exact, settings.norm);
        room.values.clear();
        room.values.extend(room.exact.iter().map(|value| (value * scale) as f32));
        room.sums.clear();
        room.sums.resize(decisions.len(), 0.0);
        raw::accumulate_rows(self.simd, self.weights, rows, &room.values, &mut room.sums);
        for ((decision, sum), intercept) in decisions.iter_mut().zip(&room.sums).zip(self.intercept) {
            *decision = (sum + f64::from(*intercept)) as f32;
        }
        let known = counts.found > 0;
        counts.clear();
        known
    }

    /// Append what each term weighs before the norm: its frequency times its idf.
    #[inline(always)]
    fn weigh(&self, rows: &[u32], frequency: impl Fn(u32) -> f64, values: &mut Vec<f64>) {
        for &row in rows.iter().take(AHEAD) {
            self.ask_for(row);
        }
        values.extend(rows.iter().enumerate().map(|(at, &row)| {
            if let Some(&ahead) = rows.get(at + AHEAD) {
                self.ask_for(ahead);
            }
            frequency(row) * if self.idf.is_empty() { 1.0 } else { f64::from(self.idf[row as usize]) }
        }));
    }

    /// Have the idf and the first weights of a term brought into the cache.
    #[inline(always)]
    fn ask_for(&self, row: u32) {
        let classes = self.intercept.len();
        let first = row as usize * classes;
        raw::prefetch(self.idf, row as usize);
        for line in (0..classes.min(MOST_AHEAD)).step_by(LINE_FLOATS) {
            raw::prefetch(self.weights, first + line);
        }
        raw::prefetch(self.weights, first + classes.min(MOST_AHEAD) - 1);
    }
}

/// The length of a document's weights; never 0.
fn norm(values: &[f64], norm: Norm) -> f64 {
    let length = match norm {
        Norm::None => 1.0,
        Norm::L1 => values.iter().map(|value| value.abs()).sum(),
        Norm::L2 => values.iter().map(|value| value * value).sum::<f64>().sqrt(),
    };
    if length == 0.0 { 1.0 } else { length }
}

/// Add `values[i] * weights[rows[i]]` to `sums` for every i, in order.
///
/// Every class is summed in a lane of its own and no product is fused, so all processors get the same bits. A few rows
/// at a time are summed in single precision, which is quick; all in single precision, long documents would be off by
/// 4e-5.
#[inline(always)]
pub(crate) fn accumulate(weights: &[f32], rows: &[u32], values: &[f32], sums: &mut [f64]) {
    let classes = sums.len();
    let mut first = 0;
    macro_rules! blocks {
        ($($lanes:literal)*) => {$(
            while classes - first >= $lanes {
                accumulate_block::<$lanes>(weights, rows, values, classes, first, sums);
                first += $lanes;
            }
        )*};
    }
    blocks!(64 32 16 12 10 8 7 6 5 4 3 2 1);
}

#[inline(always)]
fn accumulate_block<const LANES: usize>(
    weights: &[f32],
    rows: &[u32],
    values: &[f32],
    classes: usize,
    first: usize,
    sums: &mut [f64],
) {
    let Some(sums) = sums[first..].first_chunk_mut::<LANES>() else { return };
    for (number, (group, values)) in rows.chunks(GROUP).zip(values.chunks(GROUP)).enumerate() {
        let mut lanes = [0.0_f32; LANES];
        for (at, (&row, &value)) in group.iter().zip(values).enumerate() {
            if classes > MOST_AHEAD
                && let Some(&ahead) = rows.get(number * GROUP + at + AHEAD)
            {
                for line in (0..LANES).step_by(LINE_FLOATS) {
                    raw::prefetch(weights, ahead as usize * classes + first + line);
                }
            }
            let Some(row) = weights[row as usize * classes + first..].first_chunk::<LANES>() else { return };
            for (lane, weight) in lanes.iter_mut().zip(row) {
                *lane += value * weight;
            }
        }
        for (sum, lane) in sums.iter_mut().zip(lanes) {
            *sum += f64::from(lane);
        }
    }
}

/// Platt's sigmoid, 1 / (1 + exp(slope * decision + intercept)), for rows of as many decisions as there are slopes.
#[inline(always)]
pub(crate) fn probabilities(decisions: &[f32], slope: &[f64], intercept: &[f64], out: &mut [f32]) {
    let classes = slope.len();
    for (decisions, out) in decisions.chunks_exact(classes).zip(out.chunks_exact_mut(classes)) {
        for (((decision, slope), intercept), out) in decisions.iter().zip(slope).zip(intercept).zip(out) {
            *out = (1.0 / (1.0 + exp(f64::from(*decision) * slope + intercept))) as f32;
        }
    }
}

/// e to the power of x, to about one unit in the 14th digit; x beyond 700 counts as 700.
///
/// Written without branches, so that the compiler makes vector instructions of it: x = n ln 2 + r, and exp(r) by its
/// Taylor series up to r^11 (|r| is at most 0.35); W. J. Cody, W. Waite: "Software Manual for the Elementary
/// Functions", 1980, chapter 6.
#[inline(always)]
#[expect(
    clippy::excessive_precision,
    reason = "the high part is exact in 32 bits, and the low part is what is missing"
)]
fn exp(x: f64) -> f64 {
    const LIMIT: f64 = 700.0;
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52: adding it leaves the nearest integer in the low bits
    const LN2_HIGH: f64 = 6.931_471_803_691_238_16e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_70e-10;
    /// 1 / n!
    const SERIES: [f64; 12] = {
        let mut series = [1.0; 12];
        let (mut n, mut divisor) = (1, 1.0);
        while n < series.len() {
            series[n] = series[n - 1] / divisor;
            divisor += 1.0;
            n += 1;
        }
        series
    };
    let x = x.clamp(-LIMIT, LIMIT);
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = (x - whole * LN2_HIGH) - whole * LN2_LOW;
    let series = SERIES.iter().rev().fold(0.0, |sum, coefficient| sum * r + coefficient);
    let power = shifted.to_bits().wrapping_add(1023) << 52;
    series * f64::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_that_of_the_standard_library() {
        for step in (-70_000..=70_000).step_by(if cfg!(miri) { 1000 } else { 1 }) {
            let x = f64::from(step) / 100.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "{x}");
        }
        assert!(exp(1e300).is_finite() && exp(-1e300) > 0.0);
    }
}
