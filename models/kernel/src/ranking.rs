//! From the probabilities of one text to its labels and its ranked classes.

/// Probabilities are told with so many decimals; see `models.ranking`.
const SCALE: f64 = 1e6;

/// The classes of one text, most probable first; equal ones in the order of their columns.
pub struct Ranking<'a> {
    probabilities: &'a [f32],
    thresholds: &'a [f32],
    order: Vec<usize>,
    best: bool,
}

impl<'a> Ranking<'a> {
    /// `best`: when no class reaches its threshold, the most probable one is a label all the same.
    #[must_use]
    pub fn new(probabilities: &'a [f32], thresholds: &'a [f32], best: bool) -> Self {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|&left, &right| probabilities[right].total_cmp(&probabilities[left]));
        let none = !probabilities.iter().zip(thresholds).any(|(probability, threshold)| probability >= threshold);
        Self { probabilities, thresholds, order, best: best && none }
    }

    /// The columns of its labels.
    pub fn labels(&self) -> impl Iterator<Item = usize> {
        let best = self.order.iter().take(usize::from(self.best));
        let reached = self.order.iter().filter(|&&column| self.probabilities[column] >= self.thresholds[column]);
        best.chain(reached).copied()
    }

    /// All columns, with their probabilities as they are told.
    pub fn classes(&self) -> impl Iterator<Item = (usize, f64)> {
        self.order.iter().map(|&column| (column, rounded(self.probabilities[column])))
    }
}

/// As `numpy.round` rounds: half a unit goes to the even neighbour, of the product that it comes to.
fn rounded(probability: f32) -> f64 {
    (f64::from(probability) * SCALE).round_ties_even() / SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ranked_and_rounded() {
        let ranking = Ranking::new(&[0.25, 0.5, 0.25, 0.123_456_78], &[0.25, 0.6, 0.3, 0.0], false);
        assert_eq!(ranking.labels().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(ranking.classes().collect::<Vec<_>>(), [(1, 0.5), (0, 0.25), (2, 0.25), (3, 0.123_457)]);
    }

    #[test]
    fn the_best_one_counts_only_when_none_is_reached() {
        let best = |threshold| Ranking::new(&[0.1, 0.4], &[threshold; 2], true).labels().collect::<Vec<_>>();
        assert_eq!(best(0.5), [1]);
        assert_eq!(best(0.05), [1, 0]);
        assert_eq!(Ranking::new(&[0.1, 0.4], &[0.5; 2], false).labels().count(), 0);
    }
}
