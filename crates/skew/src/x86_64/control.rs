//! The control page of a process, as `blob.rs` lays it out.

use super::blob::{HEADER_BYTES, MAGIC};
use super::memory::Memory;
use crate::setting::Params;
use crate::{Class, Error};

/// The size of the page.
pub(super) const PAGE_BYTES: u64 = 4096;

const BLOCK_BYTES: u64 = 256;
const SET_BYTES: u64 = 64;

/// Stands for what was added last if nobody has looked at the clock since it was set.
const NOT_SEEN: i64 = i64::MIN;

/// One clock's block of the control page of a process.
pub(super) struct Block<'m> {
    memory: &'m Memory,
    address: u64,
}

/// What stands in the set that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InUse {
    pub(super) params: Params,
    /// What the process was told by these parameters when it last looked, less the true time.
    pub(super) seen_ns: Option<i64>,
}

impl<'m> Block<'m> {
    /// That of a clock, in the page at this address.
    pub(super) fn new(memory: &'m Memory, page: u64, class: Class) -> Block<'m> {
        let index = match class {
            Class::Wall => 0,
            Class::Monotonic => 1,
        };
        Block { memory, address: page + index * BLOCK_BYTES }
    }

    /// Puts parameters in use. Nobody else may do so meanwhile.
    pub(super) fn put(&self, params: &Params) -> Result<(), Error> {
        let next = self.counter()?.wrapping_add(1);
        let Params { offset_ns, rate, begin_ns, strobe_period_ns, end_ns } = *params;
        let words = [offset_ns, rate, begin_ns, strobe_period_ns, end_ns, NOT_SEEN];
        let bytes: Vec<u8> = words.into_iter().flat_map(i64::to_le_bytes).collect();
        self.memory.write(self.set(next), &bytes)?;
        self.memory.write(self.address, &next.to_le_bytes())
    }

    pub(super) fn in_use(&self) -> Result<InUse, Error> {
        let bytes: [u8; 48] = loop {
            let counter = self.counter()?;
            let bytes = self.memory.read(self.set(counter))?;
            if self.counter()? == counter {
                break bytes;
            }
        };
        let mut words = [0; 6];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = i64::from_le_bytes(*bytes);
        }
        let [offset_ns, rate, begin_ns, strobe_period_ns, end_ns, seen_ns] = words;
        let params = Params { offset_ns, rate, begin_ns, strobe_period_ns, end_ns };
        Ok(InUse { params, seen_ns: Some(seen_ns).filter(|seen_ns| *seen_ns != NOT_SEEN) })
    }

    fn counter(&self) -> Result<u32, Error> {
        self.memory.read(self.address).map(u32::from_le_bytes)
    }

    /// Where the set is that is in use while the counter has this value.
    fn set(&self, counter: u32) -> u64 {
        self.address + SET_BYTES * (1 + u64::from(counter & 1))
    }
}

/// The address of the control page that the patch in this vDSO has, if it is patched.
pub(super) fn find_page(vdso: &[u8]) -> Option<u64> {
    let header = vdso.windows(HEADER_BYTES).find(|window| window.starts_with(&MAGIC))?;
    let page = u64::from_le_bytes(header[MAGIC.len()..].try_into().ok()?);
    // It has none while it is being patched.
    (page != 0).then_some(page)
}

#[cfg(test)]
mod tests {
    use super::super::blob;
    use super::*;

    #[test]
    fn a_patch_is_found_where_it_is_whole() {
        let mut vdso = vec![0; 100];
        vdso.extend(blob::for_page(0x1234_5678_9abc));
        assert_eq!(find_page(&vdso), Some(0x1234_5678_9abc));
        assert_eq!(find_page(&vdso[101..]), None);
        assert_eq!(find_page(&vdso[..112]), None);
        assert_eq!(find_page(&blob::for_page(0)), None);
    }

    #[test]
    fn what_is_put_in_use_is_read_back_and_was_not_seen() {
        // The memory of this process stands for that of another.
        let page = Box::new([0_u8; 512]);
        let address = page.as_ptr().addr() as u64;
        let pid = i32::try_from(std::process::id()).expect("a process id");
        let memory = Memory::of(pid).expect("own memory");
        let [wall, monotonic] = Class::ALL.map(|class| Block::new(&memory, address, class));
        for offset_ns in 1..600 {
            let params =
                Params { offset_ns, rate: -2, begin_ns: 3, strobe_period_ns: 4, end_ns: 5 };
            wall.put(&params).expect("written");
            assert_eq!(wall.in_use().expect("read"), InUse { params, seen_ns: None });
        }
        let untouched = InUse { params: Params::default(), seen_ns: Some(0) };
        assert_eq!(monotonic.in_use().expect("read"), untouched);
        drop(page);
    }
}
