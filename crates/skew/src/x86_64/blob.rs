//! The machine code of the patch. It begins with a [header](HEADER_BYTES) by which a patched process
//! is known.

#![expect(unsafe_code, reason = "machine code, and the labels in it")]

use std::arch::global_asm;
use std::slice;

/// What the header begins with: a magic number, and in its last byte the version of all that is
/// written into a process.
pub(super) const MAGIC: [u8; 8] = *b"LTCLOCK1";

/// The header: the magic number and the address of the control page.
pub(super) const HEADER_BYTES: usize = 16;

// The functions follow the System V calling convention, as those that they stand in for do: they
// use only registers that a caller does not expect to keep, and no memory below the stack pointer.
//
// The control page has a block of 256 bytes for each class of clocks, wall first:
//   0    the counter of settings, 4 bytes: its last bit says which set is in use
//   64   a set, 48 bytes: offset, rate, begin, strobe's period, end, what was added last
//   128  the other set
// Whoever sets a clock writes the set that is not in use and then the counter, so a reader that
// finds the counter unchanged has read a set that nobody wrote to meanwhile; and no reader waits for
// a writer, who may be dead. While the counter is being written either set may be read. What was
// added is noted in the set that it was added by, so it never stands for a later one.
global_asm!(
    ".pushsection .rodata.locktest_skew, \"a\"",
    ".globl locktest_skew_begin, locktest_skew_system_call, locktest_skew_clock_gettime",
    ".globl locktest_skew_gettimeofday, locktest_skew_time, locktest_skew_end",
    ".balign 16",
    "locktest_skew_begin:",
    ".ascii \"LTCLOCK1\"",
    "9:",
    ".quad 0",
    //
    // int clock_gettime(clockid_t edi, struct timespec *rsi)
    "locktest_skew_clock_gettime:",
    "mov eax, 228",
    "locktest_skew_system_call:",
    "syscall",
    "test eax, eax",
    "jnz 3f",
    "cmp edi, 11",
    "ja 3f",
    "mov r10, [rip + 9b]",
    // CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI
    "mov ecx, 0x821",
    "bt ecx, edi",
    "jc 2f",
    // CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME
    "mov ecx, 0xd2",
    "bt ecx, edi",
    "jnc 3f",
    "add r10, 256",
    "2:",
    "imul rax, [rsi], 1000000000",
    "add rax, [rsi + 8]",
    "push rsi",
    "call 10f",
    "pop rsi",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "mov [rsi], rax",
    "mov [rsi + 8], rdx",
    "xor eax, eax",
    "3:",
    "ret",
    //
    // Adds to the time rax, in nanoseconds, what the block r10 says.
    "10:",
    "mov r11d, [r10]",
    "mov r8d, r11d",
    "and r8d, 1",
    "shl r8d, 6",
    "lea r8, [r10 + r8 + 64]",
    "mov r9, [r8]",
    "mov rcx, [r8 + 8]",
    "mov rdx, [r8 + 16]",
    "mov rdi, [r8 + 24]",
    "mov rsi, [r8 + 32]",
    "cmp r11d, [r10]",
    "jne 10b",
    "mov r10, rax",
    // Is it over?
    "test rsi, rsi",
    "jz 2f",
    "cmp rax, rsi",
    "jge 4f",
    "2:",
    // A reading from before the begin, of a look that was under way then, has gained nothing.
    "xor r11d, r11d",
    "sub rax, rdx",
    "cmovl rax, r11",
    // Is the strobe in a period in which the clock is right?
    "test rdi, rdi",
    "jz 3f",
    "mov r11, rax",
    "cqo",
    "idiv rdi",
    "test al, 1",
    "jnz 4f",
    "mov rax, r11",
    "3:",
    "imul rcx",
    "shrd rax, rdx, 32",
    "add r9, rax",
    "jmp 5f",
    "4:",
    "xor r9d, r9d",
    "5:",
    // A store each time would take the cache line from all other threads.
    "cmp [r8 + 40], r9",
    "je 6f",
    "mov [r8 + 40], r9",
    "6:",
    "mov rax, r10",
    "add rax, r9",
    "jns 7f",
    "xor eax, eax",
    "7:",
    "ret",
    //
    // int gettimeofday(struct timeval *rdi, struct timezone *rsi)
    "locktest_skew_gettimeofday:",
    "test rsi, rsi",
    "jz 2f",
    "mov qword ptr [rsi], 0",
    "2:",
    "test rdi, rdi",
    "jz 3f",
    "push rdi",
    "sub rsp, 16",
    "xor edi, edi",
    "mov rsi, rsp",
    "call locktest_skew_clock_gettime",
    "mov r9, [rsp]",
    "mov rax, [rsp + 8]",
    "add rsp, 16",
    "pop rdi",
    "xor edx, edx",
    "mov ecx, 1000",
    "div rcx",
    "mov [rdi], r9",
    "mov [rdi + 8], rax",
    "3:",
    "xor eax, eax",
    "ret",
    //
    // time_t time(time_t *rdi)
    "locktest_skew_time:",
    "push rdi",
    "sub rsp, 16",
    "xor edi, edi",
    "mov rsi, rsp",
    "call locktest_skew_clock_gettime",
    "mov rax, [rsp]",
    "add rsp, 16",
    "pop rdi",
    "test rdi, rdi",
    "jz 2f",
    "mov [rdi], rax",
    "2:",
    "ret",
    "locktest_skew_end:",
    ".popsection",
);

