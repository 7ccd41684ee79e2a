use bytes::BytesMut;
use tokio::time::Duration;
use unary_gateway::fastcgi::pairs::Params;
use unary_gateway::fastcgi::record::{self, Outcome, Record, Stream};
use unary_http::Body;
use unary_service::service_fn;
use unary_testkit::{TempDir, settle};

use super::*;
use crate::host::tests::dialling;

#[tokio::test(start_paused = true)]
async fn php_is_told_where_the_program_really_is() {
    let folder = TempDir::with([("v1/shop.php", ""), ("v1/a.txt", "")]);
    folder.link("v1", "site");
    let (dial, mut workers) = dialling();
    let files = service_fn(|_: Request| async { Ok::<_, Error>(message::text("a file")) });
    let at = "127.0.0.1:9".parse().unwrap();
    let php = Php::over(folder.join("site"), at, &dial, files, Site::default(), Settings::default()).unwrap();
    let php = Arc::new(php);
    let call = |target: &str| {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target.parse().unwrap();
        let php = php.clone();
        tokio::spawn(async move { php.call(request).await.unwrap() })
    };
    let reply = call("/a.txt").await.unwrap();
    assert_eq!(reply.into_body().collect(9).await.unwrap(), "a file");
    assert_eq!(call("/a%0ab.php").await.unwrap().status(), 400);
    assert_eq!(call("/none").await.unwrap().status(), 404);

    let reply = call("/shop.php/cart?x=1");
    let mut worker = workers.recv().await.unwrap();
    settle().await;
    let mut input = BytesMut::from(&worker.take(1 << 16, Duration::from_millis(9)).await[..]);
    let mut params = Params::default();
    while let Some(record) = record::decode(&mut input).unwrap() {
        if let Record::Stream { stream: Stream::Params, content, .. } = record {
            params.add(&content).unwrap();
        }
    }
    let params = params.end().unwrap();
    let root = std::fs::canonicalize(folder.path()).unwrap().join("v1");
    let file = root.join("shop.php");
    for (name, expected) in [
        ("SCRIPT_NAME", "/shop.php"),
        ("PATH_INFO", "/cart"),
        ("SCRIPT_FILENAME", file.to_str().unwrap()),
        ("DOCUMENT_ROOT", root.to_str().unwrap()),
        ("REQUEST_URI", "/shop.php/cart?x=1"),
        ("QUERY_STRING", "x=1"),
        ("REDIRECT_STATUS", "200"),
    ] {
        let value = params.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..]);
        assert_eq!(value, Some(expected.as_bytes()), "{name}");
    }
    let mut said = BytesMut::new();
    Record::Stream { request: 1, stream: Stream::Stdout, content: "A: b\n\nhi".into() }.encode(&mut said);
    Record::End { request: 1, exit_status: 0, outcome: Outcome::Complete }.encode(&mut said);
    worker.send(said).await;
    assert_eq!(reply.await.unwrap().into_body().collect(9).await.unwrap(), "hi");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_folder_shows_soon() {
    let folder = TempDir::with([("v1/a.txt", ""), ("v2/b.txt", "")]);
    folder.link("v1", "site");
    let (dial, _workers) = dialling();
    let files = service_fn(|_: Request| async { Ok::<_, Error>(message::text("a file")) });
    let at = "127.0.0.1:9".parse().unwrap();
    let php = Php::over(folder.join("site"), at, &dial, files, Site::default(), Settings::default()).unwrap();
    let check = async |target: &str, expected: u16| {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target.parse().unwrap();
        assert_eq!(php.call(request).await.unwrap().status(), expected, "{target}");
    };
    check("/a.txt", 200).await;
    check("/b.txt", 404).await;
    std::fs::write(folder.join("v1/b.txt"), "").unwrap();
    check("/b.txt", 404).await; // As it was a moment ago.
    tokio::time::advance(Duration::from_millis(500)).await;
    check("/b.txt", 200).await;
    std::fs::remove_file(folder.join("site")).unwrap();
    folder.link("v2", "site");
    tokio::time::advance(Duration::from_secs(1)).await;
    check("/a.txt", 404).await;
    check("/b.txt", 200).await;
}

#[test]
fn the_newest_version_is_preferred() {
    let folder = TempDir::with([("php7.4-fpm.sock", ""), ("php8.2-fpm.sock", ""), ("php8.10-fpm.sock", ""), ("x", "")]);
    let names: Vec<_> = versions_in(folder.path(), "php", "-fpm.sock");
    assert_eq!(names, ["php8.10-fpm.sock", "php8.2-fpm.sock", "php7.4-fpm.sock"].map(|name| folder.join(name)));
}

#[test]
fn a_worker_is_named_the_same_whatever_is_on_the_disk() {
    assert_eq!(worker().run, crate::program::Run::Command(vec!["php-cgi".to_owned()]));
    let names: Vec<_> = names_of("php-cgi").collect();
    assert_eq!(names[..2], ["php-cgi", "php-cgi9.9"]);
    let at = |name: &str| names.iter().position(|known| known == name).unwrap();
    assert!(at("php-cgi8.4") < at("php-cgi8.2") && at("php-cgi8.2") < at("php-cgi7.4"));
    assert_eq!(names_of("php").collect::<Vec<_>>(), ["php"]);
}
