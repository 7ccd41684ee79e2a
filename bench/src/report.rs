//! The table: on the terminal as it is in `bench/RESULTS.md`, which adds what it was measured with.

use std::fmt::{self, Write as _};
use std::path::Path;

use crate::servers::Server;
use crate::verdict::{Bar, Verdict};
use crate::{Failure, machine};

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// Its table of ratios stands between two comments.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const RATIOS: [&str; 2] = ["<!-- ratios, written by `cargo xtask bench` -->\n", "<!-- /ratios -->"];

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) figures: Vec<Figure>,
}

/// A figure held against its bar.
pub(crate) struct Row {
    work: &'static str,
    ours: String,
    beside: String,
    figure: String,
    bar: String,
    aim: String,
    verdict: Verdict,
}

/// What a server needed for a work, medians of all rounds.
pub(crate) struct Figure {
    pub(crate) work: &'static str,
    pub(crate) server: Server,
    pub(crate) cpu_microseconds: f64,
    pub(crate) per_second: f64,
}

impl Row {
    /// Our CPU time for a request beside a rival's.
    pub(crate) fn ratio(
        work: &'static str,
        ours: Server,
        our_cpu: f64,
        rival: Server,
        rival_cpu: f64,
        bar: Bar,
    ) -> Row {
        let ratio = our_cpu / rival_cpu;
        let limit = |limit: Option<f64>| limit.map(|limit| format!("≤ {limit:.2} ×")).unwrap_or_default();
        Row {
            work,
            ours: format!("{ours} {our_cpu:.2} µs"),
            beside: format!("{rival} {rival_cpu:.2} µs"),
            figure: format!("{ratio:.3}"),
            bar: limit(bar.bar),
            aim: limit(bar.aim),
            verdict: bar.verdict(ratio),
        }
    }

    /// Requests a second that we answer beside those that a rival does. The bar says how many times as many there must
    /// be, at least.
    pub(crate) fn rates(work: &'static str, [ours, rival]: [Server; 2], [our, their]: [f64; 2], bar: Bar) -> Row {
        let limit = |limit: Option<f64>| limit.map(|limit| format!("≥ {limit:.2} ×")).unwrap_or_default();
        Row {
            work,
            ours: format!("{ours} {our:.0} /s"),
            beside: format!("{rival} {their:.0} /s"),
            figure: format!("{:.3}", our / their),
            bar: limit(bar.bar),
            aim: limit(bar.aim),
            verdict: bar.inverted().verdict(their / our),
        }
    }

    /// A figure that stands for itself.
    pub(crate) fn figure(work: &'static str, ours: impl fmt::Display, figure: f64, unit: &str, bar: Bar) -> Row {
        let limit = |limit: Option<f64>| limit.map(|limit| format!("≤ {limit} {unit}")).unwrap_or_default();
        Row {
            work,
            ours: ours.to_string(),
            beside: String::new(),
            figure: format!("{figure:.2} {unit}"),
            bar: limit(bar.bar),
            aim: limit(bar.aim),
            verdict: bar.verdict(figure),
        }
    }

    fn cells(&self) -> [String; 7] {
        let Row { work, ours, beside, figure, bar, aim, verdict } = self;
        let verdict = if *verdict == Verdict::Missed { format!("**{verdict}**") } else { verdict.to_string() };
        [(*work).to_owned(), ours.clone(), beside.clone(), figure.clone(), bar.clone(), aim.clone(), verdict]
    }
}

