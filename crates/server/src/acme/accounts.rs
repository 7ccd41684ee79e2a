//! Accounts with CAs: one for each CA, which serves all sites.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, HttpClient, NewAccount};
use tokio::sync::OnceCell;

use super::folder::{Folder, file_name};
use super::settings::{AcmeSettings, ExternalAccount};
use super::trouble::Trouble;

/// Gives each account a client of its own.
type Clients = Box<dyn Fn() -> Box<dyn HttpClient> + Send + Sync>;

/// Accounts with CAs, made when they are needed first.
pub(super) struct Accounts {
    client: Clients,
    folder: Folder,
    /// Each is made once, whoever needs it first; CAs do not wait for each other.
    known: Mutex<HashMap<String, Arc<OnceCell<Arc<Account>>>>>,
}

impl Accounts {
    pub(super) fn new<C: HttpClient + Clone>(client: C, folder: Folder) -> Self {
        Self { client: Box::new(move || Box::new(client.clone())), folder, known: Mutex::default() }
    }

    /// The account with this CA, for this mailbox: the one that was used before, or a new one.
    pub(super) async fn with(
        &self,
        ca: &str,
        email: Option<&str>,
        settings: &AcmeSettings,
    ) -> Result<Arc<Account>, Trouble> {
        let id = id(ca, email);
        let cell = self.known.lock().expect("no panic while the lock is held").entry(id.clone()).or_default().clone();
        let account = cell.get_or_try_init(async || {
            let account = match self.folder.account::<AccountCredentials>(&id) {
                Some(credentials) => self.take_up(ca, credentials).await?,
                None => self.make(ca, email, &id, settings).await?,
            };
            Ok(Arc::new(account))
        });
        account.await.cloned()
    }

    /// Forgets an account that its CA does not know any more, unless somebody has and there is another.
    pub(super) fn forget(&self, ca: &str, email: Option<&str>, unknown: &Arc<Account>) {
        let id = id(ca, email);
        let mut known = self.known.lock().expect("no panic while the lock is held");
        if known.get(&id).and_then(|cell| cell.get()).is_some_and(|account| Arc::ptr_eq(account, unknown)) {
            known.remove(&id);
            self.folder.forget_account(&id);
        }
    }

    async fn take_up(&self, ca: &str, credentials: AccountCredentials) -> Result<Account, Trouble> {
        let builder = Account::builder_with_http((self.client)());
        let account = builder.from_credentials(credentials).await;
        account.map_err(|error| Trouble::of(format!("asking {ca} what it offers"), &error))
    }

    async fn make(&self, ca: &str, email: Option<&str>, id: &str, settings: &AcmeSettings) -> Result<Account, Trouble> {
        let contact = email.map(|email| format!("mailto:{email}"));
        let contacts: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
        let is_first = settings.cas.first().is_some_and(|first| **first == *ca);
        let external = settings.eab.as_ref().filter(|_| is_first).map(external_key).transpose()?;
        let builder = Account::builder_with_http((self.client)());
        let made = builder.create(&new, ca.to_owned(), external.as_ref()).await;
        let (account, credentials) =
            made.map_err(|error| Trouble::of(format!("making an account with {ca}"), &error))?;
        let kept = self.folder.keep_account(id, &credentials);
        kept.map_err(|cause| Trouble::new(format!("keeping the account with {ca}"), cause))?;
        tracing::info!(%ca, "made an account, and agreed to the terms of service");
        Ok(account)
    }
}

fn id(ca: &str, email: Option<&str>) -> String {
    file_name(&match email {
        Some(email) => format!("{ca} {email}"),
        None => ca.to_owned(),
    })
}

fn external_key(external: &ExternalAccount) -> Result<ExternalAccountKey, Trouble> {
    let key = URL_SAFE_NO_PAD.decode(&*external.hmac_key).or_else(|_| URL_SAFE.decode(&*external.hmac_key));
    let key = key.map_err(|cause| Trouble::new("reading the hmac-key of `eab`, which is base64url", cause))?;
    Ok(ExternalAccountKey::new(external.key_id.to_string(), &key))
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::super::fake_ca::{DIRECTORY, FakeCa, Orders};
    use super::*;

    #[tokio::test]
    async fn the_account_that_came_after_is_not_forgotten() {
        let temp = TempDir::new();
        let folder = Folder::open(temp.path()).unwrap();
        let ca = FakeCa::new(Orders::RefusesFirst);
        let accounts = Accounts::new(ca.clone(), folder.clone());
        let (before, now) = (Arc::new(ca.account().await), Arc::new(ca.account().await));
        let id = id("ca", None);
        folder.keep_account(&id, &"the account").unwrap();
        let cell = Arc::new(OnceCell::new_with(Some(now.clone())));
        accounts.known.lock().unwrap().insert(id.clone(), cell);
        let is_there = || (accounts.known.lock().unwrap().contains_key(&id), folder.account::<String>(&id).is_some());
        accounts.forget("ca", None, &before);
        assert_eq!(is_there(), (true, true));
        accounts.forget("ca", None, &now);
        assert_eq!(is_there(), (false, false));
    }

    #[tokio::test]
    async fn sites_of_one_ca_share_an_account_across_restarts() {
        let temp = TempDir::new();
        let folder = Folder::open(temp.path()).unwrap();
        let (ca, settings) = (FakeCa::new(Orders::RefusesAll), AcmeSettings::of_test(temp.path().to_owned()));
        let mut ids = Vec::new();
        for _ in 0..2 {
            let accounts = Accounts::new(ca.clone(), folder.clone());
            let of = |email| accounts.with(DIRECTORY, email, &settings);
            let (one, other) = tokio::join!(of(Some("a@example.com")), of(Some("a@example.com")));
            let (one, other) = (one.unwrap(), other.unwrap());
            assert!(Arc::ptr_eq(&one, &other));
            ids.push(one.id().to_owned());
        }
        assert_eq!((ids[0] == ids[1], ca.accounts()), (true, 1));
        Accounts::new(ca.clone(), folder).with(DIRECTORY, Some("b@example.com"), &settings).await.unwrap();
        assert_eq!(ca.accounts(), 2, "another mailbox is another account");
    }
}
