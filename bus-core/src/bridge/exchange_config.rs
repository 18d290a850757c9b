//! What an operator settles for calls over one direction of a bridge.

use crate::error::{ErrorKind, Failure};
use crate::limits::{CALLS_BYTES_DEFAULT, CALLS_CREDIT_DEFAULT, SERVICE_PATTERNS_MAX};
use crate::name::{Name, Pattern};

use super::route::Route;

/// The settings of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// From home to the guest.
    routes: Vec<Route>,
    pub(super) credit: u32,
    pub(super) bytes_max: u64,
    pub(super) mode: Option<u16>,
}

impl ExchangeConfig {
    /// One that carries what these match: their near side is where the services are.
    ///
    /// # Errors
    /// When two of them have names in common, or there are too many.
    pub fn new(routes: Vec<Route>) -> Result<ExchangeConfig, Failure> {
        let invalid = |text: String| Failure::new(ErrorKind::InvalidArgument, text);
        if routes.len() > SERVICE_PATTERNS_MAX {
            let text = format!("a bridge has at most {SERVICE_PATTERNS_MAX} patterns of services");
            return Err(invalid(text));
        }
        for (index, route) in routes.iter().enumerate() {
            let same = |other: &&Route| other.near().intersection(route.near()).is_some();
            if let Some(other) = routes[..index].iter().find(same) {
                let (one, two) = (other.near(), route.near());
                return Err(invalid(format!("`{one}` and `{two}` have services in common")));
            }
        }
        let (credit, bytes_max) = (CALLS_CREDIT_DEFAULT, CALLS_BYTES_DEFAULT);
        Ok(ExchangeConfig { routes, credit, bytes_max, mode: None })
    }

    /// The mode of services that are made at the guest: who may call them, and serve them too.
    #[must_use]
    pub fn mode(mut self, mode: Option<u16>) -> ExchangeConfig {
        self.mode = mode;
        self
    }

    /// What is carried.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What is carried, as named at home.
    pub fn patterns(&self) -> Vec<Pattern> {
        self.routes.iter().map(|route| route.near().clone()).collect()
    }

    /// What a service at home is called at the guest, if it is carried.
    pub(super) fn to_guest(&self, home: &Name) -> Option<Name> {
        self.routes.iter().find_map(|route| route.to_far(home).ok())
    }
}
