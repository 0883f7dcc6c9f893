//! What every reader is asked.

use locktest_formats::{Contents, Format, Options, detect, read, write_jepsen_edn};
use locktest_history::export_json_lines;

/// The stamps are lines, the stamps are times, and the history is of something else.
const MODELS: [Option<&str>; 3] = [None, Some("lease-mutex:1s"), Some("fenced-resource")];

/// Reads the input strictly and leniently. What strictly reads well loses nothing leniently, and
/// there are no more operations than bytes.
pub fn read_all(format: Format, bytes: &[u8]) {
    let _ = detect(bytes);
    for model in MODELS {
        let specification = model.and_then(|model| model.parse().ok());
        let [strict, lenient] = [false, true].map(|lenient| {
            let options = Options { lenient, specification };
            let contents = read(format, bytes, &options).ok()?;
            if let Contents::Run(history) = &contents {
                let mut out = Vec::new();
                export_json_lines(history, &mut out).expect("writes to memory");
                write_jepsen_edn(history, &mut out).expect("writes to memory");
            }
            contents.operations(&options).ok()
        });
        if let Some(lenient) = &lenient {
            let count: usize = lenient.objects.iter().map(|object| object.operations.len()).sum();
            assert!(count <= bytes.len());
        }
        if let Some(strict) = strict {
            let lenient = lenient.expect("what reads strictly reads leniently");
            assert_eq!(strict.objects, lenient.objects);
            assert_eq!(lenient.skipped.count, 0);
        }
    }
}
