//! Where the webhook is.

use std::net::IpAddr;

use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderValue, Uri};

use super::address::is_public;

/// Where the webhook is, taken apart. Its path and query may be a secret: there is no `Debug`.
pub(super) struct Target {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_https: bool,
    pub(super) path: PathAndQuery,
    /// The header `host`.
    pub(super) authority: HeaderValue,
}

impl Target {
    /// Reads a URL. What is wrong with it is told without showing it.
    pub(super) fn parse(url: &str, allow_private: bool) -> Result<Self, &'static str> {
        let parts = url.trim().parse::<Uri>().map_err(|_| NO_ADDRESS)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(NO_ADDRESS) };
        if authority.as_str().contains('@') {
            return Err(
                "webhook must not hold a user name or password: a receiver knows us by the signature",
            );
        }
        let is_https = match scheme {
            scheme if scheme == Scheme::HTTPS => true,
            scheme if scheme == Scheme::HTTP && allow_private => false,
            scheme if scheme == Scheme::HTTP => {
                return Err(
                    "webhook must begin with https://; http is for receivers beside you, with allow_private = true",
                );
            }
            _ => return Err(NO_ADDRESS),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(NO_ADDRESS);
        }
        if !allow_private && is_private_by_its_looks(&host) {
            return Err("webhook is a private address; if alerts may go there, say allow_private = true");
        }
        Ok(Self {
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            host,
            is_https,
            path: parts.path_and_query.unwrap_or(PathAndQuery::from_static("/")),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| NO_ADDRESS)?,
        })
    }
}

const NO_ADDRESS: &str = "webhook is no address: write it like https://hooks.example.com/mainstay";

/// Told when the configuration is read, as a courtesy: what decides is the address that is connected to.
fn is_private_by_its_looks(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    name == "localhost"
        || name.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| !is_public(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::address::REFUSED;

    fn told(url: &str) -> &'static str {
        Target::parse(url, false).err().unwrap_or("nothing")
    }

    #[test]
    fn a_public_https_address_is_taken_apart() {
        let target = Target::parse("https://Hooks.Example.com/a/b?token=c#end", false).ok().unwrap();
        assert_eq!((target.host.as_str(), target.port, target.is_https), ("hooks.example.com", 443, true));
        assert_eq!(
            (target.path.as_str(), target.authority.as_bytes()),
            ("/a/b?token=c", &b"Hooks.Example.com"[..])
        );
        let target = Target::parse("https://[2606:4700::1111]:8443", false).ok().unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("2606:4700::1111", 8443, "/"));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_cure_and_never_with_the_address() {
        for (url, cure) in [
            ("hooks.example.com", "write it like https://"),
            ("/hook", "write it like https://"),
            ("ftp://hooks.example.com/", "write it like https://"),
            ("https:///path", "write it like https://"),
            ("https://hooks.exa mple.com", "write it like https://"),
            ("http://hooks.example.com/hunter2", "must begin with https://"),
            ("https://ann:hunter2@hooks.example.com/", "must not hold a user name"),
            ("https://hunter2@hooks.example.com/", "must not hold a user name"),
            ("https://localhost/", "allow_private = true"),
            ("https://a.LOCALHOST./", "allow_private = true"),
        ] {
            let told = told(url);
            assert!(told.contains(cure) && !told.contains("hunter2"), "{url}: {told}");
        }
        for address in REFUSED {
            let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            assert!(told(&format!("https://{host}:8443/x")).contains("allow_private = true"), "{address}");
        }
    }

    #[test]
    fn a_receiver_beside_us_may_be_plain_when_that_is_said() {
        let target = Target::parse("http://127.0.0.1:9000/hook", true).ok().unwrap();
        assert_eq!((target.host.as_str(), target.port, target.is_https), ("127.0.0.1", 9000, false));
        assert!(Target::parse("http://ann@127.0.0.1:9000/hook", true).is_err());
    }
}
