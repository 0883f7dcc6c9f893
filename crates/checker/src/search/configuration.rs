//! Which configurations were visited, by fingerprints or exactly.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

/// A configuration: which operations are in order, and the state that they lead to.
pub struct Configuration<'a, S> {
    /// The exclusive or of [`key`] over the required operations.
    pub key: u128,
    /// A bit for each required operation, in order of invokes.
    pub required: &'a [u64],
    /// A bit for each info.
    pub infos: &'a [u64],
    /// The state.
    pub state: &'a S,
}

/// The configurations that were visited.
///
/// One that has the infos of another in order and more, and is the same else, has nothing before it
/// that the other has not: the infos that the other has left may still take effect. So it counts as
/// visited.
pub enum Visited<S> {
    /// By 128 bits each for the required operations and the state. Two that have the same bits are
    /// taken for one, so what was not found may still be there; what was found is right.
    Fingerprints(Table<(u64, u64), BuildHasherDefault<Identity>>),
    /// As they are.
    Exact(Table<(Box<[u64]>, S), RandomState>),
    /// As if all had the same fingerprint, to see what becomes of a false negative.
    #[cfg(test)]
    Colliding,
}

impl<S: Clone + Eq + Hash> Visited<S> {
    pub fn fingerprints() -> Visited<S> {
        Visited::Fingerprints(Table::default())
    }

    pub fn exact() -> Visited<S> {
        Visited::Exact(Table::default())
    }

    /// Whether it is new.
    pub fn insert(&mut self, configuration: Configuration<'_, S>) -> bool {
        let Configuration { key, required, infos, state } = configuration;
        match self {
            Visited::Fingerprints(table) => {
                let bits = key ^ fingerprint(state);
                table.insert((bits as u64, (bits >> 64) as u64), infos, 0)
            }
            Visited::Exact(table) => {
                let required = compact(required);
                let bytes = size_of_val(&*required);
                table.insert((required, state.clone()), infos, bytes)
            }
            #[cfg(test)]
            Visited::Colliding => false,
        }
    }

    /// What they take once there are so many `more`, without what a state has on the heap.
    pub fn memory_bytes(&self, more: u64) -> usize {
        match self {
            Visited::Fingerprints(table) => table.memory_bytes(more),
            Visited::Exact(table) => table.memory_bytes(more),
            #[cfg(test)]
            Visited::Colliding => 0,
        }
    }
}

/// For each key the sets of infos with which it was visited, of which none contains another.
pub struct Table<K, H> {
    /// `None` if it was visited with no info.
    sets: HashMap<K, Option<Box<InfoSets>>, H>,
    /// What keys and sets have on the heap.
    heap_bytes: usize,
}

#[derive(Default)]
struct InfoSets(Vec<Box<[u64]>>);

impl<K, H: Default> Default for Table<K, H> {
    fn default() -> Table<K, H> {
        Table { sets: HashMap::default(), heap_bytes: 0 }
    }
}

impl<K: Eq + Hash, H: BuildHasher> Table<K, H> {
    /// Whether it is new with these infos. The key has so many bytes on the heap.
    fn insert(&mut self, key: K, infos: &[u64], key_bytes: usize) -> bool {
        let infos = &infos[..used(infos)];
        match self.sets.entry(key) {
            Entry::Vacant(entry) => {
                self.heap_bytes += key_bytes;
                let sets = entry.insert(None);
                if !infos.is_empty() {
                    self.heap_bytes += size_of::<InfoSets>() + InfoSets::bytes(infos);
                    *sets = Some(Box::new(InfoSets(vec![infos.into()])));
                }
                true
            }
            Entry::Occupied(mut entry) => {
                let Some(InfoSets(sets)) = entry.get_mut().as_deref_mut() else { return false };
                if sets.iter().any(|set| is_subset(set, infos)) {
                    return false;
                }
                for set in sets.extract_if(.., |set| is_subset(infos, set)) {
                    self.heap_bytes -= InfoSets::bytes(&set);
                }
                if infos.is_empty() {
                    self.heap_bytes -= size_of::<InfoSets>();
                    entry.insert(None);
                } else {
                    self.heap_bytes += InfoSets::bytes(infos);
                    sets.push(infos.into());
                }
                true
            }
        }
    }