// SAFETY: all are defined above, in memory that nobody writes to.
unsafe extern "C" {
    safe static locktest_skew_begin: u8;
    safe static locktest_skew_system_call: u8;
    safe static locktest_skew_clock_gettime: u8;
    safe static locktest_skew_gettimeofday: u8;
    safe static locktest_skew_time: u8;
    safe static locktest_skew_end: u8;
}

/// A function of the vDSO that reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    ClockGettime,
    Gettimeofday,
    Time,
}

impl Entry {
    pub(super) const ALL: [Entry; 3] = [Entry::ClockGettime, Entry::Gettimeofday, Entry::Time];

    /// Its name in the vDSO.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Entry::ClockGettime => "__vdso_clock_gettime",
            Entry::Gettimeofday => "__vdso_gettimeofday",
            Entry::Time => "__vdso_time",
        }
    }

    /// Where the code stands that replaces it, from the begin of the patch.
    pub(super) fn offset(self) -> u64 {
        offset(match self {
            Entry::ClockGettime => &raw const locktest_skew_clock_gettime,
            Entry::Gettimeofday => &raw const locktest_skew_gettimeofday,
            Entry::Time => &raw const locktest_skew_time,
        })
    }
}

/// Where an instruction stands that makes a system call, from the begin of the patch.
pub(super) fn system_call_offset() -> u64 {
    offset(&raw const locktest_skew_system_call)
}

fn offset(label: *const u8) -> u64 {
    (label.addr() - (&raw const locktest_skew_begin).addr()) as u64
}

/// How many bytes the patch takes, with its header.
pub(super) fn size() -> usize {
    (&raw const locktest_skew_end).addr() - (&raw const locktest_skew_begin).addr()
}

/// The patch for a process whose control page has this address.
pub(super) fn for_page(control: u64) -> Vec<u8> {
    // SAFETY: all bytes from the one label to the other are those of the section above, which is
    // mapped for as long as the program runs and never written to.
    let code = unsafe { slice::from_raw_parts(&raw const locktest_skew_begin, size()) };
    let mut code = code.to_vec();
    code[MAGIC.len()..HEADER_BYTES].copy_from_slice(&control.to_le_bytes());
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_begins_with_its_magic_and_the_address_of_its_page() {
        let code = for_page(0x1234_5678_9abc);
        assert_eq!(code[..8], MAGIC);
        assert_eq!(code[8..HEADER_BYTES], 0x1234_5678_9abc_u64.to_le_bytes());
    }

    #[test]
    fn every_entry_has_code_of_its_own_within_the_patch() {
        let mut offsets = Entry::ALL.map(Entry::offset).to_vec();
        offsets.dedup();
        assert_eq!(offsets.len(), Entry::ALL.len());
        assert!(offsets.iter().all(|offset| (16..size() as u64).contains(offset)), "{offsets:?}");
        assert!(size() < 600, "{}", size());
    }

    #[test]
    fn the_instruction_that_makes_system_calls_is_one() {
        let at = usize::try_from(system_call_offset()).expect("small");
        assert_eq!(for_page(0)[at..at + 2], [0x0f, 0x05]);
    }
}
