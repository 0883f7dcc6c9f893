//! `./locktest.toml`: defaults for the flags of `run`.
//!
//! A key is a flag's long name. A flag on the command line or in the environment wins.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

const FILE: &str = "locktest.toml";

/// How alike two names must be for one to be suggested in place of the other.
const LIKENESS: f64 = 0.8;

/// Adds to a command line of `run` what the file says and nothing else does.
pub fn complete(
    line: &[OsString],
    command: &Command,
    matches: &ArgMatches,
) -> Result<Vec<OsString>> {
    let mut line = line.to_vec();
    let text = match std::fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(line),
        Err(error) => return Err(error).with_context(|| format!("cannot read {FILE}")),
    };
    for (flag, value) in flags_of(&text, command, Path::new(FILE))? {
        let id = flag.replace('-', "_");
        if !matches.value_source(&id).is_some_and(is_explicit) {
            line.push(match value {
                Some(value) => format!("--{flag}={value}").into(),
                None => format!("--{flag}").into(),
            });
        }
    }
    Ok(line)
}

/// Whether a value was given rather than assumed.
pub fn is_explicit(source: ValueSource) -> bool {
    matches!(source, ValueSource::CommandLine | ValueSource::EnvVariable)
}

/// The flags that a file sets; one without a value is a switch that is on.
fn flags_of(text: &str, command: &Command, file: &Path) -> Result<Vec<(String, Option<String>)>> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        anyhow!("{} is not valid TOML: {}", file.display(), error.to_string().trim_end())
    })?;
    let run = command.find_subcommand("run").context("the command line has no `run`")?;
    let known: Vec<&str> = run.get_arguments().filter_map(|argument| argument.get_long()).collect();
    let mut flags = Vec::new();
    for (key, value) in table {
        let Some(argument) =
            run.get_arguments().find(|argument| argument.get_long() == Some(key.as_str()))
        else {
            let nearest = nearest(&key, &known);
            let hint = nearest.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
            bail!("{}: unknown key '{key}'{hint}", file.display());
        };
        let takes_value = argument.get_action().takes_values();
        match value {
            toml::Value::Boolean(on) if !takes_value => {
                if on {
                    flags.push((key, None));
                }
            }
            toml::Value::String(text) if takes_value => flags.push((key, Some(text))),
            toml::Value::Integer(number) if takes_value => {
                flags.push((key, Some(number.to_string())));
            }
            toml::Value::Boolean(on) if takes_value => flags.push((key, Some(on.to_string()))),
            other => bail!(
                "{}: '{key}' takes {}, not a {}",
                file.display(),
                if takes_value { "a string or a number" } else { "true or false" },
                other.type_str()
            ),
        }
    }
    Ok(flags)
}

/// The known name that is most like a key, if it is like it at all.
pub fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(key, name), *name))
        .filter(|(likeness, _)| *likeness > LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn flags(text: &str) -> Result<Vec<(String, Option<String>)>> {
        flags_of(text, &crate::cli::Arguments::command(), Path::new("locktest.toml"))
    }

    #[test]
    fn strings_numbers_and_switches_become_flags() {
        let expected = [("clients", Some("7")), ("hold", Some("20ms")), ("overrun", None)]
            .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        let found = flags("clients = 7\nhold = \"20ms\"\noverrun = true\n").expect("valid");
        assert_eq!(found, expected);
        assert_eq!(flags("overrun = false").expect("valid"), []);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let error = flags("client = 7").expect_err("no such flag").to_string();
        assert!(error.contains("unknown key 'client'; did you mean 'clients'?"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        assert!(flags("overrun = \"yes\"").is_err());
        assert!(flags("clients = [1]").is_err());
    }
}
