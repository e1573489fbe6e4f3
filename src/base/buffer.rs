//! Buffers between sockets, which own storage only while they hold bytes, and the pool of storage.

/// Size in bytes of the storage a socket is read into. It must hold the longest head and its
/// growth. With 16 KiB, a response of 16 KiB and its head took two reads and two writes: 1.7 times
/// the time of the C forwarder in `stress/`, instead of 1.1.
pub const LARGE_BYTES: usize = 32 * 1024;

/// Sizes in bytes of storage. What waits holds the smallest its bytes fit into: most request heads
/// fit into 1 KiB, a browser's with its cookies into 4.
pub const CLASS_BYTES: [usize; CLASSES] = [1024, 4096, LARGE_BYTES];

const CLASSES: usize = 3;

/// The class that sockets are read into.
const LARGE: usize = CLASSES - 1;

/// Most unused storages of each class that are kept for reuse, 4 MiB in all; further ones are
/// freed. Requests that wait at the same time need a small one each, but most buffers need a large
/// one only during a step.
const SPARE_MAX: [usize; CLASSES] = [1024, 256, 64];

/// The same after a peak is over (see [`Pool::trim`]), 0.6 MiB in all.
const TRIMMED_MAX: usize = 16;

/// Reusable storage of all classes. Last in, first out, as what was used last is in the CPU cache.
/// Storage is zeroed only when it is allocated.
#[derive(Debug, Default)]
pub struct Pool {
    spare: [Vec<Box<[u8]>>; CLASSES],
    /// Storages of each class that buffers own.
    lent: [usize; CLASSES],
}

impl Pool {
    /// Most bytes that are kept for reuse.
    pub const SPARE_BYTES_MAX: usize = {
        let ([small, medium, large], bytes) = (SPARE_MAX, CLASS_BYTES);
        small * bytes[0] + medium * bytes[1] + large * bytes[2]
    };

    /// An empty pool; allocates nothing.
    pub const fn new() -> Pool {
        Pool { spare: [const { Vec::new() }; CLASSES], lent: [0; CLASSES] }
    }

    /// Number of storages that buffers own.
    pub fn in_use(&self) -> usize {
        self.lent.iter().sum()
    }

    /// Size of the storages that buffers own.
    #[inline]
    pub fn bytes_in_use(&self) -> usize {
        self.lent.iter().zip(CLASS_BYTES).map(|(count, bytes)| count * bytes).sum()
    }

    /// Size of the storages that are kept for reuse.
    pub fn spare_bytes(&self) -> usize {
        self.spare.iter().flatten().map(|storage| storage.len()).sum()
    }

    #[inline]
    fn take(&mut self, class: usize) -> Box<[u8]> {
        self.lent[class] += 1;
        let spare = self.spare[class].pop();
        spare.unwrap_or_else(|| allocate(class))
    }

    #[inline]
    fn put_back(&mut self, storage: Box<[u8]>) {
        let class = match storage.len() {
            LARGE_BYTES => LARGE,
            other => class_for(other),
        };
        self.lent[class] -= 1;
        let spare = &mut self.spare[class];
        match spare.len() < spare.capacity().min(SPARE_MAX[class]) {
            true => spare.push(storage),
            false => keep_one_more(spare, SPARE_MAX[class], storage),
        }
    }

    /// Frees what a peak has left: few storages of each class stay for reuse.
    pub fn trim(&mut self) {
        for spare in &mut self.spare {
            spare.truncate(TRIMMED_MAX);
            spare.shrink_to_fit();
        }
    }
}

/// The rare case in which there is no place for it among the spare ones.
#[cold]
#[inline(never)]
fn keep_one_more(spare: &mut Vec<Box<[u8]>>, most: usize, storage: Box<[u8]>) {
    if spare.len() < most {
        spare.push(storage);
    }
}

#[cold]
#[inline(never)]
fn allocate(class: usize) -> Box<[u8]> {
    vec![0; CLASS_BYTES[class]].into_boxed_slice()
}

/// The smallest class that holds so many bytes.
fn class_for(bytes: usize) -> usize {
    CLASS_BYTES[..LARGE].iter().map(|&size| usize::from(bytes > size)).sum()
}

/// A queue of at most [`LARGE_BYTES`] bytes.
///
/// Cursors: `start <= read <= end <= storage.len()`. The bytes between `start` and `read` were
/// consumed, and are kept while the buffer is held, to be read again ([`Buffer::rewind`]).
#[derive(Debug, Default)]
pub struct Buffer {
    /// Empty while it holds no byte.
    storage: Box<[u8]>,
    start: u32,
    read: u32,
    end: u32,
    /// Consumed bytes are kept. No protocol state: it only changes what `consume` does.
    held: bool,
}

impl Buffer {
    /// An empty buffer without storage.
    pub fn new() -> Buffer {
        Buffer::default()
    }

