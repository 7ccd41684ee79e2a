//! What becomes of names that somebody comes with; of renewals, at a CA in memory.

use std::net::TcpListener;

use unary_net::tls::{Certificates, Terms as TlsTerms};
use unary_testkit::TempDir;

use super::super::fake_ca::{DIRECTORY, FakeCa, Orders, issued};
use super::super::folder::Memory;
use super::super::local::LocalCa;
use super::super::settings::AcmeSettings;
use super::super::{Accounts, Acme, Answers, ORDERS_AT_ONCE, Stage};
use super::*;

#[test]
fn who_waits_no_longer_is_in_nobodys_way() {
    let temp = TempDir::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // Takes what is asked, and never answers.
    let ask = format!("http://{}/", silent.local_addr().unwrap()).parse().unwrap();
    let settings = AcmeSettings {
        on_demand: Some(OnDemand { ask, names_max: 10, names_per: Duration::from_secs(60) }),
        ..AcmeSettings::of_test(temp.path().to_owned())
    };
    let certificates = Certificates::new().unwrap();
    let acme = Acme::start(settings, &certificates, &Answers::default()).unwrap();
    let site = Arc::new(certificates.site_on_demand(&["*"], &TlsTerms::default()).unwrap());
    let by = OnDemandSite::new(Terms::default(), acme.shared.clone());
    let waiting: Vec<_> = (0..WAITING_MAX).map(|_| by.begin(&site, "a.example", Guest::Waits).unwrap()).collect();
    assert!(by.begin(&site, "b.example", Guest::Waits).is_none());
    drop(waiting);
    let one = by.begin(&site, "b.example", Guest::Waits);
    assert!(one.is_some());
    for _ in 0..WAITING_MAX {
        assert!(by.begin(&site, "c.example", Guest::IsServed).is_none());
    }
    let shared = acme.shared.upgrade().unwrap();
    assert_eq!(shared.demand.as_ref().unwrap().state().waiting, 1, "only one waits");
}

/// So often others have their turn: more than asking a CA in memory takes, which never waits.
const TURNS: usize = 100;

/// What a CA says of renewal, in seconds from now, and the life of a certificate that somebody is shown, so too: how
/// often the CA is asked about it, and for another in its place.
async fn check(told: Option<(i64, i64)>, life: (i64, i64), expected: (usize, usize)) {
    let (temp, ca) = (TempDir::new(), FakeCa::new(Orders::RefusesAll));
    ca.says_of_renewal(told.map(|(start, end)| (start, end, 3600)));
    let shared = shared(temp.path(), &ca);
    let site = Arc::new(shared.stage.certificates.site_on_demand(&["*"], &TlsTerms::default()).unwrap());
    let by = OnDemandSite::new(Terms::default(), Arc::downgrade(&shared));
    let id = Managed::on_demand("a.example", &site, &by.terms).id().to_owned();
    let issued = issued("a.example", life);
    shared.folder.keep_certificate(&id, &issued.chain, &issued.key).unwrap();
    shared.folder.remember(&id, &Memory { issuer: Some(DIRECTORY.to_owned()), ..Memory::default() }).unwrap();
    let demand = shared.demand.as_ref().unwrap();
    demand.state().verdicts.add("a.example", Verdict::Yes, Instant::now() + ANSWER_LIFE);
    for _ in 0..3 {
        by.shown(&site, "a.example", &issued.certificate);
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((ca.asked_of_renewal(), ca.asked()), expected, "{told:?} {life:?}");
    let waits = demand.state().verdicts.of("a.example", Instant::now()) == Some(Verdict::No);
    assert_eq!(waits, expected.1 > 0, "what was refused is not asked for again at once");
}

/// What sites share who ask this CA.
fn shared(state: &std::path::Path, ca: &FakeCa) -> Arc<Shared> {
    let ask = "http://127.0.0.1:9/".parse().unwrap();
    let told = OnDemand { ask, names_max: 10, names_per: Duration::from_secs(60) };
    let settings = AcmeSettings { cas: vec![DIRECTORY.into()], ..AcmeSettings::of_test(state.to_owned()) };
    let folder = super::super::Folder::open(state).unwrap();
    Arc::new(Shared {
        accounts: Accounts::new(ca.clone(), folder.clone()),
        local: LocalCa::at(&folder),
        stage: Stage { answers: Answers::default(), certificates: Certificates::new().unwrap() },
        permits: Semaphore::new(ORDERS_AT_ONCE),
        orders: Mutex::default(),
        demand: Some(Demand::new(told, Handle::current()).unwrap()),
        writes: AtomicBool::new(true),
        reports: Arc::default(),
        settings,
        folder,
    })
}

const HOUR: i64 = 3600;

#[tokio::test]
async fn what_a_ca_wants_back_is_renewed_when_somebody_comes() {
    // Two: the CA refuses what replaces another, and is asked for one that says nothing of that.
    check(Some((-HOUR, -60)), (-HOUR, 89 * HOUR), (1, 2)).await;
}

#[tokio::test]
async fn what_a_ca_wants_to_be_kept_is_not_renewed_before() {
    check(Some((5 * HOUR, 6 * HOUR)), (-50 * HOUR, 40 * HOUR), (1, 0)).await;
}

#[tokio::test]
async fn of_what_no_ca_says_anything_two_thirds_of_life_do() {
    check(None, (-HOUR, 89 * HOUR), (1, 0)).await;
    check(None, (-80 * HOUR, 10 * HOUR), (0, 1)).await;
}
