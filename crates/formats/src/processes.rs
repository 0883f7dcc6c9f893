//! Small numbers for processes, whatever a history calls them.

use std::collections::HashMap;
use std::fmt;

use locktest_checker::Process;
use locktest_history::ClientId;

/// What a history calls a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProcessName {
    /// A number.
    Number(i64),
    /// A word.
    Word(Box<str>),
    /// A client of a run and its attempt.
    Owner(ClientId, u64),
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessName::Number(number) => write!(f, "{number}"),
            ProcessName::Word(word) => f.write_str(word),
            ProcessName::Owner(client, attempt) => write!(f, "{client}'s attempt {attempt}"),
        }
    }
}

/// Numbers below this are looked up in a table.
const TABLE_LENGTH: usize = 1 << 16;

/// The processes of a history, numbered from zero in order of their first events.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    names: Vec<ProcessName>,
    /// One more than the number of a process that is called by a small number; zero if it is new.
    table: Vec<Process>,
    others: HashMap<ProcessName, Process>,
}

impl Processes {
    /// What the history calls a process; `None` if there is none of this number.
    pub fn name(&self, process: Process) -> Option<&ProcessName> {
        self.names.get(process as usize)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The name in a message.
    pub(crate) fn text(&self, process: Process) -> String {
        self.name(process).map_or_else(|| process.to_string(), ProcessName::to_string)
    }

    /// The process that is called by this number.
    pub(crate) fn numbered(&mut self, name: i64) -> Process {
        let small = usize::try_from(name).ok().filter(|index| *index < TABLE_LENGTH);
        let Some(index) = small else { return self.named(ProcessName::Number(name)) };
        if index >= self.table.len() {
            self.table.resize((index + 1).next_power_of_two(), 0);
        }
        if self.table[index] == 0 {
            self.names.push(ProcessName::Number(name));
            self.table[index] = self.last() + 1;
        }
        self.table[index] - 1
    }

    /// The process that is called so.
    pub(crate) fn named(&mut self, name: ProcessName) -> Process {
        if let Some(process) = self.others.get(&name) {
            return *process;
        }
        self.names.push(name.clone());
        let process = self.last();
        self.others.insert(name, process);
        process
    }

    fn last(&self) -> Process {
        Process::try_from(self.names.len() - 1).expect("memory holds fewer processes")
    }
}

/// Processes that go by their numbers as they are, so that nothing needs to be remembered of those
/// that a history has done with; except of a number that is too large for that.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessNumbers {
    large: Processes,
}

/// What the numbers from here on stand for is in a table.
const FIRST_LARGE: Process = 1 << 31;

impl ProcessNumbers {
    /// The process of this number.
    pub(crate) fn process(&mut self, number: i64) -> Process {
        match Process::try_from(number) {
            Ok(process) if process < FIRST_LARGE => process,
            _ => {
                let process = FIRST_LARGE.checked_add(self.large.numbered(number));
                process.expect("memory holds fewer processes")
            }
        }
    }

    /// Of how many processes something is kept.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.large.count()
    }

    /// The number of a process.
    pub(crate) fn number(&self, process: Process) -> i64 {
        let large = process.checked_sub(FIRST_LARGE).and_then(|large| self.large.name(large));
        match large {
            Some(ProcessName::Number(number)) => *number,
            _ => i64::from(process),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_are_told_apart_and_given_back() {
        let mut processes = ProcessNumbers::default();
        let first_large = i64::from(FIRST_LARGE);
        let numbers =
            [0, first_large - 1, first_large, first_large + 1, i64::from(u32::MAX) + 1, i64::MAX];
        for _ in 0..2 {
            let given = numbers.map(|number| processes.process(number));
            assert_eq!(given.map(|process| processes.number(process)), numbers);
        }
        assert_eq!(processes.remembered(), 4, "only the large ones are remembered, and once");
    }

    #[test]
    fn processes_are_numbered_in_order_of_their_first_events() {
        let mut processes = Processes::default();
        let names = [7, i64::MAX, 0, -3, 7, 70_000, -3, i64::MAX];
        let numbers: Vec<Process> = names.iter().map(|name| processes.numbered(*name)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 0, 4, 3, 1]);
        assert_eq!(processes.named(ProcessName::Word("c1".into())), 5);
        assert_eq!(processes.text(1), i64::MAX.to_string());
        assert_eq!(processes.count(), 6);
    }

    #[test]
    fn a_huge_number_takes_no_more_room_than_a_small_one() {
        let mut processes = Processes::default();
        processes.numbered(i64::MAX);
        processes.numbered(TABLE_LENGTH as i64);
        assert!(processes.table.is_empty());
    }
}
