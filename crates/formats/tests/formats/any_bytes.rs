//! No input makes a reader panic, hang, or take much more memory than the input does.

use locktest_formats::events::EventReader;
use locktest_formats::{Contents, Format, Loaded, Options, detect, read};
use proptest::prelude::*;

use crate::as_log;

/// Pieces of every format, so that random input gets somewhere.
const PIECES: [&str; 62] = [
    "0 ",
    "1 ",
    "invoke ",
    "ok ",
    "fail ",
    "info ",
    "acquire",
    "try",
    "release",
    "\n",
    "#",
    " ",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "\\",
    "#{",
    "#_",
    "#tag ",
    ";",
    ":",
    ",",
    "nil",
    "-1",
    "3",
    "99999999999999999999",
    "1e999",
    ":process 0 ",
    ":type :invoke ",
    ":type :ok ",
    ":type :fail ",
    ":type :info ",
    ":f :acquire ",
    ":f :read ",
    ":f :cas ",
    ":f :append ",
    ":value [1 2] ",
    ":value \"x\" ",
    ":key 1 ",
    ":time 5 ",
    ":index 7 ",
    ":token 2 ",
    ":error {} ",
    "#jepsen.history.Op{",
    "INFO  jepsen.util - ",
    "\t:invoke",
    "\t:ok",
    "\t:read",
    "\t:write\t4\n",
    "{\"process\":0,",
    "\"type\":\"invoke\",",
    "\"f\":\"cas\",",
    "\"value\":[1,2]}\n",
    "\"time_ns\":18446744073709551615,",
    "{\"record\":\"run\"",
    "LOCKTEST",
    "\r\n",
    "\u{e9}",
];

/// Reads the input in every way and looks at the size of what comes of it.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let _ = detect(bytes);
    for model in [None, Some("lease-mutex:1s"), Some("fenced-resource"), Some("kv")] {
        for lenient in [false, true] {
            let specification = model.map(|model| model.parse().expect(model));
            let options = Options { lenient, specification };
            for format in Format::ALL {
                if let Ok(Contents::Operations(loaded)) = read(format, bytes, &options) {
                    prop_assert!(
                        size(&loaded) <= bytes.len(),
                        "{} of {}",
                        size(&loaded),
                        bytes.len()
                    );
                }
            }
        }
    }
    let events = EventReader::new(bytes).count();
    prop_assert!(events <= bytes.len());
    Ok(())
}

fn size(loaded: &Loaded) -> usize {
    let operations = loaded.objects.iter().map(|object| object.operations.len()).sum::<usize>();
    operations + loaded.objects.len() + loaded.processes.count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes)?;
    }

    #[test]
    fn random_pieces_are_survived(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60)) {
        survives(pieces.concat().as_bytes())?;
    }

    #[test]
    fn a_history_with_a_wrong_byte_is_survived(at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<proptest::sample::Index>()) {
        let (_, log) = &as_log::logs()[1];
        let mut bytes = log.as_bytes()[..=cut.index(log.len() - 1)].to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        survives(&bytes)?;
    }
}

#[test]
fn what_repeats_without_end_is_survived() {
    for piece in PIECES {
        survives(piece.repeat(5_000).as_bytes()).expect(piece);
    }
    let numbers: String =
        (0..50_000u64).map(|n| format!("{} invoke try\n", n * 170_000_000)).collect();
    survives(numbers.as_bytes()).expect("numbers");
}
