//! Tables by backend index that grow as backends are added.

/// The entry of `index` in a table that grows as backends are added.
pub(super) fn slot<T: Default + Clone>(table: &mut Vec<T>, index: usize) -> &mut T {
    if table.len() <= index {
        table.resize(index + 1, T::default());
    }
    &mut table[index]
}
