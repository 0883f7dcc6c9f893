//! The history file: a header, then checksummed blocks of compressed records.
//!
//! ```text
//! "LOCKTEST" | version u32 | length u32 | crc32 u32 | Run as JSON
//! block:       length u32 | crc32 u32 | zstd(postcard records, one after the other)
//! ```
//! All numbers are little-endian. A block is complete or it is damage: a reader that meets a short
//! or corrupt one keeps what came before, names the damage, and stops.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use thiserror::Error;

use crate::{Record, Run};

const MAGIC: &[u8; 8] = b"LOCKTEST";

/// The version of the history file that this build writes.
pub const FORMAT_VERSION: u32 = 5;

/// The oldest version that this build reads. Version 5 added records and, with what they were before,
/// choices of the plan.
pub const OLDEST_FORMAT_VERSION: u32 = 4;

/// Records are written out at this size even if nobody asked for a flush.
const BLOCK_BYTES: usize = 64 * 1024;

/// A length field beyond this is damage, not a block: no writer makes one.
const MAX_BLOCK_BYTES: u32 = 16 * 1024 * 1024;

/// Low, since the writer shares two cores with a cluster.
const ZSTD_LEVEL: i32 = 1;

/// Why a history could not be read or written.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The file could not be opened, read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not a history.
    #[error("the file does not start with a history header")]
    NotAHistory,
    /// The file was written by another locktest.
    #[error(
        "the history has format version {found}; this locktest reads versions \
         {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}"
    )]
    OtherVersion {
        /// The version that the file names.
        found: u32,
    },
    /// The header is there but its content is not.
    #[error("the history's header is damaged: {0}")]
    Header(String),
    /// A record could not be encoded.
    #[error("a record could not be encoded: {0}")]
    Encode(postcard::Error),
}

/// Appends records to a history file. The only writer of that file.
pub struct HistoryWriter {
    file: File,
    compressor: zstd::bulk::Compressor<'static>,
    pending: Vec<u8>,
}

impl HistoryWriter {
    /// Creates the file and writes its header.
    pub fn create(path: &Path, run: &Run) -> Result<HistoryWriter, HistoryError> {
        let header =
            serde_json::to_vec(run).map_err(|error| HistoryError::Header(error.to_string()))?;
        let mut file = File::options().write(true).create_new(true).open(path)?;
        let mut bytes = Vec::with_capacity(header.len() + 20);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        push_checked(&mut bytes, &header);
        file.write_all(&bytes)?;
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        Ok(HistoryWriter { file, compressor, pending: Vec::with_capacity(BLOCK_BYTES + 1024) })
    }

    /// Adds a record; it reaches the file with the next full block or [`flush`](Self::flush).
    pub fn append(&mut self, record: &Record) -> Result<(), HistoryError> {
        self.pending = postcard::to_extend(record, std::mem::take(&mut self.pending))
            .map_err(HistoryError::Encode)?;
        if self.pending.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands everything added so far to the operating system, so that it survives this process.
    pub fn flush(&mut self) -> Result<(), HistoryError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let compressed = self.compressor.compress(&self.pending)?;
        let mut block = Vec::with_capacity(compressed.len() + 8);
        push_checked(&mut block, &compressed);
        self.file.write_all(&block)?;
        self.pending.clear();
        Ok(())
    }

    /// Flushes, and waits until the disk has it.
    pub fn finish(mut self) -> Result<(), HistoryError> {
        self.flush()?;
        self.file.sync_all()?;
        Ok(())
    }
}

fn push_checked(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Reads a history's records in order, a block at a time.
pub struct HistoryReader<R> {
    source: R,
    run: Run,
    decompressor: zstd::bulk::Decompressor<'static>,
    /// Of the block that is being read, here and below: the buffers are used again.
    compressed: Vec<u8>,
    block: Vec<u8>,
    position: usize,
    offset: u64,
    damage: Option<String>,
}

impl HistoryReader<BufReader<File>> {
    /// Opens a history file and reads its header.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        HistoryReader::new(BufReader::new(File::open(path)?))
    }
}