    /// The bytes not yet consumed.
    pub fn data(&self) -> &[u8] {
        &self.storage[self.read as usize..self.end as usize]
    }

    /// Whether there are no bytes to consume.
    pub fn is_empty(&self) -> bool {
        self.read == self.end
    }

    /// Whether there are no bytes at all, not even held ones, so that no storage is needed.
    pub fn is_vacant(&self) -> bool {
        self.start == self.end
    }

    /// Number of bytes that can still be added.
    pub fn room(&self) -> usize {
        LARGE_BYTES - (self.end - self.start) as usize
    }

    /// Consumes the first `count` bytes of [`Buffer::data`]; panics if there are fewer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= (self.end - self.read) as usize, "consumed more than there was");
        self.read += count as u32;
        if !self.held {
            self.start = self.read;
        }
    }

    /// Keeps what is consumed from now on.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Whether everything consumed since [`Buffer::hold`] is still kept.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// All bytes since [`Buffer::hold`], consumed or not.
    pub fn held(&self) -> &[u8] {
        &self.storage[self.start as usize..self.end as usize]
    }

    /// Drops the consumed bytes and stops holding.
    pub fn release(&mut self) {
        self.held = false;
        self.start = self.read;
    }

    /// Goes back to the first held byte; panics unless the buffer is held.
    pub fn rewind(&mut self) {
        assert!(self.held, "rewound a buffer that did not hold");
        self.read = self.start;
    }

    /// Drops all bytes and returns the storage.
    pub fn clear(&mut self, pool: &mut Pool) {
        self.free_storage(pool);
        self.held = false;
    }

    /// All free space, contiguous, after the kept bytes. After writing to it, call
    /// [`Buffer::filled`].
    #[inline]
    pub fn space(&mut self, pool: &mut Pool) -> &mut [u8] {
        match self.storage.len() {
            0 => self.storage = pool.take(LARGE),
            LARGE_BYTES if self.start > 0 => self.move_to_front(),
            LARGE_BYTES => {}
            _ => self.grow(pool),
        }
        &mut self.storage[self.end as usize..]
    }

    #[inline(never)]
    fn grow(&mut self, pool: &mut Pool) {
        let large = pool.take(LARGE);
        self.move_to(large, pool);
    }

    #[inline(never)]
    fn move_to_front(&mut self) {
        self.storage.copy_within(self.start as usize..self.end as usize, 0);
        self.rebase();
    }

    fn move_to(&mut self, mut storage: Box<[u8]>, pool: &mut Pool) {
        let kept = self.start as usize..self.end as usize;
        storage[..kept.len()].copy_from_slice(&self.storage[kept]);
        pool.put_back(std::mem::replace(&mut self.storage, storage));
        self.rebase();
    }

    /// Adjusts the cursors after the kept bytes moved to the start of the storage.
    fn rebase(&mut self) {
        self.end -= self.start;
        self.read -= self.start;
        self.start = 0;
    }

    /// Adds the first `count` bytes of the last [`Buffer::space`], which were written.
    pub fn filled(&mut self, count: usize) {
        self.end += count as u32;
        assert!(self.end as usize <= self.storage.len(), "filled more than the space there was");
    }

    /// Appends as much of `bytes` as fits; returns how many bytes that were.
    #[inline]
    pub fn append(&mut self, bytes: &[u8], pool: &mut Pool) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let space = self.space(pool);
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    /// Moves up to `count` bytes from the front of `from` to the end of this buffer; returns how
    /// many. If this buffer is vacant and all of `from` moves, they swap storage instead of
    /// copying.
    pub fn take_from(&mut self, from: &mut Buffer, count: usize, pool: &mut Pool) -> usize {
        let whole = (from.end - from.read) as usize;
        if self.is_vacant() && count == whole && !from.held {
            self.clear(pool);
            std::mem::swap(self, from);
            return count;
        }
        let moved = self.append(&from.data()[..count.min(whole)], pool);
        from.consume(moved);
        moved
    }

    /// Called when no bytes can move: returns empty storage, and moves bytes to the smallest storage
    /// they fit into, so that a waiting connection uses little memory.
    #[inline]
    pub fn settle(&mut self, pool: &mut Pool) {
        match self.has_storage() {
            false => {}
            true if self.is_vacant() => self.free_storage(pool),
            true => self.shrink(pool),
        }
    }

    #[inline(never)]
    fn shrink(&mut self, pool: &mut Pool) {
        let class = class_for((self.end - self.start) as usize);
        if CLASS_BYTES[class] < self.storage.len() {
            let smaller = pool.take(class);
            self.move_to(smaller, pool);
        }
    }

    #[inline(never)]
    fn free_storage(&mut self, pool: &mut Pool) {
        if self.has_storage() {
            pool.put_back(std::mem::take(&mut self.storage));
        }
        (self.start, self.read, self.end) = (0, 0, 0);
    }

    /// Whether this buffer owns storage.
    pub fn has_storage(&self) -> bool {
        !self.storage.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn bytes_come_out_in_order_after_random_operations() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut pool = Pool::new();
            let (mut a, mut b) = (Buffer::new(), Buffer::new());
            let (mut sent, mut received) = (0u64, 0u64);
            for _ in 0..400 {
                match rng.below(6) {
                    0 | 1 => {
                        let space = a.space(&mut pool);
                        let count = rng.below(space.len() as u64 + 1) as usize;
                        for byte in &mut space[..count] {
                            *byte = sent as u8;
                            sent += 1;
                        }
                        a.filled(count);
                    }
                    2 => {
                        let count = rng.below(a.data().len() as u64 + 1) as usize;
                        b.take_from(&mut a, count, &mut pool);
                    }
                    3 => {
                        b.take_from(&mut a, usize::MAX, &mut pool);
                    }
                    4 => {
                        let count = rng.below(b.data().len() as u64 + 1) as usize;
                        for &byte in &b.data()[..count] {
                            assert_eq!(byte, received as u8, "seed {seed}");
                            received += 1;
                        }
                        b.consume(count);
                    }
                    _ => {
                        a.settle(&mut pool);
                        b.settle(&mut pool);
                        assert!(!a.is_vacant() || !a.has_storage());
                    }
                }
                assert_eq!(a.data().len() + b.data().len(), (sent - received) as usize);
            }
            a.clear(&mut pool);
            b.clear(&mut pool);
            assert_eq!(pool.in_use(), 0, "seed {seed}: storage lost");
        }
    }

    #[test]
    fn held_bytes_can_be_read_again_until_released() {
        let mut pool = Pool::new();
        let mut buffer = Buffer::new();
        buffer.append(b"headbody", &mut pool);
        buffer.hold();
        buffer.consume(4);
        buffer.settle(&mut pool);
        assert_eq!(buffer.data(), b"body");
        assert_eq!(buffer.room(), LARGE_BYTES - 8);
        assert_eq!(buffer.held(), b"headbody");
        buffer.rewind();
        assert_eq!(buffer.data(), b"headbody");
        buffer.consume(8);
        assert!(buffer.is_empty() && !buffer.is_vacant());
        buffer.release();
        assert!(buffer.is_vacant());
        buffer.settle(&mut pool);
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn what_waits_holds_the_smallest_storage_its_bytes_fit_into() {
        for (bytes, class) in [
            (1, 1024),
            (1024, 1024),
            (1025, 4096),
            (4096, 4096),
            (4097, LARGE_BYTES),
            (LARGE_BYTES, LARGE_BYTES),
        ] {
            let mut pool = Pool::new();
            let mut buffer = Buffer::new();
            buffer.append(&[b'x'; LARGE_BYTES], &mut pool);
            // What was consumed and is not held does not count.
            buffer.consume(LARGE_BYTES - bytes);
            buffer.settle(&mut pool);
            assert_eq!(buffer.data().len(), bytes);
            assert_eq!(pool.bytes_in_use(), class, "{bytes} bytes");
            assert_eq!(pool.in_use(), 1);
        }
    }

    #[test]
    fn few_storages_stay_after_a_trim() {
        let mut pool = Pool::new();
        for bytes in CLASS_BYTES {
            let mut buffers: Vec<Buffer> = (0..2000).map(|_| Buffer::new()).collect();
            for buffer in &mut buffers {
                buffer.append(&vec![b'x'; bytes], &mut pool);
                buffer.settle(&mut pool);
            }
            for buffer in &mut buffers {
                buffer.clear(&mut pool);
            }
        }
        assert_eq!(pool.spare_bytes(), Pool::SPARE_BYTES_MAX);
        pool.trim();
        assert_eq!(pool.spare_bytes(), TRIMMED_MAX * CLASS_BYTES.iter().sum::<usize>());
        assert_eq!(pool.bytes_in_use(), 0);
    }

    #[test]
    fn all_bytes_move_to_a_vacant_buffer_without_a_copy() {
        let mut pool = Pool::new();
        let (mut a, mut b) = (Buffer::new(), Buffer::new());
        a.append(b"abc", &mut pool);
        let before = a.data().as_ptr();
        assert_eq!(b.take_from(&mut a, 3, &mut pool), 3);
        assert_eq!(b.data().as_ptr(), before);
        assert_eq!(pool.in_use(), 1);
    }

    #[test]
    fn a_full_buffer_takes_no_more() {
        let mut pool = Pool::new();
        let mut buffer = Buffer::new();
        assert_eq!(buffer.append(&[1; LARGE_BYTES + 1], &mut pool), LARGE_BYTES);
        assert_eq!(buffer.room(), 0);
        assert_eq!(buffer.append(b"x", &mut pool), 0);
    }
}
