#![no_main]

mod readers;

use libfuzzer_sys::fuzz_target;
use locktest_formats::Format;

fuzz_target!(|bytes: &[u8]| readers::read_all(Format::Jsonl, bytes));