impl<R: Read> HistoryReader<R> {
    /// Reads the header from `source`.
    pub fn new(mut source: R) -> Result<Self, HistoryError> {
        let mut magic = [0; 8];
        let mut version = [0; 4];
        read_or(&mut source, &mut magic, || HistoryError::NotAHistory)?;
        if &magic != MAGIC {
            return Err(HistoryError::NotAHistory);
        }
        read_or(&mut source, &mut version, || HistoryError::NotAHistory)?;
        let found = u32::from_le_bytes(version);
        if !(OLDEST_FORMAT_VERSION..=FORMAT_VERSION).contains(&found) {
            return Err(HistoryError::OtherVersion { found });
        }
        let mut header = Vec::new();
        match read_checked(&mut source, &mut header)? {
            Checked::Payload => {}
            Checked::End => return Err(HistoryError::Header("it is missing".into())),
            Checked::Damage(what) => return Err(HistoryError::Header(what)),
        }
        let offset = 8 + 4 + 8 + header.len() as u64;
        let run = serde_json::from_slice(&header)
            .map_err(|error| HistoryError::Header(error.to_string()))?;
        Ok(HistoryReader {
            source,
            run,
            decompressor: zstd::bulk::Decompressor::new()?,
            compressed: Vec::new(),
            block: Vec::new(),
            position: 0,
            offset,
            damage: None,
        })
    }

    /// The run that the history is of.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// What made the reader stop early, if anything did; final once the iterator has ended.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    fn next_record(&mut self) -> io::Result<Option<Record>> {
        while self.position >= self.block.len() {
            if self.damage.is_some() || !self.next_block()? {
                return Ok(None);
            }
        }
        match postcard::take_from_bytes::<Record>(&self.block[self.position..]) {
            Ok((record, rest)) => {
                self.position = self.block.len() - rest.len();
                Ok(Some(record))
            }
            Err(error) => {
                self.damage = Some(format!(
                    "the block that ends at byte {} holds a record that cannot be decoded: {error}",
                    self.offset
                ));
                self.block.clear();
                self.position = 0;
                Ok(None)
            }
        }
    }

    fn next_block(&mut self) -> io::Result<bool> {
        let at = self.offset;
        match read_checked(&mut self.source, &mut self.compressed)? {
            Checked::Payload => {}
            Checked::End => return Ok(false),
            Checked::Damage(what) => {
                self.damage = Some(format!("the block at byte {at} is damaged: {what}"));
                return Ok(false);
            }
        }
        self.offset += 8 + self.compressed.len() as u64;
        self.block.clear();
        self.position = 0;
        // The frame says how large its content is, but may lie.
        let stated = zstd::zstd_safe::get_frame_content_size(&self.compressed).ok().flatten();
        let capacity = stated.unwrap_or(u64::MAX).min(u64::from(MAX_BLOCK_BYTES));
        self.block.reserve(capacity as usize);
        match self.decompressor.decompress_to_buffer(&self.compressed, &mut self.block) {
            Ok(_) => Ok(true),
            Err(error) => {
                self.block.clear();
                self.damage = Some(format!("the block at byte {at} does not decompress: {error}"));
                Ok(false)
            }
        }
    }
}

impl<R: Read> Iterator for HistoryReader<R> {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        self.next_record().transpose()
    }
}

enum Checked {
    Payload,
    End,
    Damage(String),
}

