//! Figures in the text format of Prometheus. `docs/metrics.md` says what each means.

use std::fmt::{Display, Write};
use std::time::SystemTime;

use unary_net::tls::Failure;
use unary_web::filter::metrics::{BOUNDS, Limit, MethodClass, Reading, StatusClass};

use super::facts::{Facts, SiteFacts};

/// The media type of it.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures.
pub(super) fn render(facts: &Facts) -> String {
    let mut page = Page::default();
    page.process(facts);
    page.calls(&facts.calls);
    page.connections(facts);
    page.tls(facts);
    page.h1(facts);
    page.h2(facts);
    page.certificates(facts);
    page.0
}

#[derive(Default)]
struct Page(String);

type Labels<'l> = &'l [(&'l str, &'l str)];

impl Page {
    fn process(&mut self, facts: &Facts) {
        self.head("unary_build_info", "gauge", "The version that runs.");
        self.sample("unary_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.gauge("process_start_time_seconds", "When the server began.", seconds(facts.began));
        self.gauge("unary_config_loaded_timestamp_seconds", "When the config was taken on.", seconds(facts.loaded));
        self.head("unary_config_reloads_total", "counter", "Reloads since the server began.");
        for (outcome, count) in [("done", facts.reloads), ("refused", facts.reloads_refused)] {
            self.sample("unary_config_reloads_total", &[("outcome", outcome)], count);
        }
        let lost = "Lines of access logs that could not be written.";
        self.counter("unary_access_log_lost_lines_total", lost, facts.log_lines_lost);
        let lost = "Lines of the error log that could not be written.";
        self.counter("unary_error_log_lost_lines_total", lost, facts.messages_lost);
        let (sent, lost) = facts.spans;
        self.counter("unary_trace_spans_sent_total", "Spans that a collector took.", sent);
        self.counter("unary_trace_spans_lost_total", "Spans that no collector took.", lost);
        self.head("unary_site_up", "gauge", "Whether the site is served as the config says.");
        for site in &facts.sites {
            self.sample("unary_site_up", &[("site", site.name())], u8::from(site.broken.is_none()));
        }
    }

    fn calls(&mut self, calls: &[Reading]) {
        let name = "unary_http_requests_total";
        self.head(name, "counter", "Requests whose call has ended.");
        for reading in calls {
            for method in MethodClass::ALL {
                for status in StatusClass::ALL {
                    let count = reading.calls[method as usize][status as usize];
                    if count > 0 {
                        let [site, route] = labels(reading);
                        let labels = [site, route, ("method", method.name()), ("status", status.name())];
                        self.sample(name, &labels, count);
                    }
                }
            }
        }
        self.durations(calls);
        let help = "Bytes of requests' bodies that were read.";
        self.each(calls, "unary_http_request_bytes_total", "counter", help, |reading| reading.received_bytes);
        self.each(calls, "unary_http_reply_bytes_total", "counter", "Bytes of replies' bodies.", |reading| {
            reading.sent_bytes
        });
        self.each(calls, "unary_http_requests_in_flight", "gauge", "Calls that wait for something.", |reading| {
            reading.in_flight
        });
        let name = "unary_http_limited_total";
        self.head(name, "counter", "Requests answered 413, 429, 503 or 504.");
        for reading in calls {
            for limit in Limit::ALL {
                let [site, route] = labels(reading);
                self.sample(name, &[site, route, ("limit", limit.name())], reading.limited[limit as usize]);
            }
        }
    }

    fn durations(&mut self, calls: &[Reading]) {
        let name = "unary_http_request_duration_seconds";
        self.head(name, "histogram", "From a request's head to its reply's last byte.");
        for reading in calls {
            let [site, route] = labels(reading);
            let mut total = 0;
            for (count, bound) in reading.buckets.iter().zip(BOUNDS.map(Some).into_iter().chain([None])) {
                total += count;
                let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| nanoseconds(bound).to_string());
                self.sample(&format!("{name}_bucket"), &[site, route, ("le", &bound)], total);
            }
            self.sample(&format!("{name}_sum"), &[site, route], nanoseconds(reading.duration_ns));
            self.sample(&format!("{name}_count"), &[site, route], total);
        }
    }

