//! What the settings say about a payee: pay it, resolve it, or refuse it. Nobody guesses.

use gctb_domain::{BackendName, FaKind, FaStrategies, FinancialAddress, StrategyError};

use crate::routes::{RouteError, Routes};
use crate::settings::Settings;

/// The compiled FA strategies and routes.
#[derive(Clone, Debug)]
pub struct Rules {
    strategies: FaStrategies,
    routes: Routes,
}

/// Why the rules of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A strategy does not compile.
    #[error("the FA strategies (setting strategy) cannot be used")]
    Strategies(#[source] StrategyError),
    /// A route does not compile, or leads to nobody.
    #[error("the routes (setting route) cannot be used")]
    Routes(#[source] RouteError),
}

/// What a text is, by the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// An address that this backend pays.
    Payable(&'a BackendName),
    /// An address that no route leads anywhere.
    NoRoute,
    /// An id, to be resolved.
    Id,
    /// Of no form that a strategy knows.
    Unknown,
}

impl Rules {
    /// Compiles what the settings say.
    ///
    /// # Errors
    /// Names the strategy or route that cannot be used.
    pub fn compile(settings: &Settings) -> Result<Self, RulesError> {
        Ok(Self {
            strategies: FaStrategies::compile(&settings.strategy).map_err(RulesError::Strategies)?,
            routes: Routes::compile(&settings.route, &settings.backends).map_err(RulesError::Routes)?,
        })
    }

    pub(crate) fn form(&self, address: &FinancialAddress) -> Form<'_> {
        match self.strategies.of(address).map(|strategy| strategy.kind()) {
            None => Form::Unknown,
            Some(FaKind::Id) => Form::Id,
            Some(FaKind::Address) => self.routes.of(address).map_or(Form::NoRoute, Form::Payable),
        }
    }
}

#[cfg(test)]
mod tests {
    use gctb_domain::default_strategies;

    use super::*;
    use crate::routes::RouteSetting;

    #[test]
    fn ids_are_resolved_addresses_paid_and_the_rest_is_refused() {
        let file = BackendName::parse("file").expect("a name");
        let to_banks = RouteSetting { pattern: "bank_acc$".to_owned(), backend: file.clone() };
        let rules = Rules {
            strategies: FaStrategies::compile(&default_strategies()).expect("they compile"),
            routes: Routes::compile(&[to_banks], std::slice::from_ref(&file)).expect("they compile"),
        };
        let table = [
            ("account:5494373447@indigo.dfsp2.bank_acc", Form::Payable(&file)),
            ("token:ABC123@nationalId", Form::Id),
            ("phone:+254700000001", Form::NoRoute),
            ("cowrie-shells:12", Form::Unknown),
            ("token:ABC@voterId", Form::Unknown),
        ];
        for (text, expected) in table {
            assert_eq!(rules.form(&FinancialAddress::parse(text).expect(text)), expected, "{text}");
        }
    }
}
