use std::sync::Weak;
use std::time::Duration;

use tokio::sync::Notify;
use unary_service::Error;

use super::*;
use crate::tls::certificates::Certificates;
use crate::tls::terms::Terms;
use crate::tls::tests::{World, meet};

fn names_held(demand: &Demand) -> Vec<Box<str>> {
    let mut names: Vec<_> = demand.held.load().keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn the_one_that_nobody_came_for_the_longest_is_let_go_of() {
    let (world, demand) = (World::new(), Demand::default());
    for name in ["a.example", "b.example", "c.example"] {
        demand.put_within(world.certificate(&[name], name), 3);
    }
    demand.find("a.example").expect("it is there");
    demand.put_within(world.certificate(&["d.example"], "d"), 3);
    assert_eq!(names_held(&demand), ["a.example", "c.example", "d.example"].map(Box::from));
    demand.put_within(world.certificate(&["c.example"], "renewed"), 3);
    assert_eq!(names_held(&demand).len(), 3);
}

/// Issues a certificate when it is told to.
struct Issuing {
    world: Weak<World>,
    told: Arc<Notify>,
    asked: Mutex<Vec<String>>,
    shown: AtomicU64,
}

impl Obtain for Arc<Issuing> {
    fn obtain(&self, site: &Arc<TlsSite>, name: &str) -> Waiting {
        self.asked.lock().unwrap().push(name.to_owned());
        let (this, site, name) = (self.clone(), site.clone(), name.to_owned());
        Box::pin(async move {
            this.told.notified().await;
            if !name.starts_with("denied") {
                site.put(this.world.upgrade().unwrap().certificate(&[&name], &name));
            }
        })
    }

    fn shown(&self, _site: &Arc<TlsSite>, _name: &str, _certificate: &Certificate) {
        self.shown.fetch_add(1, Ordering::Relaxed);
    }
}

fn issuing() -> (Arc<World>, Arc<Issuing>) {
    let world = Arc::new(World::new());
    let (told, asked) = (Arc::default(), Mutex::default());
    let issuing = Issuing { world: Arc::downgrade(&world), told, asked, shown: AtomicU64::new(0) };
    (world, Arc::new(issuing))
}

/// A site for all hosts, and one that has its certificate.
fn serve(world: &World, issuing: &Arc<Issuing>) -> Result<Certificates, Error> {
    let site = world.certificates.site_on_demand(&["*"], &Terms::default())?;
    site.obtain_by(issuing.clone());
    world.certificates.serve([Arc::new(site), world.site(&["fixed.example"], &Terms::default())]);
    Ok(world.certificates.clone())
}

#[tokio::test(start_paused = true)]
async fn the_first_waits_and_the_next_do_not() {
    let (world, issuing) = issuing();
    serve(&world, &issuing).unwrap();
    let stage = world.stage();
    let (first, other) = tokio::join!(
        async {
            let client = world.client("a.example");
            meet(&stage, &client).await
        },
        async {
            // Nobody else waits meanwhile.
            let met = meet(&stage, &world.client("fixed.example")).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            issuing.told.notify_one();
            met
        }
    );
    assert_eq!((first.shown().as_str(), other.shown().as_str()), ("CN=a.example", "CN=fixed.example"));
    assert_eq!(meet(&stage, &world.client("a.example")).await.shown(), "CN=a.example");
    assert_eq!(*issuing.asked.lock().unwrap(), ["a.example"]);
    assert_eq!(issuing.shown.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_in_vain_is_refused_alone() {
    let (world, issuing) = issuing();
    serve(&world, &issuing).unwrap();
    let stage = world.stage();
    let begun = tokio::time::Instant::now();
    let error = meet(&stage, &world.client("a.example")).await.client.expect_err("it takes too long").to_string();
    assert!(error.contains("nrecogni"), "{error}");
    assert!((30..=31).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    issuing.told.notify_one();
    let begun = tokio::time::Instant::now();
    meet(&stage, &world.client("denied.example")).await.client.expect_err("there is none");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(meet(&stage, &world.client("fixed.example")).await.shown(), "CN=fixed.example");
}

#[tokio::test(start_paused = true)]
async fn without_a_name_there_is_nothing_to_obtain() {
    let (world, issuing) = issuing();
    serve(&world, &issuing).unwrap();
    let mut client = world.client("a.example");
    client.config.enable_sni = false;
    let met = meet(&world.stage(), &client).await;
    assert!(issuing.asked.lock().unwrap().is_empty());
    // It is the first site that has one.
    met.client.expect_err("it is not for that name");
    assert_eq!(world.stage().counters().full(), 0);
}