    fn connections(&mut self, facts: &Facts) {
        let accepted = facts.connections_accepted;
        self.counter("unary_connections_accepted_total", "Connections that were let in.", accepted);
        let waits = "How often there were as many connections as there may be.";
        self.counter("unary_connections_waits_total", waits, facts.connections_waits);
        let refused = "Connections that were closed at once, as their client had as many as one may.";
        self.counter("unary_connections_refused_total", refused, facts.connections_refused);
        self.gauge("unary_connections_open", "Connections that are open.", facts.connections_open);
        self.gauge("unary_connections_max", "Connections there may be at once.", facts.connections_max);
    }

    fn tls(&mut self, facts: &Facts) {
        self.head("unary_tls_handshakes_total", "counter", "TLS handshakes that succeeded.");
        let Some(counters) = &facts.tls else {
            self.head("unary_tls_failures_total", "counter", TLS_FAILURES);
            return;
        };
        let kinds = [("full", counters.full()), ("resumed", counters.resumed()), ("challenge", counters.challenges())];
        for (kind, count) in kinds {
            self.sample("unary_tls_handshakes_total", &[("kind", kind)], count);
        }
        self.head("unary_tls_failures_total", "counter", TLS_FAILURES);
        for how in Failure::ALL {
            self.sample("unary_tls_failures_total", &[("reason", how.name())], counters.failed(how));
        }
    }

    fn h1(&mut self, facts: &Facts) {
        let (name, counts) = ("unary_http1_events_total", &facts.h1);
        self.head(name, "counter", "What honest peers of HTTP/1 rarely do.");
        let events = [
            ("malformed", counts.malformed),
            ("too-large", counts.too_large),
            ("unsupported", counts.unsupported),
            ("late", counts.late),
            ("stall", counts.stalls),
        ];
        for (event, count) in events {
            self.sample(name, &[("event", event)], count);
        }
    }

    fn h2(&mut self, facts: &Facts) {
        let counts = &facts.h2;
        self.counter("unary_http2_connections_total", "Connections that spoke HTTP/2.", counts.connections);
        let name = "unary_http2_events_total";
        self.head(name, "counter", "What honest peers of HTTP/2 rarely do.");
        let events = [
            ("malformed", counts.malformed),
            ("too-large", counts.too_large),
            ("unsupported", counts.unsupported),
            ("reset", counts.resets),
            ("stall", counts.stalls),
            ("flood", counts.floods),
            ("rapid-reset", counts.rapid_resets),
            ("fault", counts.faults),
        ];
        for (event, count) in events {
            self.sample(name, &[("event", event)], count);
        }
        let name = "unary_http2_goaways_total";
        self.head(name, "counter", "Connections of HTTP/2 that were told to go away.");
        let calm = counts.floods + counts.rapid_resets;
        for (reason, count) in [("no-error", counts.farewells), ("calm", calm), ("fault", counts.faults)] {
            self.sample(name, &[("reason", reason)], count);
        }
    }

    fn certificates(&mut self, facts: &Facts) {
        let name = "unary_certificate_expiry_timestamp_seconds";
        self.head(name, "gauge", "When the certificate of a site expires.");
        let expires = |site: &SiteFacts| Some(seconds(site.certificate.as_ref()?.not_after()));
        for site in &facts.sites {
            if let Some(expires) = expires(site) {
                self.sample(name, &[("site", site.name())], expires);
            }
        }
        // The names are sorted, and the first of them may be another than that of the site.
        let site_of = |names: &[Box<str>]| {
            let is_it = |site: &&SiteFacts| names.iter().any(|name| **name == *site.name());
            facts.sites.iter().find(is_it).map_or("", SiteFacts::name).to_owned()
        };
        let name = "unary_acme_failures";
        self.head(name, "gauge", "How often in a row a certificate could not be obtained.");
        for report in &facts.acme {
            self.sample(name, &[("site", &site_of(&report.names))], report.failures);
        }
        let name = "unary_acme_next_timestamp_seconds";
        self.head(name, "gauge", "When a certificate will be asked for.");
        for report in &facts.acme {
            if let Some(at) = report.renews_at {
                self.sample(name, &[("site", &site_of(&report.names))], seconds(at));
            }
        }
    }

