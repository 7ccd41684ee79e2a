//! Nobody gets out of the root, whatever the bytes of the request target.

use unary_e2e::{Client, Server, serve};
use unary_testkit::TempDir;

/// What must never be seen.
const CANARY: &str = "canary-8c1d6a";

/// Ways to ask for `../secret`, as people have found them in other servers. Raw bytes: no client
/// library would send most of them.
const TARGETS: &[&[u8]] = &[
    b"/../secret",
    b"/./../secret",
    b"/inside/../../secret",
    b"/inside/..//../secret",
    b"//../secret",
    b"/../../../../../../../../secret",
    b"/..",
    b"/../",
    b"/.../secret",
    b"/....//secret",
    b"/%2e%2e/secret",
    b"/%2E%2e/secret",
    b"/.%2e/secret",
    b"/%2e./secret",
    b"/..%2fsecret",
    b"/..%2Fsecret",
    b"/%2e%2e%2fsecret",
    b"/inside%2f..%2f..%2fsecret",
    b"/%2fetc%2fpasswd",
    // Encoded twice: once decoded it is a strange name, not a way out.
    b"/%252e%252e/secret",
    b"/%252e%252e%252fsecret",
    b"/..%252fsecret",
    b"/%25%32%65%25%32%65/secret",
    // Backslashes are separators elsewhere.
    b"/..\\secret",
    b"\\..\\secret",
    b"/..%5csecret",
    b"/%2e%2e%5csecret",
    b"/inside\\..\\..\\secret",
    // NUL ends names in C.
    b"/%00",
    b"/a.txt%00.html",
    b"/..%00/secret",
    b"/%2e%2e%00/secret",
    b"/\0/../secret",
    // Overlong and broken UTF-8 for dots and slashes (CVE-2000-0884 and its heirs).
    b"/%c0%ae%c0%ae/secret",
    b"/%c0%2e%c0%2e/secret",
    b"/%e0%80%ae%e0%80%ae/secret",
    b"/..%c0%afsecret",
    b"/..%c1%9csecret",
    b"/%f0%80%80%ae%f0%80%80%ae/secret",
    b"/\xc0\xae\xc0\xae/secret",
    b"/..\xc0\xafsecret",
    b"/\xff\xfe/../secret",
    // Full-width dots and slashes, which some normalise.
    b"/%ef%bc%8e%ef%bc%8e/secret",
    b"/..%ef%bc%8fsecret",
    // IIS read these.
    b"/%u002e%u002e/secret",
    b"/..%u2215secret",
    // Parameters and half an escape.
    b"/..;/secret",
    b"/;/../secret",
    b"/%2",
    b"/%",
    b"/%zz/../secret",
    // The same through the other forms of a request target (RFC 9112 section 3.2).
    b"http://a/../secret",
    b"http://a/%2e%2e/secret",
    b"http://a/inside/../../secret",
    b"http://a/..\\secret",
    b"http://a:80/../secret",
    b"file:///etc/passwd",
    b"file:///../secret",
    // No slash at all.
    b"../secret",
    b"..",
    b"secret",
    b"*/../secret",
    b"a/../../secret",
    // A query or a fragment is no path.
    b"/?/../secret",
    b"/a.txt?../../secret",
    b"/a.txt#/../../secret",
    // What is hidden, and links that lead out.
    b"/.hidden",
    b"/.git/config",
    b"/%2egit/config",
    b"/inside/.hidden",
    b"/out",
    b"/out/secret",
    b"/out-absolute",
    b"/out-folder/secret",
    b"/inside/up/secret",
];

fn server(folder: &TempDir) -> Server {
    folder.write("secret", CANARY);
    folder.write("root/a.txt", "an honest file");
    folder.write("root/.hidden", CANARY);
    folder.write("root/.git/config", CANARY);
    folder.write("root/inside/.hidden", CANARY);
    folder.write("root/inside/b.txt", "another");
    folder.link("../secret", "root/out");
    folder.link(folder.join("secret"), "root/out-absolute");
    folder.link("..", "root/out-folder");
    folder.link("../..", "root/inside/up");
    serve(folder.join("root")).start()
}

/// Sends a target and gives all that comes back.
fn ask(server: &Server, method: &str, target: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(server);
    let request = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat();
    client.send(request).expect("it reads requests");
    client.rest().expect("it answers and closes")
}

#[test]
fn nothing_outside_the_root_is_ever_served() {
    let folder = TempDir::new();
    let server = server(&folder);
    for &target in TARGETS {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let shown = target.escape_ascii();
            let reply = ask(&server, method, target);
            let text = String::from_utf8_lossy(&reply);
            assert!(!text.contains(CANARY), "{method} {shown} got out:\n{text}");
            assert!(!text.contains("root:"), "{method} {shown} got the system's users:\n{text}");
            assert!(text.starts_with("HTTP/1.1 "), "{method} {shown} was not answered: {text:?}");
        }
    }
    // It is still there, and the files inside are.
    assert_eq!(Client::connect(&server).get("/a.txt").text(), "an honest file");
    assert_eq!(Client::connect(&server).get("/inside/b.txt").text(), "another");
}

#[test]
fn what_leads_out_or_is_hidden_is_said_not_to_be_there() {
    let folder = TempDir::new();
    let server = server(&folder);
    for path in ["/out", "/out-absolute", "/out-folder/secret", "/inside/up/secret", "/.hidden", "/.git/config"] {
        assert_eq!(Client::connect(&server).get(path).head.status, 404, "{path}");
    }
    let listing = Client::connect(&server).get("/").text();
    assert!(listing.contains("a.txt") && !listing.contains(".git") && !listing.contains(".hidden"), "{listing}");
}