fn read_checked(source: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Checked> {
    payload.clear();
    let mut head = [0; 8];
    match read_up_to(source, &mut head)? {
        0 => return Ok(Checked::End),
        8 => {}
        _ => return Ok(Checked::Damage("it is cut short".into())),
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    if length > MAX_BLOCK_BYTES {
        return Ok(Checked::Damage(format!("its length field says {length} bytes")));
    }
    source.take(u64::from(length)).read_to_end(payload)?;
    if payload.len() < length as usize {
        return Ok(Checked::Damage("it is cut short".into()));
    }
    if crc32fast::hash(payload) != crc {
        return Ok(Checked::Damage("its checksum does not match".into()));
    }
    Ok(Checked::Payload)
}

fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn read_or(
    source: &mut impl Read,
    buffer: &mut [u8],
    short: impl FnOnce() -> HistoryError,
) -> Result<(), HistoryError> {
    if read_up_to(source, buffer)? < buffer.len() {
        return Err(short());
    }
    Ok(())
}

/// A history in memory, as the analyzer and the reports take it.
#[derive(Clone, Debug)]
pub struct History {
    /// The run and its plan.
    pub run: Run,
    /// The records, in order of arrival.
    pub records: Vec<Record>,
    /// What could not be read, in words; empty if the file was whole.
    pub damage: Vec<String>,
}

/// Reads a whole history file, keeping what is readable.
pub fn read_history(path: &Path) -> Result<History, HistoryError> {
    let mut reader = HistoryReader::open(path)?;
    let mut records = Vec::new();
    for record in reader.by_ref() {
        records.push(record?);
    }
    let damage = reader.damage().map(str::to_owned).into_iter().collect();
    Ok(History { run: reader.run, records, damage })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::tests::run_for_tests as run;
    use crate::{Milestone, NodeId, Probe};

    fn records(count: u64) -> Vec<Record> {
        (0..count)
            .map(|n| {
                Record::Probe(Probe {
                    begin_ns: n,
                    end_ns: n + 1,
                    node: NodeId((n % 5) as u16),
                    error: (n % 3 == 0).then(|| format!("error {n}")),
                })
            })
            .collect()
    }

    fn file_of(records: &[Record], flush_every: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("history");
        let mut writer = HistoryWriter::create(&path, &run()).expect("a new file");
        for (n, record) in records.iter().enumerate() {
            writer.append(record).expect("append");
            if n % flush_every == 0 {
                writer.flush().expect("flush");
            }
        }
        writer.finish().expect("finish");
        (dir, path)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = records(10_000);
        let (_dir, path) = file_of(&written, 100);
        let history = read_history(&path).expect("a readable file");
        assert_eq!(history.run, run());
        assert_eq!(history.records, written);
        assert!(history.damage.is_empty());
    }

    #[test]
    fn an_unflushed_writer_that_vanishes_keeps_every_flushed_record() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("history");
        let mut writer = HistoryWriter::create(&path, &run()).expect("a new file");
        for record in records(10) {
            writer.append(&record).expect("append");
        }
        writer.flush().expect("flush");
        writer.append(&Record::Milestone { time_ns: 0, what: Milestone::End }).expect("append");
        std::mem::forget(writer);
        assert_eq!(read_history(&path).expect("readable").records, records(10));
    }

    #[test]
    fn a_truncated_file_gives_a_prefix_and_names_the_damage() {
        let written = records(1000);
        let (_dir, path) = file_of(&written, 50);
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 7]).expect("write");
        let history = read_history(&path).expect("a readable header");
        assert!(history.records.len() < written.len());
        assert_eq!(history.records[..], written[..history.records.len()]);
        assert!(history.damage[0].contains("cut short"), "{:?}", history.damage);
    }

    #[test]
    fn a_flipped_bit_gives_a_prefix_and_names_the_damage() {
        let written = records(1000);
        let (_dir, path) = file_of(&written, 50);
        let mut bytes = std::fs::read(&path).expect("read");
        let last = bytes.len() - 3;
        bytes[last] ^= 0x10;
        std::fs::write(&path, &bytes).expect("write");
        let history = read_history(&path).expect("a readable header");
        assert_eq!(history.records[..], written[..history.records.len()]);
        assert!(history.damage[0].contains("checksum"), "{:?}", history.damage);
    }

    #[test]
    fn a_block_of_more_than_any_writer_makes_is_damage() {
        let (_dir, path) = file_of(&records(10), 100);
        let mut bytes = std::fs::read(&path).expect("read");
        let large = vec![0; MAX_BLOCK_BYTES as usize + 1];
        push_checked(&mut bytes, &zstd::bulk::compress(&large, ZSTD_LEVEL).expect("compress"));
        let mut reader = HistoryReader::new(&bytes[..]).expect("a readable header");
        assert_eq!(reader.by_ref().count(), 10);
        assert!(reader.damage().is_some_and(|damage| damage.contains("does not decompress")));
        assert!(reader.block.capacity() <= MAX_BLOCK_BYTES as usize);
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let (_dir, path) = file_of(&records(1), 1);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[8] = 9;
        std::fs::write(&path, &bytes).expect("write");
        let error = read_history(&path).expect_err("a newer format");
        assert!(matches!(error, HistoryError::OtherVersion { found: 9 }));
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        for bytes in [&b""[..], b"LOCK", b"{\"time\": 3}\n{\"time\": 4}\n", b"LOCKTEST\x01"] {
            assert!(matches!(HistoryReader::new(bytes), Err(HistoryError::NotAHistory)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(tail in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..2000) {
            let (_dir, path) = file_of(&records(20), 5);
            let mut bytes = std::fs::read(&path).expect("read");
            bytes.truncate(cut);
            bytes.extend_from_slice(&tail);
            if let Ok(reader) = HistoryReader::new(&bytes[..]) {
                prop_assert!(reader.count() <= 20 + tail.len());
            }
        }
    }
}
