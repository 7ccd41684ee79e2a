use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::advance;
use unary_http::Body;
use unary_service::{Compose, service_fn};

use super::*;

/// Of the password `secret`; as cheap as they come, for tests.
fn bcrypt_of(password: &str) -> String {
    bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap().format_for_version(bcrypt::Version::TwoY)
}

fn argon2_of(password: &str) -> String {
    let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
    Argon2::from(cheap).hash_password_with_salt(password.as_bytes(), &[7; 16]).unwrap().to_string()
}

fn asking(credentials: &str) -> Request {
    let field = format!("Basic {}", STANDARD.encode(credentials));
    http::Request::get("/").header(header::AUTHORIZATION, field).body(Body::empty()).unwrap()
}

/// The status, and the name that handler and outer filters see.
async fn ask(auth: &BasicAuth, request: Request) -> (u16, Option<String>) {
    let app = auth.clone().and_then(service_fn(async |request: Request| {
        let name = User::of(request.extensions()).map(ToString::to_string);
        Ok(message::text(name.unwrap_or_default()))
    }));
    let reply = app.call(request).await.unwrap();
    let user = User::of(reply.extensions()).map(ToString::to_string);
    let status = reply.status().as_u16();
    let seen = reply.into_body().collect(99).await.unwrap();
    assert!(user.as_ref().is_none_or(|user| seen == user.as_bytes()), "inside and outside are told the same");
    (status, user)
}

fn users() -> BasicAuth {
    let list = format!("anna:{}\nbärbel:{}\n", bcrypt_of("secret"), argon2_of("ge:heim"));
    BasicAuth::new("the figures", list.parse().unwrap()).unwrap()
}

async fn check(credentials: &str, expected: Option<&str>) {
    let (status, user) = ask(&users(), asking(credentials)).await;
    assert_eq!((status, user.as_deref()), (if expected.is_some() { 200 } else { 401 }, expected), "{credentials}");
}

#[tokio::test]
async fn lets_in_whose_password_is_right() {
    check("anna:secret", Some("anna")).await;
    check("bärbel:ge:heim", Some("bärbel")).await;
}

#[tokio::test]
async fn keeps_out_all_others() {
    for wrong in
        ["anna:secreT", "anna:", "bert:secret", "bärbel:secret", ":secret", "anna", "Anna:secret", "anna\0:secret"]
    {
        check(wrong, None).await;
    }
}

#[tokio::test]
async fn an_empty_list_lets_nobody_in() {
    let nobody = BasicAuth::new("x", Users::default()).unwrap();
    assert_eq!(ask(&nobody, asking("anna:secret")).await.0, 401);
}

#[tokio::test]
async fn asks_for_a_name_and_a_password() {
    let app =
        BasicAuth::new("a \"b\\", Users::default()).unwrap().and_then(service_fn(async |_| Ok(message::text(""))));
    let reply = app.call(http::Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(reply.headers()[header::WWW_AUTHENTICATE], r#"Basic realm="a \"b\\", charset="UTF-8""#);
    assert!(BasicAuth::new("a\r\nb", Users::default()).is_err());
    assert!(BasicAuth::new(&"a".repeat(REALM_BYTES_MAX + 1), Users::default()).is_err());
}

#[test]
fn the_decoys_password_lets_nobody_in() {
    let list: Users = format!("anna:{}", bcrypt_of("secret")).parse().unwrap();
    let headers = |text: &str| asking(text).headers().clone();
    // Names that are not on the list are checked against its first hash, to take as long.
    assert!(list.verify(&Credentials::of(&headers("nobody:secret")).unwrap()).is_none());
    assert!(list.verified(&Credentials::of(&headers("nobody:secret")).unwrap()).is_none());
    assert!(list.verify(&Credentials::of(&headers("anna:secret")).unwrap()).is_some());
    assert!(list.verified(&Credentials::of(&headers("anna:secret")).unwrap()).is_some());
}

#[test]
fn a_new_hash_is_of_its_password() {
    let line = hash_password("pässword".as_bytes()).unwrap();
    assert!(line.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{line}");
    assert_ne!(line, hash_password("pässword".as_bytes()).unwrap(), "each has a salt of its own");
    let list: Users = format!("anna:{line}").parse().unwrap();
    let headers = |text: &str| asking(text).headers().clone();
    assert!(list.verify(&Credentials::of(&headers("anna:pässword")).unwrap()).is_some());
    assert!(list.verify(&Credentials::of(&headers("anna:passwort")).unwrap()).is_none());
}

/// Replaces the file as an editor does.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("unary-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test(start_paused = true)]
async fn the_file_is_read_again_when_it_changes() {
    let folder = folder("basic-auth");
    let path = folder.join("users.htpasswd");
    let (anna, bert) = (format!("anna:{}\n", bcrypt_of("secret")), format!("bert:{}\n", bcrypt_of("secret")));
    write(&path, &anna);
    let auth = BasicAuth::file("x", &path).unwrap();
    assert_eq!(ask(&auth, asking("anna:secret")).await.0, 200);

    write(&path, &bert);
    assert_eq!(ask(&auth, asking("anna:secret")).await.0, 200, "it is looked at once a second");
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&auth, asking("anna:secret")).await.0, 401, "nobody is remembered whose line is gone");
    assert_eq!(ask(&auth, asking("bert:secret")).await.0, 200);

    for nonsense in [Some("bert:secret\n"), None, Some("")] {
        match nonsense {
            Some(text) => write(&path, text),
            None => std::fs::remove_file(&path).unwrap(),
        }
        advance(Duration::from_secs(1)).await;
        let expected = if nonsense == Some("") { 401 } else { 200 };
        assert_eq!(ask(&auth, asking("bert:secret")).await.0, expected, "{nonsense:?}");
    }
    write(&path, &anna);
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&auth, asking("anna:secret")).await.0, 200);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_makes_no_sense_is_told_with_its_line() {
    let folder = folder("basic-auth-bad");
    let path = folder.join("users.htpasswd");
    std::fs::write(&path, "anna:$apr1$x$y\n").unwrap();
    let told = BasicAuth::file("x", &path).unwrap_err().to_string();
    assert!(told.contains("users.htpasswd") && told.contains("line 1") && told.contains("MD5"), "{told}");
    std::fs::write(&path, "#".repeat(1 << 20 | 1)).unwrap();
    assert!(BasicAuth::file("x", &path).is_err());
    std::fs::write(&path, b"\xff").unwrap();
    assert!(BasicAuth::file("x", &path).is_err());
    std::fs::remove_dir_all(folder).unwrap();
    assert!(BasicAuth::file("x", &path).unwrap_err().to_string().contains("No such file"));
}
