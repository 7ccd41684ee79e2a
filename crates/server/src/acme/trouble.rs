//! Why there is no certificate, for whoever runs the server.

use std::fmt;
use std::time::Duration;

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What was being done, and with whom.
    step: String,
    cause: String,
    remedy: Remedy,
}

/// What might help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// To try again, later and later.
    Patience,
    /// The same, but this long at least: a CA says that it was asked too often.
    Rest,
    /// To begin anew, as the CA does not know the account any more.
    NewAccount,
    /// The same for the order.
    NewOrder,
    /// To wait until there may be another order.
    NextOrder(Duration),
}

impl Trouble {
    pub(super) fn new(step: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { step: step.into(), cause: cause.to_string(), remedy: Remedy::Patience }
    }

    pub(super) fn with(self, remedy: Remedy) -> Self {
        Self { remedy, ..self }
    }

    /// What a CA answered, or why it did not.
    pub(super) fn of(step: impl Into<String>, error: &instant_acme::Error) -> Self {
        let remedy = match error {
            instant_acme::Error::Api(problem) => remedy_of(problem.r#type.as_deref(), problem.status),
            _ => Remedy::Patience,
        };
        Self::new(step, in_full(error)).with(remedy)
    }

    pub(super) fn remedy(&self) -> Remedy {
        self.remedy
    }
}

fn remedy_of(problem: Option<&str>, status: Option<u16>) -> Remedy {
    match problem.and_then(|name| name.strip_prefix("urn:ietf:params:acme:error:")) {
        Some("accountDoesNotExist") => Remedy::NewAccount,
        Some("rateLimited") => Remedy::Rest,
        _ if status == Some(429) => Remedy::Rest,
        _ if status.is_some_and(|status| status >= 500) => Remedy::Patience,
        // What a CA refuses once it refuses again: an order that went wrong is not mended by going on with it.
        _ => Remedy::NewOrder,
    }
}

/// An error and what is behind it.
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    const CAUSES_MAX: usize = 8;
    let causes = std::iter::successors(error.source(), |cause| cause.source()).take(CAUSES_MAX);
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.cause)
    }
}