    fn memory_bytes(&self, more: u64) -> usize {
        // A table is at most seven eighths full, has a byte of its own for each place, and while it
        // grows there is one of twice the size beside it.
        let (length, capacity) = (self.sets.len(), self.sets.capacity());
        let grows = length as u64 + more > capacity as u64;
        let place = size_of::<(K, Option<Box<InfoSets>>)>() + 1;
        let table = capacity.max(more as usize) * 8 / 7 * place * if grows { 3 } else { 1 };
        table + self.heap_bytes
    }
}

impl InfoSets {
    /// What one more set takes.
    fn bytes(infos: &[u64]) -> usize {
        size_of::<Box<[u64]>>() + size_of_val(infos)
    }
}

fn is_subset(inner: &[u64], outer: &[u64]) -> bool {
    inner.len() <= outer.len() && inner.iter().zip(outer).all(|(inner, outer)| inner & !outer == 0)
}

/// How many words there are up to the last that is not zero.
fn used(bits: &[u64]) -> usize {
    bits.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1)
}

/// The required operations are nearly all in order up to some point and none after it, so of the
/// ones at the beginning only the number is kept, and of the zeros at the end nothing.
fn compact(required: &[u64]) -> Box<[u64]> {
    let full = required.iter().take_while(|word| **word == u64::MAX).count();
    let window = &required[full..used(required).max(full)];
    [full as u64].iter().chain(window).copied().collect()
}

/// A random number for each operation, always the same one.
pub fn key(number: usize) -> u128 {
    let mut hasher = Fingerprinter { high: 0x243f_6a88_85a3_08d3, low: 0x1319_8a2e_0370_7344 };
    hasher.write_u64(number as u64);
    hasher.finish_wide()
}

fn fingerprint(state: &impl Hash) -> u128 {
    let mut hasher = Fingerprinter::default();
    state.hash(&mut hasher);
    hasher.finish_wide()
}

/// A hash of 128 bits. Its two halves take in each word by multiplications to 128 bits, of which
/// both ends are kept.
pub struct Fingerprinter {
    high: u64,
    low: u64,
}

impl Default for Fingerprinter {
    fn default() -> Fingerprinter {
        Fingerprinter { high: 0xa409_3822_299f_31d0, low: 0x082e_fa98_ec4e_6c89 }
    }
}

fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Fingerprinter {
    fn finish_wide(mut self) -> u128 {
        self.write_u64(0x4528_21e6_38d0_1377);
        self.write_u64(0xbe54_66cf_34e9_0c6c);
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl Hasher for Fingerprinter {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, word: u64) {
        let high = multiply(self.high ^ word, 0x9e37_79b9_7f4a_7c15 ^ self.low);
        let low = multiply(self.low.wrapping_add(word), 0xc2b2_ae3d_27d4_eb4f ^ self.high);
        self.high = high.wrapping_add(word.rotate_left(32));
        self.low = low ^ word;
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.high ^ self.low
    }
}

/// For what is a hash already.
#[derive(Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn compact_bits_are_equal_exactly_if_the_bits_are() {
        let words = [0, 1, 1 << 63, u64::MAX];
        let mut seen = HashSet::new();
        for a in words {
            for b in words {
                for c in words {
                    assert!(seen.insert(compact(&[a, b, c])), "{a} {b} {c}");
                }
            }
        }
    }

    #[test]
    fn more_infos_than_before_are_nothing_new_and_fewer_or_others_are() {
        for mut visited in [Visited::fingerprints(), Visited::exact()] {
            let mut insert = |infos: &[u64], state: u32| {
                visited.insert(Configuration { key: 0, required: &[], infos, state: &state })
            };
            assert!(insert(&[0b110, 0], 1));
            assert!(!insert(&[0b110, 0], 1));
            assert!(!insert(&[0b111, 0], 1));
            assert!(!insert(&[0b110, 1], 1));
            assert!(insert(&[0b110, 1], 2));
            assert!(insert(&[0b101, 0], 1));
            assert!(insert(&[0b100, 0], 1));
            assert!(!insert(&[0b101, 0], 1));
            assert!(insert(&[0, 1], 1));
            assert!(insert(&[0, 0], 1));
            assert!(!insert(&[0, 0], 1));
            assert!(!insert(&[0, 1], 1));
        }
    }

    #[test]
    fn fingerprints_of_a_hundred_thousand_states_differ_in_either_half() {
        let mut high = HashSet::new();
        let mut low = HashSet::new();
        for state in 0..100_000u64 {
            let fingerprint = fingerprint(&(state % 300, Some(state / 300)));
            assert!(high.insert((fingerprint >> 64) as u64), "{state}");
            assert!(low.insert(fingerprint as u64), "{state}");
        }
    }
}
