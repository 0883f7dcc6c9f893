//! The vDSO of a process: where programs find what reads clocks, and where a patch has room.

use super::blob::{self, Entry};
use super::memory::Memory;
use crate::Error;

/// No vDSO is larger than this.
const MOST_BYTES: u64 = 64 * 1024;

/// The code of the patch begins at a multiple of this.
const ALIGNMENT: usize = 16;

/// The vDSO as a process has it.
#[derive(Debug)]
pub(super) struct Vdso {
    begin: u64,
    image: Vec<u8>,
}

impl Vdso {
    /// A jump from an entry to the patch takes so many bytes of the entry.
    pub(super) const JUMP_BYTES: u64 = 5;

    pub(super) fn of(memory: &Memory) -> Result<Vdso, Error> {
        let maps = memory.maps()?;
        let (begin, end) = maps.lines().find_map(range).ok_or(Error::NoVdso(memory.pid()))?;
        if end - begin > MOST_BYTES {
            return Err(Error::Vdso("it is larger than any"));
        }
        let mut image = vec![0; usize::try_from(end - begin).unwrap_or(0)];
        memory.read_into(begin, &mut image)?;
        Ok(Vdso { begin, image })
    }

    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    pub(super) fn image(&self) -> &[u8] {
        &self.image
    }

    /// Where each function begins that reads clocks, and the room for the patch, from the begin of
    /// the image.
    pub(super) fn entries(&self) -> Result<(Vec<(Entry, u64)>, usize), Error> {
        let symbols = Elf(&self.image).functions().ok_or(Error::Vdso("it is not one of x86-64"))?;
        let mut entries = Vec::new();
        for entry in Entry::ALL {
            let symbol = symbols.iter().find(|symbol| symbol.name == entry.symbol().as_bytes());
            let Some(symbol) = symbol else {
                return Err(Error::Vdso("it lacks a function that reads clocks"));
            };
            if symbol.size < Vdso::JUMP_BYTES {
                return Err(Error::Vdso("one of its functions is shorter than a jump"));
            }
            entries.push((entry, symbol.offset));
        }
        Ok((entries, self.room()?))
    }

    /// Where the zeros begin that end the image, if the patch fits there.
    fn room(&self) -> Result<usize, Error> {
        let used = self.image.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // A zero may belong to what is before.
        let begin = used.next_multiple_of(ALIGNMENT) + ALIGNMENT;
        let (needed, found) = (blob::size(), self.image.len().saturating_sub(begin));
        if found < needed { Err(Error::NoRoom { needed, found }) } else { Ok(begin) }
    }
}

/// The range of addresses of the line about the vDSO.
fn range(line: &str) -> Option<(u64, u64)> {
    let range = line.strip_suffix("[vdso]")?.split(' ').next()?;
    let (begin, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let (begin, end) = (address(begin)?, address(end)?);
    (begin < end).then_some((begin, end))
}

/// A function that others may call.
#[derive(Debug, PartialEq, Eq)]
struct Function<'i> {
    name: &'i [u8],
    /// From the begin of the image.
    offset: u64,
    size: u64,
}

/// An image of an ELF file for x86-64.
struct Elf<'i>(&'i [u8]);

impl<'i> Elf<'i> {
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<usize> {
        Some(u16::from_le_bytes(self.bytes(at)?).into())
    }

    fn u32(&self, at: usize) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.bytes(at)?)).ok()
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(at)?))
    }

    fn place(&self, at: usize) -> Option<usize> {
        usize::try_from(self.u64(at)?).ok()
    }

    /// The functions of the table of dynamic symbols; `None` if there is no such table.
    fn functions(&self) -> Option<Vec<Function<'i>>> {
        const CLASS_64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
        const DYNAMIC_SYMBOLS: usize = 11;
        const SECTION_HEADER_BYTES: usize = 64;
        const SYMBOL_BYTES: usize = 24;
        const FUNCTION: u8 = 2;
        if !self.0.starts_with(CLASS_64_LITTLE_ENDIAN) {
            return None;
        }
        let (headers, count) = (self.place(0x28)?, self.u16(0x3c)?);
        let header = |index: usize| headers.checked_add(index.checked_mul(SECTION_HEADER_BYTES)?);
        let of_symbols =
            |at: &usize| at.checked_add(4).and_then(|at| self.u32(at)) == Some(DYNAMIC_SYMBOLS);
        let table = (0..count).filter_map(header).find(of_symbols)?;
        let (symbols, size) = (self.place(table + 0x18)?, self.place(table + 0x20)?);
        let names = self.place(header(self.u32(table + 0x28)?)?.checked_add(0x18)?)?;
        let mut functions = Vec::new();
        for number in 0..size.min(self.0.len()) / SYMBOL_BYTES {
            let at = symbols.checked_add(number * SYMBOL_BYTES)?;
            let [kind] = self.bytes(at.checked_add(4)?)?;
            if kind & 0xf != FUNCTION {
                continue;
            }
            let name = self.0.get(names.checked_add(self.u32(at)?)?..)?;
            let name = name.split(|byte| *byte == 0).next()?;
            let (offset, size) = (self.u64(at + 8)?, self.u64(at + 16)?);
            let end = usize::try_from(offset.checked_add(size)?).ok()?;
            if end <= self.0.len() {
                functions.push(Function { name, offset, size });
            }
        }
        Some(functions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vdso {
        let pid = i32::try_from(std::process::id()).expect("a process id");
        Vdso::of(&Memory::of(pid).expect("own memory")).expect("a vDSO")
    }

    #[test]
    fn the_functions_that_read_clocks_are_found_and_the_patch_has_room() {
        let vdso = own();
        let (entries, room) = vdso.entries().expect("a vDSO as every other");
        assert_eq!(entries.len(), Entry::ALL.len());
        for (_, offset) in entries {
            assert!((1..u64::try_from(room).expect("small")).contains(&offset));
        }
        assert!(vdso.image[room..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn without_room_it_is_said_how_much_is_missing() {
        let vdso = own();
        let used = vdso.image.iter().rposition(|byte| *byte != 0).expect("code") + 1;
        let full = Vdso { begin: vdso.begin, image: vdso.image[..used].to_vec() };
        let error = full.entries().expect_err("no room");
        assert!(matches!(error, Error::NoRoom { found: 0, .. }), "{error}");
    }

    #[test]
    fn no_image_makes_the_reader_panic() {
        let vdso = own();
        for end in (0..vdso.image.len()).step_by(7) {
            let _ = Elf(&vdso.image[..end]).functions();
        }
        let mut state = 1_u64;
        for _ in 0..2000 {
            let mut image = vdso.image.clone();
            for _ in 0..20 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = usize::try_from(state >> 33).expect("31 bits") % image.len();
                image[at] = state.to_le_bytes()[3];
            }
            let _ = Vdso { begin: 0, image }.entries();
        }
        assert!(Elf(b"not an ELF file").functions().is_none());
    }

    #[test]
    fn only_the_line_of_the_vdso_tells_its_range() {
        let line =
            "7ffd5a9f0000-7ffd5a9f2000 r-xp 00000000 00:00 0                          [vdso]";
        assert_eq!(range(line), Some((0x7ffd_5a9f_0000, 0x7ffd_5a9f_2000)));
        assert_eq!(range("7ffd5a9ec000-7ffd5a9f0000 r--p 00000000 00:00 0   [vvar]"), None);
        assert_eq!(range("zz-yy r-xp [vdso]"), None);
    }
}
