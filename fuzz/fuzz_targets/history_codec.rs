#![no_main]

mod readers;

use libfuzzer_sys::fuzz_target;
use locktest_formats::Format;

/// A length and a checksum are not guessed in a lifetime.
fn checked(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("an input is short");
    let [length, sum] = [length, crc32fast::hash(payload)].map(u32::to_le_bytes);
    [&length, &sum, payload].concat()
}

/// A whole history file with one block of these records.
fn file(records: &[u8]) -> Vec<u8> {
    let header = checked(include_bytes!("../seeds/run.json").trim_ascii());
    let block = zstd::bulk::compress(records, 1).expect("compresses in memory");
    [b"LOCKTEST\x01\0\0\0", &header[..], &checked(&block)].concat()
}

fuzz_target!(|bytes: &[u8]| {
    readers::read_all(Format::Locktest, bytes);
    readers::read_all(Format::Locktest, &file(bytes));
    readers::read_all(Format::Jsonl, &[include_bytes!("../seeds/run.jsonl").trim_ascii(), b"\n", bytes].concat());
});
