use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::advance;

use super::*;

fn rate(count: u32, seconds: u64) -> Rate {
    Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_secs(seconds))
}

/// How many of so many calls under this key are admitted now.
fn admitted(table: &Table, key: u128, rate: &Rate, calls: usize) -> usize {
    let is_admitted = |_: &usize| matches!(table.count(&Key::Number(key), rate), Verdict::Admitted { .. });
    (0..calls).filter(is_admitted).count()
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_count() {
    let (table, rate) = (Table::default(), rate(3, 1));
    for key in 0..1000 {
        assert_eq!(admitted(&table, key, &rate, 5), 3, "key {key}");
    }
    advance(Duration::from_secs(1)).await;
    assert_eq!(admitted(&table, 7, &rate, 5), 3);
    assert_eq!(table.shared(), 0);
}

#[tokio::test(start_paused = true)]
async fn text_and_numbers_do_not_meet() {
    let (table, rate) = (Table::default(), rate(1, 1));
    assert_eq!(admitted(&table, 0, &rate, 2), 1);
    let name = |name: &'static str| Key::Text(name.as_bytes().into());
    assert!(matches!(table.count(&name("\0"), &rate), Verdict::Admitted { .. }));
    assert!(matches!(table.count(&name("\0"), &rate), Verdict::Refused { .. }));
    assert!(matches!(table.count(&name(""), &rate), Verdict::Admitted { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_grows_forgets_nobody() {
    let (table, rate) = (Table::default(), rate(1, 3600));
    let keys = 100_000;
    for key in 0..keys {
        assert_eq!(admitted(&table, key, &rate, 1), 1);
    }
    assert_eq!((0..keys).map(|key| admitted(&table, key, &rate, 1)).sum::<usize>(), 0);
    assert_eq!(table.shared(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_small_site_takes_little_and_reuses_it() {
    let (table, rate) = (Table::default(), rate(1, 1));
    assert!(table.bytes() <= 4096, "{}", table.bytes());
    for key in 0..100_000 {
        admitted(&table, key, &rate, 1);
        if key % 10 == 0 {
            advance(Duration::from_secs(1)).await;
        }
    }
    assert!(table.bytes() <= 256 * 1024, "{}", table.bytes());
}

#[tokio::test(start_paused = true)]
async fn the_bound_holds_however_many_keys() {
    let (table, rate) = (Table::new(10_000), rate(1, 3600));
    for key in 0..200_000 {
        admitted(&table, key, &rate, 1);
    }
    assert!(table.bytes() <= 10_000 * 16 + 4096, "{}", table.bytes());
}

/// Many more keys than cells, each asking again and again: nobody gets more than the rate allows.
#[tokio::test(start_paused = true)]
async fn nobody_gains_by_being_pushed_out() {
    let (table, rate) = (Table::new(512), rate(4, 1));
    let keys = 2048_u32;
    let mut counts = vec![0; keys as usize];
    let seconds = 5;
    for _ in 0..seconds * 10 {
        for key in 0..keys {
            counts[key as usize] += admitted(&table, key.into(), &rate, 2);
        }
        advance(Duration::from_millis(100)).await;
    }
    assert!(table.shared() > 1000, "nobody was pushed out: this proves nothing");
    let most = counts.iter().max().unwrap();
    assert!(*most <= 4 + 4 * seconds, "one got {most}");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_passes_beside_keys_that_are_not_at_their_limit() {
    let (table, rate) = (Table::new(512), rate(10, 1));
    for key in 0..10_000 {
        assert_eq!(admitted(&table, key, &rate, 1), 1, "key {key}");
        if key % 512 == 0 {
            advance(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sizes_are_kept_and_nearly_reached() {
    for cells in [0, 1, 8, 511, 512, 513, 8191, 8192, 10_000, 65_536, 1_000_000, CELLS_MAX] {
        let table = Table::new(cells);
        let all = table.sets_max * WAYS * table.shards.len();
        assert!(all <= cells.max(WAYS) && all * 33 >= (cells - cells % WAYS) * 32, "{cells} became {all}");
        assert!(table.sets_max.is_power_of_two() && table.shards.len() < SHARDS_MIN * 2);
    }
    assert_eq!(Table::default().sets_max * WAYS * Table::default().shards.len(), CELLS_MAX);
}
