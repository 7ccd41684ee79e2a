//! Certificates from before, of sites whose names, CA or mailbox have changed since: until a site has its own,
//! one that is for some of its names is better than none.

use std::time::SystemTime;

use unary_net::tls::{Certificate, TlsSite, Validity};

use super::folder::Folder;

/// Gives each of these sites, which have no certificate, the one on disk that is for most of its names.
pub(super) fn make_do(sites: &[&TlsSite], folder: &Folder) {
    if sites.is_empty() {
        return;
    }
    let now = SystemTime::now();
    let mut kept = folder.certificates_like(sites.iter().flat_map(|site| site.names()).map(|name| &**name));
    kept.retain(|kept| matches!(kept.validity(now), Validity::Valid(_)));
    for site in sites {
        let covered = |kept: &Certificate| site.names().iter().filter(|name| kept.is_for(name)).count();
        let best = kept.iter().max_by_key(|kept| (covered(kept), kept.not_after()));
        if let Some(best) = best.filter(|best| covered(best) > 0) {
            site.put(best.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;
    use unary_net::tls::{Certificates, Terms};
    use unary_testkit::TempDir;

    use super::super::folder::file_name;
    use super::*;

    /// Keeps a certificate of these names, as for a site that had them.
    fn keep(folder: &Folder, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::CertificateParams::new(names.clone()).unwrap().self_signed(&key).unwrap();
        folder.keep_certificate(&file_name(&names.join(" ")), &made.pem(), &key.serialize_pem()).unwrap();
    }

    #[track_caller]
    fn check(kept: &[&[&str]], names: &[&str], expected: Option<&[&str]>) {
        let temp = TempDir::new();
        let folder = Folder::open(temp.path()).unwrap();
        kept.iter().for_each(|names| keep(&folder, names));
        let site = Certificates::new().unwrap().site(names, &Terms::default()).unwrap();
        make_do(&[&site], &folder);
        let found = site.certificate().map(|found| found.names().to_vec());
        assert_eq!(found, expected.map(|names| names.iter().map(|&name| name.into()).collect()));
    }

    #[test]
    fn a_site_makes_do_with_what_is_for_most_of_its_names() {
        let kept: &[&[&str]] = &[&["a.example"], &["a.example", "b-b.example"], &["*.c.example"]];
        check(kept, &["a.example", "b-b.example", "new.example"], Some(kept[1]));
        check(kept, &["b-b.example"], Some(kept[1]));
        check(kept, &["x.c.example"], Some(kept[2]));
        check(kept, &["*.c.example", "new.example"], Some(kept[2]));
        check(kept, &["c.example"], None);
        check(kept, &["new.example"], None);
    }

    #[test]
    fn names_that_do_not_fit_into_that_of_a_file_are_found() {
        let many: Vec<String> = (10..40).map(|number| format!("{number}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(&[&many], &["39.example"], Some(&many));
    }
}
