//! Programs without a config: they are served as one would say it in a config, by a server that a keeper looks after,
//! since it is the keeper who starts programs.

use std::fmt::Write;
use std::path::Path;

use crate::access_log::Format;
use crate::cli::Serve;
use crate::failure::Failure;

use super::subject::Php;

/// How many workers run the PHP programs of a folder.
const PHP_WORKERS: &str = "0..8";

/// The config for one program, which answers all paths.
pub(super) fn of_program(told: &Serve, program: &Path) -> Result<String, Failure> {
    Ok(format!("{}site \"*\" {{\n  route \"/*\" {{\n    cgi {}\n  }}\n}}\n", server(told)?, quoted(program)?))
}

/// The config for a folder of files with `cgi-bin/` in it.
pub(super) fn of_folder(told: &Serve, folder: &Path) -> Result<String, Failure> {
    let (server, files, programs) = (server(told)?, quoted(folder)?, quoted(&folder.join("cgi-bin"))?);
    Ok(format!(
        "{server}site \"*\" {{\n  route \"/cgi-bin/*\" {{\n    cgi {programs}\n  }}\n  route {{\n    files {files} \
         listing=on\n  }}\n}}\n"
    ))
}

/// The config for a folder of PHP programs, perhaps with `cgi-bin/` in it.
pub(super) fn of_php(told: &Serve, folder: &Path, by: Php) -> Result<String, Failure> {
    let (server, php, programs) = (server(told)?, quoted(folder)?, folder.join("cgi-bin"));
    let by = match by {
        Php::Fpm => String::new(),
        Php::Ours => format!(" workers=\"{PHP_WORKERS}\""),
    };
    let cgi = match programs.is_dir() {
        true => format!("  route \"/cgi-bin/*\" {{\n    cgi {}\n  }}\n", quoted(&programs)?),
        false => String::new(),
    };
    Ok(format!("{server}site \"*\" {{\n{cgi}  route {{\n    php {php}{by}\n  }}\n}}\n"))
}

fn server(told: &Serve) -> Result<String, Failure> {
    let mut text = "server {\n  admin \"off\"\n  watch \"off\"\n".to_owned();
    // Writing to a string does not fail.
    for address in &told.listen {
        let _ = writeln!(text, "  listen {} tls=#false", quoted(Path::new(&address.to_string()))?);
    }
    if let Some(threads) = told.threads {
        let _ = writeln!(text, "  threads {threads}");
    }
    if let Some(format) = &told.access_log {
        let format = match format {
            None | Some(Format::Combined) => "combined",
            Some(Format::Common) => "common",
            Some(Format::Json(_)) => "json",
            Some(_) => return Err(Failure::nonsense("the log of programs is json, common or combined")),
        };
        let _ = writeln!(text, "  access-log \"-\" format={format}");
    }
    text.push_str("}\n");
    Ok(text)
}

/// A path as a text in which nothing means anything: no escapes, and no variables.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\r', '\0']));
    let text =
        text.ok_or_else(|| Failure::nonsense(format!("{} cannot be served: its name is no text", path.display())))?;
    let marks = "#".repeat(1 + text.matches('#').count());
    Ok(format!("{marks}\"{text}\"{marks}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::Kept;

    /// What is written for this command line is a good config, with this in its JSON.
    #[track_caller]
    fn check(words: &[&str], path: &str, expected: &[(&str, serde_json::Value)]) {
        let Command::Serve(told) = Cli::parse_from(words).command else { panic!("it is `serve`") };
        let text = of_program(&told, Path::new(path)).unwrap();
        let Ok((config, kept)) = Kept::written(text.clone()) else { panic!("{text}") };
        let json = serde_json::to_value(&config).unwrap();
        for (place, expected) in expected {
            assert_eq!(json.pointer(place), Some(expected), "{place} of {json:#}");
        }
        assert_eq!(Kept::from_bytes(&kept.to_bytes()).unwrap().config().map(|config| config.sites.len()).ok(), Some(1));
    }

    #[test]
    fn what_is_written_is_what_was_meant() {
        let path = "/srv/a b/#\"1\"#/${HOME}\\x";
        let words = ["unary", "serve", path, "--listen", "127.0.0.1:443", "--threads", "3"];
        check(
            &words,
            path,
            &[
                ("/sites/0/routes/0/service/cgi/path", path.into()),
                ("/server/listen/0/address", "127.0.0.1:443".into()),
                ("/server/listen/0/tls", false.into()),
                ("/server/threads", 3.into()),
            ],
        );
        check(&["unary", "serve", "x", "--access-log=json"], "/x", &[("/server/access_log/format", "json".into())]);
    }

    #[test]
    fn a_php_folder_is_one_route() {
        let Command::Serve(told) = Cli::parse_from(["unary", "serve", "x"]).command else { panic!("it is `serve`") };
        for (by, workers_max) in [(Php::Fpm, None), (Php::Ours, Some(8))] {
            let text = of_php(&told, Path::new("/srv/a b"), by).unwrap();
            let Ok((config, _)) = Kept::written(text.clone()) else { panic!("{text}") };
            let json = serde_json::to_value(&config).unwrap();
            let php = json.pointer("/sites/0/routes/0/service/php").unwrap();
            assert_eq!(php["folder"], "/srv/a b", "{json:#}");
            assert_eq!(php.pointer("/pooled/workers_max").and_then(serde_json::Value::as_u64), workers_max, "{json:#}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_refused() {
        quoted(&PathBuf::from("a\nb")).unwrap_err();
    }
}
