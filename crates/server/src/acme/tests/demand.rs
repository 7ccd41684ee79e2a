//! Certificates that are obtained when somebody comes.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::acme::settings::OnDemand;

/// Whoever is asked, and says yes of all names.
fn says_yes() -> http::Uri {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // It ends with the process, as nobody waits for it.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = (stream.read(&mut [0; 1024]), stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    url.parse().unwrap()
}

impl World {
    /// Starts looking after a site for all names.
    fn start_on_demand(&mut self) -> Arc<TlsSite> {
        self.settings.on_demand = Some(OnDemand { ask: says_yes(), names_max: 10, names_per: Duration::from_secs(60) });
        let site = Arc::new(self.certificates.site_on_demand(&["*"], &Terms::default()).unwrap());
        self.certificates.serve([site.clone()]);
        let answers = Answers::default();
        let acme = Acme::start(self.settings.clone(), &self.certificates, &answers).unwrap();
        self.serve(answers);
        acme.manage(vec![Wanted { is_on_demand: true, ..wanted(&site) }]);
        self.acme = Some(acme);
        site
    }

    /// Somebody comes with this name, whatever comes of it.
    fn come(&self, name: &str) {
        let port = self.ports.tls;
        let mut curl = Command::new("curl");
        curl.args(["-sk", "--resolve", &format!("{name}:{port}:127.0.0.1")]);
        run(curl.arg(format!("https://{name}:{port}/")));
    }
}

#[test]
fn a_name_is_renewed_for_as_long_as_somebody_comes_with_it() {
    let Some(mut world) = World::new("a_name_is_renewed_for_as_long_as_somebody_comes_with_it") else { return };
    world.start_ca(SHORT);
    let site = world.start_on_demand();
    let coming = |what: &str, is_so: &dyn Fn() -> bool| {
        eventually(what, || {
            world.come("a.example");
            is_so()
        });
    };
    coming("a certificate", &|| site.certificate_of("a.example").is_some());
    world.come("once.example");
    let (first, once) = (site.certificate_of("a.example").unwrap(), site.certificate_of("once.example"));
    coming("another", &|| site.certificate_of("a.example").unwrap().der() != first.der());
    assert!(std::time::SystemTime::now() < first.not_after(), "in time, while nobody waits");
    let der = |certificate: Option<Arc<unary_net::tls::Certificate>>| certificate.map(|it| it.der().to_vec());
    assert_eq!(der(site.certificate_of("once.example")), der(once), "nobody came");
    let reports = world.acme.as_ref().unwrap().reports();
    assert_eq!(reports.len(), 1, "what becomes of names is told of their site");
}

#[test]
fn a_name_is_refused_while_orders_are_and_not_forever() {
    let Some(mut world) = World::new("a_name_is_refused_while_orders_are_and_not_forever") else { return };
    world.start_ca(3600);
    (world.settings.orders_max, world.settings.orders_per) = (1, Duration::from_secs(8));
    let site = world.start_on_demand();
    world.come("a.example");
    assert!(site.certificate_of("a.example").is_some());
    world.come("b.example");
    assert!(site.certificate_of("b.example").is_none());
    let reports = world.acme.as_ref().unwrap().reports();
    let trouble = reports[0].trouble.as_deref().expect("it is told of the site");
    assert!(trouble.starts_with("b.example: ordering a certificate"), "{trouble}");
    eventually("its turn", || {
        world.come("b.example");
        site.certificate_of("b.example").is_some()
    });
}
