//! What choosing a route costs, with ten routes and with ten thousand.
//!
//! `cargo run --release -p unary-web --example choose_speed`

use std::hint::black_box;
use std::time::Instant;

use http::{HeaderMap, Method};
use unary_web::choose::{Asked, Path, Pattern, Routes, When};

const TURNS: u32 = 1_000_000;

/// As a site has them: pages, parts with programs behind, endings, and what is for all the rest.
fn routes(count: usize) -> Routes<usize> {
    let mut routes = Routes::default();
    let mut push = |text: String| {
        let pattern = Pattern::parse(&text).expect("a good pattern");
        let number = routes.iter().len();
        routes.push(When { paths: vec![pattern], ..When::default() }, number);
    };
    for number in 0..count.saturating_sub(4) / 2 {
        push(format!("/page{number}"));
        push(format!("/part{number}/*"));
    }
    ["/users/{id}/*", "*.php", "/img/*.png", "*"].map(str::to_owned).into_iter().for_each(&mut push);
    routes
}

fn measure(routes: &Routes<usize>, path: &str) -> f64 {
    let headers = HeaderMap::new();
    let begun = Instant::now();
    for _ in 0..TURNS {
        let path = Path::parse(black_box(path)).expect("a good path");
        let asked = Asked {
            method: &Method::GET,
            host: "a.test",
            path: &path,
            query: None,
            headers: &headers,
            client: unary_web::filter::forwarded::Client::Local,
        };
        black_box(routes.choose(&asked));
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(TURNS)
}

fn main() {
    println!("{:28} {:>10} {:>10} {:>10}", "ns a request", "10 routes", "1,000", "10,000");
    let all = [10, 1_000, 10_000].map(routes);
    for path in ["/page1", "/part1/a/b", "/users/7/x", "/a/b/c.php", "/img/a/b.png", "/none", "/%61/b"] {
        let [ten, thousand, most] = [&all[0], &all[1], &all[2]].map(|routes| measure(routes, path));
        println!("{path:28} {ten:>10.0} {thousand:>10.0} {most:>10.0}");
    }
}
