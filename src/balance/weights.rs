//! Drawing by weight: a Fenwick tree (Fenwick 1994) over weights by backend index, all O(log n).

/// Weights by index; 0 for those that cannot be drawn.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// By index.
    weights: Vec<u64>,
    /// `tree[k]` is the sum of the `k & -k` weights that end with weight `k - 1`; `tree[0]` unused.
    tree: Vec<u64>,
    total: u64,
}

impl Weights {
    /// Makes room for `index`.
    pub(super) fn grow(&mut self, index: usize) {
        if index >= self.weights.len() {
            self.weights.resize((index + 1).next_power_of_two(), 0);
            let old = std::mem::take(&mut self.weights);
            *self = Weights { tree: vec![0; old.len() + 1], weights: vec![0; old.len()], total: 0 };
            for (index, weight) in old.into_iter().enumerate() {
                self.set(index, weight);
            }
        }
    }

    /// Gives `index`, for which there is room, this weight.
    pub(super) fn set(&mut self, index: usize, weight: u64) {
        let old = std::mem::replace(&mut self.weights[index], weight);
        self.total = self.total - old + weight;
        let mut node = index + 1;
        while node < self.tree.len() {
            self.tree[node] = self.tree[node] - old + weight;
            node += node & node.wrapping_neg();
        }
    }

    /// The weight of `index`.
    pub(super) fn of(&self, index: usize) -> u64 {
        self.weights[index]
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The sum of the weights before `index`.
    pub(super) fn before(&self, index: usize) -> u64 {
        let mut node = index;
        let mut sum = 0;
        while node > 0 {
            sum += self.tree[node];
            node &= node - 1;
        }
        sum
    }

    /// The index whose share of `0..total` holds `point`.
    pub(super) fn at(&self, mut point: u64) -> usize {
        debug_assert!(point < self.total);
        let mut index = 0;
        let mut span = self.weights.len();
        while span > 0 {
            if index + span < self.tree.len() && self.tree[index + span] <= point {
                index += span;
                point -= self.tree[index];
            }
            span /= 2;
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_belongs_to_the_index_that_covers_it() {
        let mut weights = Weights::default();
        let given = [3, 0, 1, 7, 0, 2];
        for (index, &weight) in given.iter().enumerate() {
            weights.grow(index);
            weights.set(index, weight);
        }
        let mut point = 0;
        for (index, &weight) in given.iter().enumerate() {
            assert_eq!(weights.before(index), point);
            for _ in 0..weight {
                assert_eq!(weights.at(point), index, "point {point}");
                point += 1;
            }
        }
        assert_eq!(weights.total(), point);
    }
}
