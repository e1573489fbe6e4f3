//! An indexed binary heap: the least key first, any member's key changed or removed in O(log n).

use super::slot::slot;

/// Members are backend indices; equal keys come in index order, so that the order is total.
#[derive(Debug)]
pub(super) struct Heap<K> {
    nodes: Vec<(K, usize)>,
    /// Per index: one more than its place in `nodes`; 0 for those not in.
    places: Vec<usize>,
}

impl<K> Default for Heap<K> {
    fn default() -> Heap<K> {
        Heap { nodes: Vec::new(), places: Vec::new() }
    }
}

impl<K: Ord + Copy> Heap<K> {
    /// Whether `index` is a member.
    pub(super) fn contains(&self, index: usize) -> bool {
        self.places.get(index).is_some_and(|&place| place > 0)
    }

    /// The member with the least key.
    pub(super) fn least(&self) -> Option<usize> {
        self.nodes.first().map(|&(_, index)| index)
    }

    /// Gives `index` this key, making it a member if it is none.
    pub(super) fn set(&mut self, index: usize, key: K) {
        let place = match *slot(&mut self.places, index) {
            0 => {
                self.nodes.push((key, index));
                self.nodes.len() - 1
            }
            place => {
                self.nodes[place - 1].0 = key;
                place - 1
            }
        };
        self.settle(place);
    }

    /// Gives a member this key; for others nothing happens.
    pub(super) fn update(&mut self, index: usize, key: K) {
        if self.contains(index) {
            self.set(index, key);
        }
    }

    /// Gives the least member another key that is no less: cheaper than [`Heap::set`].
    pub(super) fn raise_least(&mut self, key: K) {
        if let Some(least) = self.nodes.first_mut() {
            least.0 = key;
            self.sink(0);
        }
    }

    /// Takes `index` out, if it is a member.
    pub(super) fn remove(&mut self, index: usize) {
        if self.contains(index) {
            let place = self.places[index] - 1;
            self.places[index] = 0;
            self.nodes.swap_remove(place);
            if place < self.nodes.len() {
                self.settle(place);
            }
        }
    }

    /// Moves the node at `place`, whose key is new, to where it belongs.
    #[inline]
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.before(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        self.sink(place);
    }

    /// The same for one whose key is no less than before.
    #[inline]
    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            if left >= self.nodes.len() {
                break;
            }
            let right = left + 1;
            let right_first = right < self.nodes.len() && self.before(right, left);
            let child = if right_first { right } else { left };
            if !self.before(child, place) {
                break;
            }
            self.swap(place, child);
            place = child;
        }
        self.places[self.nodes[place].1] = place + 1;
    }

    fn before(&self, a: usize, b: usize) -> bool {
        self.nodes[a] < self.nodes[b]
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.nodes.swap(a, b);
        self.places[self.nodes[a].1] = a + 1;
        self.places[self.nodes[b].1] = b + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_sorted_map_over_random_changes() {
        let mut rng = Rng::new(3);
        let (mut heap, mut model) = (Heap::default(), BTreeMap::new());
        for _ in 0..20_000 {
            let index = rng.below(40) as usize;
            let key = rng.below(20);
            match rng.below(4) {
                3 => {
                    let least = model.iter().map(|(&index, &key)| (key, index)).min();
                    if let Some((least, index)) = least {
                        heap.raise_least(least + key);
                        model.insert(index, least + key);
                    }
                }
                0 => {
                    heap.remove(index);
                    model.remove(&index);
                }
                1 => {
                    heap.update(index, key);
                    model.entry(index).and_modify(|old| *old = key);
                }
                _ => {
                    heap.set(index, key);
                    model.insert(index, key);
                }
            }
            let least = model.iter().map(|(&index, &key)| (key, index)).min();
            assert_eq!(heap.least(), least.map(|(_, index)| index));
            assert_eq!(heap.contains(index), model.contains_key(&index));
        }
    }
}