    fn each<V: Display>(
        &mut self,
        calls: &[Reading],
        name: &str,
        kind: &str,
        help: &str,
        value: impl Fn(&Reading) -> V,
    ) {
        self.head(name, kind, help);
        for reading in calls {
            self.sample(name, &labels(reading), value(reading));
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0 += name;
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            self.put(format_args!("{before}{label}=\"{}\"", Escaped(text)));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.put(format_args!("{end} {value}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(text); // Writing to a string does not fail.
    }
}

const TLS_FAILURES: &str = "Connections that ended before they spoke TLS.";

fn labels(reading: &Reading) -> [(&'static str, &str); 2] {
    [("site", &reading.site), ("route", &reading.route)]
}

/// A label's value as it is written.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            char => f.write_char(char),
        })
    }
}

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Milliseconds are enough, and a float has no more to offer.
    (since.as_secs_f64() * 1000.0).round() / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "nobody sees the 16th digit of a duration")]
fn nanoseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let mut reading = Reading { site: "a.test".into(), route: "/\"x\"\\*".into(), ..Reading::default() };
        reading.calls[MethodClass::Get as usize][StatusClass::Success as usize] = 3;
        reading.buckets[0] = 2;
        reading.buckets[BOUNDS.len()] = 1;
        reading.duration_ns = 11_500_000_000;
        (reading.received_bytes, reading.sent_bytes) = (70, 5);
        let broken = SiteFacts {
            names: vec!["b.test".into()],
            tls: super::super::TlsOf::Off,
            certificate: None,
            by_name: Vec::new(),
            broken: Some("no such folder".into()),
        };
        Facts { calls: vec![reading], sites: vec![broken], tls: Some(std::sync::Arc::default()), ..Facts::default() }
    }

    #[track_caller]
    fn check(line: &str) {
        let text = render(&facts());
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }

    #[test]
    fn figures_have_their_labels() {
        let labels = r#"site="a.test",route="/\"x\"\\*""#;
        check(&format!("unary_http_requests_total{{{labels},method=\"GET\",status=\"2xx\"}} 3"));
        check(&format!("unary_http_request_bytes_total{{{labels}}} 70"));
        check(&format!("unary_http_reply_bytes_total{{{labels}}} 5"));
        check(r#"unary_site_up{site="b.test"} 0"#);
        check(r#"unary_tls_failures_total{reason="garbage"} 0"#);
        check("unary_connections_max 100");
    }

    #[test]
    fn buckets_hold_all_that_is_shorter() {
        let labels = r#"site="a.test",route="/\"x\"\\*""#;
        check(&format!("unary_http_request_duration_seconds_bucket{{{labels},le=\"0.001\"}} 2"));
        check(&format!("unary_http_request_duration_seconds_bucket{{{labels},le=\"10\"}} 2"));
        check(&format!("unary_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"));
        check(&format!("unary_http_request_duration_seconds_sum{{{labels}}} 11.5"));
        check(&format!("unary_http_request_duration_seconds_count{{{labels}}} 3"));
    }

    #[test]
    fn every_metric_is_documented() {
        let docs = include_str!("../../../../docs/metrics.md");
        let rendered = render(&facts());
        let mut names = Vec::new();
        for line in rendered.lines() {
            let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            assert!(
                docs.contains(&format!("| `{name}` | {kind} |")),
                "{name}, a {kind}, has no row in docs/metrics.md"
            );
            names.push(name);
        }
        for row in docs.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ").map(|(name, _)| name)) {
            assert!(names.contains(&row), "docs/metrics.md has {row}, which is not there");
        }
    }
}
