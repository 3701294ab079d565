//! Routes: ordered patterns over a financial address that name the backend which pays it.
//!
//! A route knows nothing of whether an address is one: that is asked before (see `rules`).

use gctb_domain::{BackendName, FinancialAddress};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

/// Size limit of one compiled pattern in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// One route as it stands in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSetting {
    /// A regular expression that is searched for in the address, without regard to case.
    pub pattern: String,
    /// Who pays what matches.
    pub backend: BackendName,
}

/// Compiled routes in the order in which they are tried; the first match decides.
#[derive(Clone, Debug)]
pub(crate) struct Routes(Vec<(Regex, BackendName)>);

/// Why routes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Every instruction would be rejected.
    #[error("there is no route; set at least one [[route]]")]
    None,
    /// Not a regular expression, or too large a one.
    #[error("the pattern {pattern:?} of the route to {backend} is not a regular expression that can be used")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Where it leads.
        backend: BackendName,
        /// What is wrong with it.
        #[source]
        cause: Box<regex::Error>,
    },
    /// Nobody would read what is sent there.
    #[error(
        "the route {pattern:?} leads to the backend {backend}, which is not among the enabled backends ({enabled})"
    )]
    NotEnabled {
        /// The pattern.
        pattern: String,
        /// Where it leads.
        backend: BackendName,
        /// Which are enabled.
        enabled: String,
    },
}

impl Routes {
    /// Compiles the routes of the settings.
    ///
    /// # Errors
    /// The first route that cannot be used.
    pub(crate) fn compile(settings: &[RouteSetting], enabled: &[BackendName]) -> Result<Self, RouteError> {
        if settings.is_empty() {
            return Err(RouteError::None);
        }
        settings.iter().map(|route| compile(route, enabled)).collect::<Result<_, _>>().map(Self)
    }

    /// The backend that pays `address`. None: nobody may guess one.
    pub(crate) fn of(&self, address: &FinancialAddress) -> Option<&BackendName> {
        self.0.iter().find(|(pattern, _)| pattern.is_match(address.as_str())).map(|(_, backend)| backend)
    }
}

fn compile(route: &RouteSetting, enabled: &[BackendName]) -> Result<(Regex, BackendName), RouteError> {
    let RouteSetting { pattern, backend } = route.clone();
    if !enabled.contains(&backend) {
        let enabled = enabled.iter().map(BackendName::as_str).collect::<Vec<_>>().join(", ");
        return Err(RouteError::NotEnabled { pattern, backend, enabled });
    }
    match RegexBuilder::new(&pattern).case_insensitive(true).size_limit(PATTERN_BYTES_MAX).build() {
        Ok(compiled) => Ok((compiled, backend)),
        Err(cause) => Err(RouteError::Pattern { pattern, backend, cause: Box::new(cause) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(name: &str) -> BackendName {
        BackendName::parse(name).expect("a name")
    }

    fn route(pattern: &str, to: &str) -> RouteSetting {
        RouteSetting { pattern: pattern.to_owned(), backend: backend(to) }
    }

    #[test]
    fn the_rules_of_the_original_bridge_lead_where_they_led() {
        let enabled = [backend("mpesa"), backend("mojaloop")];
        let settings = [route("(mpesa)$", "mpesa"), route("(bank_acc|wallet)$", "mojaloop")];
        let routes = Routes::compile(&settings, &enabled).expect("they compile");
        let table = [
            ("email:john@x.com.mpesa", Some("mpesa")),
            ("account:254700@safari.MPESA", Some("mpesa")),
            ("account:5494373447@indigo.dfsp2.bank_acc", Some("mojaloop")),
            ("account:254700@dfsp.wallet", Some("mojaloop")),
            ("phone:+254700000001", None),
        ];
        for (text, expected) in table {
            let address = FinancialAddress::parse(text).expect(text);
            assert_eq!(routes.of(&address).map(BackendName::as_str), expected, "{text}");
        }
    }

    #[test]
    fn a_route_to_a_backend_that_is_not_enabled_is_refused_by_name() {
        let error = Routes::compile(&[route(".*", "mpesa")], &[backend("file")]).expect_err("nobody reads there");
        assert_eq!(
            error.to_string(),
            "the route \".*\" leads to the backend mpesa, which is not among the enabled backends (file)"
        );
    }

    #[test]
    fn no_route_at_all_and_a_broken_pattern_are_refused() {
        assert!(matches!(Routes::compile(&[], &[backend("file")]), Err(RouteError::None)));
        let error = Routes::compile(&[route("(", "file")], &[backend("file")]).expect_err("not a pattern");
        assert!(error.to_string().contains("\"(\""), "{error}");
    }
}
