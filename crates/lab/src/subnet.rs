//! A lab's range of addresses, and which ranges this machine leaves free.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::command::Invocation;

/// A private IPv4 range of 256 addresses, written as `10.213.7.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    prefix: [u8; 3],
}

impl Subnet {
    /// The first range that a lab tries.
    pub(crate) const FIRST_CANDIDATE: Subnet = Subnet { prefix: [10, 213, 0] };

    /// The ranges that a lab tries in turn, from all three private blocks: a machine in a private
    /// network often has a route to one whole block.
    fn candidates() -> impl Iterator<Item = Subnet> {
        [(10, 213), (172, 29), (192, 168)]
            .into_iter()
            .flat_map(|(a, b)| (0..=255).map(move |c| Subnet { prefix: [a, b, c] }))
    }

    /// The address that ends in `last`.
    pub(crate) fn host(self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, last)
    }

    fn overlaps(self, other: &Ipv4Range) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(other.prefix_len.min(24))).unwrap_or(0);
        u32::from(self.host(0)) & mask == u32::from(other.address) & mask
    }
}

impl FromStr for Subnet {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Subnet, LabError> {
        let bad = || LabError::BadSubnet { text: text.to_owned() };
        let address = text.strip_suffix("/24").ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        match address.octets() {
            [a, b, c, 0] if address.is_private() => Ok(Subnet { prefix: [a, b, c] }),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Subnet {
    type Error = LabError;

    fn try_from(text: String) -> Result<Subnet, LabError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.host(0))
    }
}

/// An address or a route of this machine.
#[derive(Debug, PartialEq, Eq)]
struct Ipv4Range {
    address: Ipv4Addr,
    prefix_len: u8,
}

impl fmt::Display for Ipv4Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// The commands that tell which ranges this machine uses: its addresses, and its routes.
pub(crate) fn queries() -> [Invocation; 2] {
    let ip = || Invocation::new("ip").args(["-json", "-4"]);
    [ip().args(["address", "show"]), ip().args(["route", "show", "table", "all"])]
}

/// Picks a range that no address and no route of this machine overlaps, or checks the one that
/// was asked for. The answer holds only while nobody else adds an address.
pub(crate) async fn choose(asked: Option<Subnet>) -> Result<Subnet, LabError> {
    let [addresses, routes] = queries();
    let mut used = used_by_addresses(&addresses.run().await?)?;
    used.extend(used_by_routes(&routes.run().await?)?);
    choose_among(asked, &used)
}

fn choose_among(asked: Option<Subnet>, used: &[Ipv4Range]) -> Result<Subnet, LabError> {
    let conflict = |subnet: Subnet| used.iter().find(|range| subnet.overlaps(range));
    match asked {
        Some(subnet) => match conflict(subnet) {
            None => Ok(subnet),
            Some(range) => Err(LabError::OverlappingSubnet { subnet, with: range.to_string() }),
        },
        None => Subnet::candidates()
            .find(|subnet| conflict(*subnet).is_none())
            .ok_or(LabError::NoFreeSubnet),
    }
}

/// `ip` may print nothing at all instead of an empty list.
fn parse_list<T: for<'a> Deserialize<'a>>(json: &str) -> Result<Vec<T>, LabError> {
    if json.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(json).map_err(|error| LabError::UnreadableNetwork { error })
}

fn used_by_addresses(json: &str) -> Result<Vec<Ipv4Range>, LabError> {
    #[derive(Deserialize)]
    struct Link {
        #[serde(default)]
        addr_info: Vec<Address>,
    }
    #[derive(Deserialize)]
    struct Address {
        local: Ipv4Addr,
        prefixlen: u8,
    }
    let links: Vec<Link> = parse_list(json)?;
    let addresses = links.into_iter().flat_map(|link| link.addr_info);
    Ok(addresses
        .map(|address| Ipv4Range { address: address.local, prefix_len: address.prefixlen })
        .collect())
}

/// Routes wider than a /8 are default routes by another name (a VPN may have 0.0.0.0/1), and
/// would forbid every range.
fn used_by_routes(json: &str) -> Result<Vec<Ipv4Range>, LabError> {
    #[derive(Deserialize)]
    struct Route {
        dst: String,
    }
    let routes: Vec<Route> = parse_list(json)?;
    let parse = |route: Route| {
        let (address, prefix_len) = route.dst.split_once('/').unwrap_or((&route.dst, "32"));
        Some(Ipv4Range { address: address.parse().ok()?, prefix_len: prefix_len.parse().ok()? })
    };
    Ok(routes.into_iter().filter_map(parse).filter(|range| range.prefix_len >= 8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Ipv4Range {
        let (address, prefix_len) = text.split_once('/').unwrap();
        Ipv4Range { address: address.parse().unwrap(), prefix_len: prefix_len.parse().unwrap() }
    }

    #[test]
    fn a_subnet_is_read_back_as_it_is_written() {
        for text in ["10.213.7.0/24", "192.168.0.0/24", "172.16.255.0/24"] {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_a_private_range_of_256_addresses_is_a_subnet() {
        for text in
            ["", "10.0.0.0", "10.0.0.0/16", "10.0.0.1/24", "8.8.8.0/24", "127.0.0.0/24", "x/24"]
        {
            assert!(matches!(text.parse::<Subnet>(), Err(LabError::BadSubnet { .. })), "{text}");
        }
    }

    #[test]
    fn ranges_overlap_in_either_direction() {
        let subnet: Subnet = "10.213.7.0/24".parse().unwrap();
        for meeting in ["10.213.7.0/24", "10.213.7.99/32", "10.0.0.0/8", "10.213.7.128/25"] {
            assert!(subnet.overlaps(&range(meeting)), "{meeting}");
        }
        for apart in ["10.213.8.0/24", "10.213.6.255/32", "11.0.0.0/8"] {
            assert!(!subnet.overlaps(&range(apart)), "{apart}");
        }
    }

    #[test]
    fn the_first_free_candidate_is_chosen() {
        let choose = |used: &[&str]| {
            let used: Vec<_> = used.iter().map(|text| range(text)).collect();
            choose_among(None, &used).map(|subnet| subnet.to_string())
        };
        assert_eq!(choose(&[]).unwrap(), "10.213.0.0/24");
        assert_eq!(choose(&["10.213.0.0/23"]).unwrap(), "10.213.2.0/24");
        assert_eq!(choose(&["10.0.0.0/8"]).unwrap(), "172.29.0.0/24");
        let error = choose(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]).unwrap_err();
        assert!(matches!(error, LabError::NoFreeSubnet));
    }

    #[test]
    fn a_subnet_in_use_is_refused_with_what_it_meets() {
        let asked = "10.213.7.0/24".parse().unwrap();
        let error = choose_among(Some(asked), &[range("10.0.0.0/8")]).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
    }

    #[test]
    fn default_routes_and_their_halves_forbid_nothing() {
        let json = r#"[{"dst":"default"},{"dst":"0.0.0.0/1"},{"type":"local","dst":"10.1.2.3"}]"#;
        assert_eq!(used_by_routes(json).unwrap(), [range("10.1.2.3/32")]);
    }

    #[test]
    fn an_unreadable_list_is_an_error_and_not_an_empty_one() {
        assert!(used_by_routes("[{]").is_err());
        assert_eq!(used_by_routes("\n").unwrap(), []);
    }

    #[test]
    fn links_without_addresses_are_passed_over() {
        let json = r#"[{},{"ifname":"eth0","addr_info":[{"local":"10.1.2.3","prefixlen":24}]}]"#;
        assert_eq!(used_by_addresses(json).unwrap(), [range("10.1.2.3/24")]);
    }
}
