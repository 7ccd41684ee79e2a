//! The status as people read it: what is unhealthy first, then what there is.

use std::time::Duration;

use crate::admin::{SiteStatus, Status};

/// Sites that are shown. The first are those with trouble; more nobody reads.
const SITES_MAX: usize = 40;

/// How wide the names of sites may be before they are cut.
const NAME_CHARS_MAX: usize = 40;

/// Two looks at a server, and the time between them.
pub(super) struct Screen<'s> {
    pub(super) before: &'s Status,
    pub(super) now: &'s Status,
    pub(super) apart: Duration,
    pub(super) colour: bool,
}

impl Screen<'_> {
    /// Draws it, as lines.
    pub(super) fn draw(&self) -> String {
        let Status { version, uptime_seconds, pid, troubles, .. } = self.now;
        let mut lines =
            vec![format!("{} {}, up {}, process {pid}", self.bold("Unary"), shown(version), time(*uptime_seconds))];
        if !troubles.is_empty() {
            lines.push(String::new());
            lines.extend(troubles.iter().flat_map(|trouble| self.trouble(trouble)));
        }
        lines.push(String::new());
        lines.extend(self.server());
        lines.push(String::new());
        lines.extend(self.sites());
        lines.join("\n")
    }

    fn trouble(&self, trouble: &str) -> Vec<String> {
        let trouble = trouble.lines().map(shown);
        trouble
            .enumerate()
            .map(|(at, line)| format!("{} {line}", if at == 0 { self.red("!") } else { " ".into() }))
            .collect()
    }

    fn server(&self) -> Vec<String> {
        let Status { connections, requests, tls, config, listen, .. } = self.now;
        let rate = self.rate(requests.total, self.before.requests.total);
        let listen: Vec<_> = listen
            .iter()
            .map(|listen| format!("{}{}", shown(&listen.address), if listen.tls { " (TLS)" } else { "" }))
            .collect();
        let files: Vec<_> = config.files.iter().map(|file| shown(file)).collect();
        let mut requests_line =
            format!("{rate}/s, {} in flight, {} since it began", requests.in_flight, number(requests.total));
        if requests.server_errors > 0 {
            requests_line += &format!(", {} of them {}", number(requests.server_errors), self.red("5xx"));
        }
        let mut rows = vec![
            ("listens on", listen.join(", ")),
            (
                "connections",
                format!("{} open of {}, {} accepted", connections.open, connections.max, number(connections.accepted)),
            ),
            ("requests", requests_line),
        ];
        if tls.full + tls.resumed + tls.failed > 0 {
            let handshakes =
                format!("{} full, {} resumed, {} failed", number(tls.full), number(tls.resumed), number(tls.failed));
            rows.push(("handshakes", handshakes));
        }
        let reloads = match (config.reloads, config.reloads_refused) {
            (0, 0) => String::new(),
            (done, 0) => format!(", reloaded {done}×"),
            (done, refused) => format!(", reloaded {done}×, refused {refused}×"),
        };
        rows.push(("config", format!("{} of {}{reloads}", files.join(", "), shown(&config.loaded))));
        rows.into_iter().map(|(name, text)| format!("{} {text}", self.dim(&format!("{name:<12}")))).collect()
    }

    fn sites(&self) -> Vec<String> {
        let sites = &self.now.sites[..self.now.sites.len().min(SITES_MAX)];
        let rows: Vec<[String; 5]> = sites.iter().map(|site| self.site(site)).collect();
        let heads = ["site", "tls", "certificate", "requests/s", "5xx"].map(str::to_owned);
        let width = |column: usize| {
            let cells = rows.iter().chain([&heads]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        let line = |row: &[String; 5]| {
            let [name, tls, certificate, rate, errors] = row;
            let [w0, w1, w2, w3, w4] = widths;
            format!("{name:<w0$}  {tls:<w1$}  {certificate:<w2$}  {rate:>w3$}  {errors:>w4$}").trim_end().to_owned()
        };
        let mut lines = vec![self.dim(&format!("  {}", line(&heads)))];
        for (site, row) in sites.iter().zip(&rows) {
            let mark = if site.is_well() { " ".to_owned() } else { self.red("!") };
            lines.push(format!("{mark} {}", line(row)));
        }
        if self.now.sites.len() > SITES_MAX {
            lines.push(self.dim(&format!("  … and {} more: unary status --json", self.now.sites.len() - SITES_MAX)));
        }
        lines
    }

    fn site(&self, site: &SiteStatus) -> [String; 5] {
        let before = self.before.sites.iter().find(|before| before.names == site.names);
        let before = before.map_or(site.requests.total, |before| before.requests.total);
        let certificate = match &site.certificate {
            Some(certificate) if certificate.days_left < 0 => "expired".to_owned(),
            Some(certificate) => format!("{} {} left", certificate.days_left, days(certificate.days_left)),
            None if matches!(site.tls.as_str(), "off" | "on-demand") => String::new(),
            None => "none".to_owned(),
        };
        let more = if site.names.len() > 1 { format!(" +{}", site.names.len() - 1) } else { String::new() };
        let name: String = shown(site.name()).chars().take(NAME_CHARS_MAX).collect();
        let broken = if site.broken.is_some() { " (broken)" } else { "" };
        [
            format!("{name}{more}{broken}"),
            shown(&site.tls),
            certificate,
            self.rate(site.requests.total, before),
            number(site.requests.server_errors),
        ]
    }

    /// Requests a second, between the two looks.
    fn rate(&self, now: u64, before: u64) -> String {
        let millis = self.apart.as_millis().max(1);
        let tenths = u128::from(now.saturating_sub(before)) * 10_000 / millis;
        if tenths < 100 {
            format!("{}.{}", tenths / 10, tenths % 10)
        } else {
            number(u64::try_from(tenths / 10).unwrap_or(u64::MAX))
        }
    }

    fn bold(&self, text: &str) -> String {
        self.ink("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.ink("2", text)
    }

    fn red(&self, text: &str) -> String {
        self.ink("1;31", text)
    }

    fn ink(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Without what a terminal takes for orders.
fn shown(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

fn days(count: i64) -> &'static str {
    if count == 1 { "day" } else { "days" }
}

/// In its two largest units.
fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// With its thousands apart.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unhealthy_comes_first() {
        let now: Status = serde_json::from_str(
            r#"{"version":"1.2.3","pid":7,"uptime_seconds":93784,"troubles":["b.test has no certificate\nat all"],
            "listen":[{"address":":80"},{"address":":443","tls":true}],
            "connections":{"open":12,"max":500,"accepted":12345},"config":{"files":["/etc/unary.kdl"],"loaded":"then"},
            "requests":{"total":1234500,"in_flight":3,"server_errors":2},
            "sites":[{"names":["b.test","www.b.test"],"tls":"auto","requests":{"total":500}},
                     {"names":["a.test"],"tls":"files","certificate":{"days_left":59,"is_valid":true},
                      "requests":{"total":1234000,"server_errors":2}}]}"#,
        )
        .unwrap();
        let mut before = now.clone();
        before.requests.total -= 4000;
        before.sites[0].requests.total -= 5;
        before.sites[1].requests.total -= 3995;
        let screen = Screen { before: &before, now: &now, apart: Duration::from_secs(2), colour: false };
        let expected = "\
Unary 1.2.3, up 1 d 2 h, process 7

! b.test has no certificate
  at all

listens on   :80, :443 (TLS)
connections  12 open of 500, 12,345 accepted
requests     2,000/s, 3 in flight, 1,234,500 since it began, 2 of them 5xx
config       /etc/unary.kdl of then

  site       tls    certificate   requests/s  5xx
! b.test +1  auto   none                 2.5    0
  a.test     files  59 days left       1,997    2";
        assert_eq!(screen.draw(), expected);
    }

    #[test]
    fn terminals_get_no_orders_from_texts() {
        let now = Status { troubles: vec!["\u{1b}[31m".into()], ..Status::default() };
        let screen = Screen { before: &now, now: &now, apart: Duration::ZERO, colour: false };
        assert!(!screen.draw().contains('\u{1b}'), "{}", screen.draw());
    }

    #[test]
    fn times_and_numbers_are_short() {
        for (seconds, expected) in [(59, "59 s"), (61, "1 min"), (3660, "1 h 1 min"), (200_000, "2 d 7 h")] {
            assert_eq!(time(seconds), expected);
        }
        for (value, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), expected);
        }
    }
}
