//! The command line that a run records, read again.

use std::ffi::OsString;

use clap::{Command, CommandFactory, FromArgMatches};

use super::{Arguments, RunArgs, given_flags};

/// The flags of `run` in these words. The environment counts, the configuration file does not: what
/// it said is in the command line that a run records.
pub fn parse_run(words: impl IntoIterator<Item = OsString>) -> Result<RunArgs, clap::Error> {
    parse_by(&Arguments::command(), words)
}

/// The flags of a command line `locktest run ...`, and nothing else: neither the environment nor the
/// configuration file counts.
pub fn run_args_of(line: &str) -> Result<RunArgs, clap::Error> {
    let words = words_of(line).into_iter().skip(2).map(OsString::from);
    let command = Arguments::command()
        .mut_subcommand("run", |run| run.mut_args(|argument| argument.env(None::<&'static str>)));
    parse_by(&command, words)
}

fn parse_by(
    command: &Command,
    words: impl IntoIterator<Item = OsString>,
) -> Result<RunArgs, clap::Error> {
    let line = ["locktest", "run"].map(OsString::from).into_iter().chain(words);
    let mut matches = command.clone().try_get_matches_from(line)?;
    let (_, mut matches) = matches.remove_subcommand().unwrap_or_default();
    let given = given_flags(command, &matches);
    let run = RunArgs::from_arg_matches_mut(&mut matches)?;
    Ok(RunArgs { given, ..run })
}

/// The words of a line, as a shell reads them: the way back from
/// [`quote`](locktest_cluster::quote).
pub fn words_of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if !is_quoted => word.get_or_insert_default().extend(letters.next()),
            blank if blank.is_whitespace() && !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use locktest_cluster::quote;

    use super::*;

    #[test]
    fn what_was_quoted_comes_back_word_by_word() {
        let words = ["--target", "n1,n2", "", "a b", "it's", r"back\slash", "'", "\"", "$x", "é"];
        let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
        assert_eq!(words_of(&line.join(" ")), words);
        assert_eq!(words_of("  "), Vec::<String>::new());
    }
}
