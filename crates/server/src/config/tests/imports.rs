//! Files that import files.

use unary_testkit::TempDir;

use super::*;

const SITE: &str = "site \"NAME\" { route { files \"public\" } }";

fn site(name: &str) -> String {
    SITE.replace("NAME", name)
}

/// Reads `main.kdl` of these files, and gives the folders that are served, or all that is wrong.
#[track_caller]
fn check(files: &[(&str, &str)], expected: Result<&[&str], &[&str]>) {
    let read = Config::read_from(Path::new("etc/main.kdl"), &Memory::of(files.iter().copied()), &variable);
    match (read, expected) {
        (Ok(config), Ok(expected)) => {
            let json = serde_json::to_value(&config.sites).expect("it is JSON");
            let sites = json.as_array().expect("sites are many");
            let folders: Vec<_> = sites
                .iter()
                .map(|site| site.pointer("/routes/0/service/files/folder").expect("it serves files"))
                .collect();
            assert_eq!(folders, expected);
        }
        (Err(refused), Err(parts)) => {
            let report = refused.report(Colour::Off);
            parts.iter().for_each(|part| assert!(report.contains(part), "{part} in {report}"));
        }
        (Ok(config), Err(_)) => panic!("it was to be refused: {config:?}"),
        (Err(refused), Ok(_)) => panic!("{}", refused.report(Colour::Off)),
    }
}

#[test]
fn paths_start_from_the_file_they_are_in() {
    let (a, b, c) = (site("a.test"), site("b.test"), site("c.test"));
    check(
        &[
            ("etc/main.kdl", "import \"sites/*.kdl\" \"more/c.kdl\""),
            ("etc/sites/b.kdl", &b),
            ("etc/sites/a.kdl", &a),
            ("etc/sites/a.txt", "}"),
            ("etc/more/c.kdl", &c),
        ],
        Ok(&["etc/sites/public", "etc/sites/public", "etc/more/public"]),
    );
}

#[test]
fn a_pattern_may_find_nothing_and_passes_over_its_own_file() {
    let a = site("a.test");
    check(&[("etc/main.kdl", &format!("import \"*.kdl\" \"none/?.kdl\"\n{a}"))], Ok(&["etc/public"]));
}

#[test]
fn what_is_not_there_is_a_mistake_at_the_import() {
    check(&[("etc/main.kdl", "import \"none.kdl\"")], Err(&["cannot read etc/none.kdl", "[etc/main.kdl:1:8]"]));
    check(&[("etc/main.kdl", "import")], Err(&["`import` lacks its pattern"]));
    check(
        &[("etc/main.kdl", "import \"a.kdl\""), ("etc/a.kdl", "site a.test { rout }")],
        Err(&["[etc/a.kdl:1:15]", "did you mean `route`?"]),
    );
}

#[test]
fn no_file_is_read_twice() {
    let files =
        [("etc/main.kdl", "import \"a.kdl\""), ("etc/a.kdl", "import \"b.kdl\""), ("etc/b.kdl", "import \"a.kdl\"")];
    check(&files, Err(&["etc/a.kdl is read already", "here: etc/main.kdl:1"]));
    check(&[("etc/main.kdl", "import \"main.kdl\"")], Err(&["etc/main.kdl is read already"]));
}

#[test]
fn the_depth_is_bounded() {
    let chain: Vec<_> = (0..30).map(|at| (format!("etc/{at}.kdl"), format!("import \"{}.kdl\"", at + 1))).collect();
    let files = chain.iter().map(|(path, text)| (&**path, &**text)).chain([("etc/main.kdl", "import \"0.kdl\"")]);
    check(&files.collect::<Vec<_>>(), Err(&["these are more than 16 imports within imports", "etc/15.kdl"]));
}

#[test]
fn mistakes_in_two_files_name_both() {
    let a = site("a.test");
    let files = [("etc/main.kdl", "import \"a.kdl\" \"b.kdl\""), ("etc/a.kdl", &a), ("etc/b.kdl", &a)];
    check(&files, Err(&["[etc/b.kdl:1:6]", "here: etc/a.kdl:1"]));
}

#[test]
fn the_disk_is_read_alike() {
    let (a, hidden) = (site("a.test"), site("h.test"));
    let folder = TempDir::with([("main.kdl", "import \"s?tes/*\""), ("sites/a.kdl", &*a), ("sites/.h.kdl", &*hidden)]);
    assert_eq!(Config::read(&folder.join("main.kdl")).expect("it is good").sites.len(), 1);
    folder.write("sites/b.kdl", [b'\n', 0xff]);
    let refused = Config::read(&folder.join("main.kdl")).map(drop).unwrap_err();
    assert!(refused.report(Colour::Off).contains("it is not UTF-8 on line 2"));
    folder.link("a.kdl", "sites/b.kdl");
    let refused = Config::read(&folder.join("main.kdl")).map(drop).unwrap_err();
    assert!(refused.report(Colour::Off).contains("is read already"));
    let missing = Config::read(&folder.join("none.kdl")).map(drop).unwrap_err();
    assert!(Failure::from(missing).to_string().starts_with("there is no config "));
}
