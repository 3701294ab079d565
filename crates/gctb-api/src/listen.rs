//! The socket that senders reach. Loopback alone, until senders can be authenticated.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use crate::settings::HttpSettings;

/// Why the service does not listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Not an address.
    #[error("{bind:?} (setting http.bind) is not an address such as \"127.0.0.1:8080\"")]
    Address {
        /// What the settings say.
        bind: String,
        /// What is wrong with it.
        #[source]
        cause: std::io::Error,
    },
    /// Reachable by others, without leave to be reached.
    #[error(
        "{bind} (setting http.bind) is reachable by others and senders are not authenticated yet: set http.open = true only behind a gateway that authenticates them"
    )]
    NotLoopback {
        /// What the settings say.
        bind: String,
    },
    /// Somebody else has the port, or the address is not ours.
    #[error("could not listen on {bind} (setting http.bind)")]
    Bind {
        /// What the settings say.
        bind: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}

/// Binds the address of the settings.
///
/// # Errors
/// One sentence that says which setting to change.
pub(crate) fn listen(settings: &HttpSettings) -> Result<TcpListener, ListenError> {
    let bind = || settings.bind.clone();
    let addresses: Vec<SocketAddr> =
        settings.bind.to_socket_addrs().map_err(|cause| ListenError::Address { bind: bind(), cause })?.collect();
    if !settings.open && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(ListenError::NotLoopback { bind: bind() });
    }
    TcpListener::bind(addresses.as_slice()).map_err(|cause| ListenError::Bind { bind: bind(), cause })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(bind: &str, open: bool) -> HttpSettings {
        HttpSettings {
            bind: bind.to_owned(),
            open,
            workers: 1,
            body_bytes_max: 1,
            bodies_in_flight_bytes_max: 1,
            room_wait: Duration::from_secs(1),
            body_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(1),
            retry_after: Duration::from_secs(1),
            shutdown_deadline: Duration::from_secs(1),
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_leave() {
        let error = listen(&settings("0.0.0.0:0", false)).expect_err("refused").to_string();
        assert!(error.contains("http.open = true"), "{error}");
        assert!(listen(&settings("127.0.0.1:0", false)).is_ok());
    }

    #[test]
    fn what_is_wrong_with_the_address_is_said() {
        assert!(matches!(listen(&settings("nonsense", false)), Err(ListenError::Address { .. })));
        let taken = listen(&settings("127.0.0.1:0", false)).expect("a free port");
        let bind = taken.local_addr().expect("bound").to_string();
        assert!(matches!(listen(&settings(&bind, false)), Err(ListenError::Bind { .. })));
    }
}
