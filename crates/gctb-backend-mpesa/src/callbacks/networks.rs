//! From where a callback came, and whether callbacks come from there.
//!
//! A proxy in front hides the caller behind its own address and names it in X-Forwarded-For, to which anybody may have written
//! before it. So only what the proxies of the settings have added is believed: the rightmost address that is not theirs.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::setup::SetupError;

const EXPECTED: &str = "must be networks or addresses with commas between them, such as 192.0.2.0/24";

/// Networks of the settings.
#[derive(Clone, Debug)]
pub(super) struct Networks(Vec<IpNet>);

impl Networks {
    /// Networks and addresses, separated by commas.
    pub(super) fn parse(text: &str, setting: &'static str) -> Result<Self, SetupError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(network).collect::<Option<Vec<_>>>();
        networks.map(Self).ok_or(SetupError::Unusable { setting, expected: EXPECTED })
    }

    /// This machine.
    pub(super) fn loopback() -> Self {
        Self(["127.0.0.0/8", "::1"].into_iter().filter_map(network).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Who calls: the peer, or whom the proxies in front say that they speak for. `forwarded` are the values of X-Forwarded-For in
/// their order. None where a proxy names something that is no address.
pub(super) fn caller<'a>(
    peer: IpAddr,
    proxies: &Networks,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
) -> Option<IpAddr> {
    let mut caller = peer.to_canonical();
    for hop in forwarded.flat_map(|value| value.split(',')).rev() {
        if !proxies.contains(caller) {
            break;
        }
        caller = address(hop.trim())?;
    }
    Some(caller)
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        Networks::parse(text, "networks").expect(text)
    }

    #[test]
    fn networks_are_read_or_refused_by_the_name_of_their_setting() {
        let some = networks("192.0.2.0/24, 198.51.100.7 ,2001:db8::/32");
        for (address, inside) in [
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(some.contains(address.parse().expect("an address")), inside, "{address}");
        }
        assert!(networks("").is_empty());
        for wrong in ["192.0.2.0/33", "192.0.2", "localhost", "192.0.2.0/24 198.51.100.7"] {
            let error = Networks::parse(wrong, "listener.networks").expect_err(wrong).to_string();
            assert!(error.contains("listener.networks"), "{error}");
        }
    }

    #[test]
    fn the_caller_is_the_rightmost_address_that_is_no_proxy_of_ours() {
        let proxies = networks("10.0.0.0/8");
        let called = |peer: &str, forwarded: &[&str]| {
            let caller = caller(peer.parse().expect("an address"), &proxies, forwarded.iter().copied());
            caller.map(|caller| caller.to_string())
        };
        let caller = |peer, forwarded| called(peer, forwarded).expect("an address");
        assert_eq!(caller("192.0.2.1", &["198.51.100.1"]), "192.0.2.1", "a stranger's word about himself");
        assert_eq!(caller("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(caller("10.0.0.1", &["192.0.2.9, 198.51.100.1, 10.2.0.1"]), "198.51.100.1", "two proxies of ours");
        assert_eq!(caller("10.0.0.1", &["192.0.2.9", "198.51.100.1"]), "198.51.100.1", "in two lines");
        assert_eq!(caller("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(caller("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(caller("::ffff:10.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1", "the same by another name");
        assert_eq!(caller("10.0.0.1", &[]), "10.0.0.1", "it names nobody");
        assert_eq!(caller("10.0.0.1", &["10.0.0.2"]), "10.0.0.2", "only proxies");
        assert_eq!(called("10.0.0.1", &["unknown"]), None);
        assert_eq!(called("10.0.0.1", &["198.51.100.1, "]), None);
    }
}
