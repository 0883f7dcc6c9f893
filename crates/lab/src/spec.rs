//! What a caller asks of a lab.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{LabError, Subnet};

/// The most servers of a lab: their addresses end in 1 to 99.
pub const MAX_SERVERS: u16 = 99;

/// The most clients of a lab: their addresses end in 101 to 250.
pub const MAX_CLIENTS: u16 = 150;

/// What a caller asks of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabSpec {
    /// 1 to 6 characters of a-z and 0-9; `None` picks four at random.
    pub id: Option<String>,
    /// How many server nodes, at least one.
    pub servers: u16,
    /// How many client namespaces.
    pub clients: u16,
    /// The addresses; `None` picks a free range.
    pub subnet: Option<Subnet>,
}

impl LabSpec {
    /// The numbers of servers and clients, if a lab can have them.
    pub(crate) fn size(&self) -> Result<(u8, u8), LabError> {
        let LabSpec { servers, clients, .. } = *self;
        let bad = |_| LabError::BadSize { servers, clients };
        if !(1..=MAX_SERVERS).contains(&servers) || clients > MAX_CLIENTS {
            return Err(LabError::BadSize { servers, clients });
        }
        Ok((u8::try_from(servers).map_err(bad)?, u8::try_from(clients).map_err(bad)?))
    }

    /// The id asked for, if it can be one.
    pub(crate) fn asked_id(&self) -> Result<Option<LabId>, LabError> {
        self.id.as_deref().map(LabId::parse).transpose()
    }
}

/// The id that everything of one lab carries in its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct LabId(String);

impl LabId {
    pub fn parse(id: &str) -> Result<LabId, LabError> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if (1..=6).contains(&id.len()) && id.chars().all(good) {
            return Ok(LabId(id.to_owned()));
        }
        Err(LabError::BadId { id: id.to_owned() })
    }

    pub fn random() -> LabId {
        LabId(format!("{:04x}", rand::random::<u16>()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LabId {
    type Error = LabError;

    fn try_from(id: String) -> Result<LabId, LabError> {
        LabId::parse(&id)
    }
}

impl From<LabId> for String {
    fn from(id: LabId) -> String {
        id.0
    }
}

impl fmt::Display for LabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain() {
        for good in ["a", "0", "ab12", "zzzzzz"] {
            assert_eq!(LabId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "abcdefg", "Ab", "a-b", "..", "a/b", "é", "a b"] {
            assert!(matches!(LabId::parse(bad), Err(LabError::BadId { .. })), "{bad}");
        }
        assert!(LabId::parse(LabId::random().as_str()).is_ok());
    }

    #[test]
    fn a_lab_has_as_many_nodes_as_its_range_has_addresses() {
        let size = |servers, clients| LabSpec { id: None, servers, clients, subnet: None }.size();
        assert_eq!(size(1, 0).unwrap(), (1, 0));
        assert_eq!(size(99, 150).unwrap(), (99, 150));
        for (servers, clients) in [(0, 5), (100, 0), (5, 151), (u16::MAX, u16::MAX)] {
            let error = size(servers, clients).unwrap_err();
            assert!(matches!(error, LabError::BadSize { .. }), "{error}");
        }
    }
}