impl Report {
    /// Both tables, in Markdown that lines up.
    pub(crate) fn table(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let bars = lined_up(["work", "Unary", "beside", "figure", "bar", "aim", "verdict"], &rows);
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|Figure { work, server, cpu_microseconds, per_second }| {
                [(*work).to_owned(), server.to_string(), format!("{cpu_microseconds:.2}"), format!("{per_second:.0}")]
            })
            .collect();
        let figures = lined_up(["work", "server", "CPU µs a request", "requests a second"], &figures);
        format!("{bars}\n{figures}")
    }

    /// What stands beside a rival, and its bar; bold where that is missed.
    fn ratios(&self) -> String {
        let with_rivals = self.rows.iter().filter(|row| !row.beside.is_empty());
        let rows: Vec<_> = with_rivals
            .map(|row| {
                let figure =
                    if row.verdict == Verdict::Missed { format!("**{}**", row.figure) } else { row.figure.clone() };
                [row.work.to_owned(), row.ours.clone(), row.beside.clone(), figure, row.bar.clone()]
            })
            .collect();
        lined_up(["work", "Unary", "beside", "ratio", "bar"], &rows)
    }

    /// Writes the tables to `bench/RESULTS.md`, and the ratios to `README.md`.
    pub(crate) fn save(&self, rounds: u32, seconds: u32) -> Result<(), Failure> {
        let mut text = String::from("# Measured\n\nWritten by `cargo xtask bench`; not edited by hand.\n\n");
        for (what, which) in machine::facts() {
            let _ = writeln!(text, "- {what}: {which}");
        }
        let _ = write!(
            text,
            "\nServers on core 0, load on core 1, over loopback; {rounds} interleaved rounds of {seconds} s, medians. A \
             figure with a rival beside it is the ratio of CPU time for one request, ours to theirs: below 1 we need \
             less. Where requests a second (/s) stand beside each other, servers, their programs and the load share both \
             cores, and above 1 we answer more. A ratio may exceed its bar by 3 %. nginx runs one worker with sendfile, tcp_nopush and \
             open_file_cache on and its access log off; hyper runs its http1 server on one tokio thread with mimalloc; \
             the bare loop answers without parsing. Proxies pass on to the bare loop, which runs where the load runs. \
             TLS is 1.3 with a key on P-256. The CPU time of `unary run` is that of keeper and server, and of the \
             thread that writes the log.\n\n{}",
            self.table()
        );
        let path = Path::new(RESULTS);
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let readme = std::fs::read_to_string(README).map_err(|error| format!("cannot read {README}: {error}"))?;
        let readme = between(&readme, RATIOS, &self.ratios()).ok_or("README.md has no place for the ratios")?;
        std::fs::write(README, readme).map_err(|error| format!("cannot write {README}: {error}"))?;
        eprintln!("written to {} and README.md", path.display());
        Ok(())
    }
}

/// The same text with this between the two marks.
fn between(text: &str, [begin, end]: [&str; 2], new: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some([before, begin, new, end, after].concat())
}

/// A Markdown table with columns of even width.
fn lined_up<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = std::iter::once(&heads).chain(rows);
        cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", padded.collect::<String>())
    };
    let rule = format!("|{}\n", widths.map(|width| format!("{}|", "-".repeat(width + 2))).concat());
    let rows: String = rows.iter().map(line).collect();
    format!("{}{rule}{rows}", line(&heads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::Role;

    #[test]
    fn the_table_lines_up_and_calls_a_miss_a_miss() {
        let rows = vec![
            Row::ratio("tiny", Server::Hello, 5.0, Server::Nginx(Role::Plain), 10.0, Bar::with_aim(1.0, 0.9)),
            Row::rates("cgi", [Server::Serve, Server::Hyper], [1200.0, 1000.0], Bar::with_aim(1.1, 1.25)),
            Row::figure("idle", Server::Serve, 2.5, "KiB", Bar::at_most(2.0)),
        ];
        let figure = Figure { work: "tiny", server: Server::Hello, cpu_microseconds: 5.0, per_second: 100_000.4 };
        let expected = "\
| work | Unary               | beside         | figure   | bar      | aim      | verdict    |
|------|---------------------|----------------|----------|----------|----------|------------|
| tiny | unary hello 5.00 µs | nginx 10.00 µs | 0.500    | ≤ 1.00 × | ≤ 0.90 × | aim met    |
| cgi  | unary serve 1200 /s | hyper 1000 /s  | 1.200    | ≥ 1.10 × | ≥ 1.25 × | met        |
| idle | unary serve         |                | 2.50 KiB | ≤ 2 KiB  |          | **MISSED** |

| work | server      | CPU µs a request | requests a second |
|------|-------------|------------------|-------------------|
| tiny | unary hello | 5.00             | 100000            |
";
        let report = Report { rows, figures: vec![figure] };
        assert_eq!(report.table(), expected);
        let ratios = "\
| work | Unary               | beside         | ratio | bar      |
|------|---------------------|----------------|-------|----------|
| tiny | unary hello 5.00 µs | nginx 10.00 µs | 0.500 | ≤ 1.00 × |
| cgi  | unary serve 1200 /s | hyper 1000 /s  | 1.200 | ≥ 1.10 × |
";
        assert_eq!(report.ratios(), ratios);
    }

    #[test]
    fn a_table_takes_the_place_of_another() {
        assert_eq!(between("a<old>b", ["<", ">"], "new").as_deref(), Some("a<new>b"));
        assert_eq!(between("a>b<", ["<", ">"], "new"), None);
    }
}
