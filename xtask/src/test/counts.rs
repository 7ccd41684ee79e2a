//! Reads counts out of what test harnesses print, and what was skipped out of the file tests leave.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// How many checks went which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl Counts {
    pub(super) const ONE_PASSED: Counts = Counts { passed: 1, failed: 0, skipped: 0 };
    pub(super) const ONE_FAILED: Counts = Counts { passed: 0, failed: 1, skipped: 0 };

    /// The sum of all lines like `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
    pub(super) fn of_libtest(output: &str) -> Counts {
        let mut sum = Counts::default();
        for line in output.lines().filter(|line| line.starts_with("test result: ")) {
            let (_, counts) = line.split_once(". ").unwrap_or_default();
            for count in counts.split("; ") {
                let (number, of) = count.split_once(' ').unwrap_or_default();
                let number = number.parse().unwrap_or(0);
                match of {
                    "passed" => sum.passed += number,
                    "failed" => sum.failed += number,
                    "ignored" => sum.skipped += number,
                    _ => {}
                }
            }
        }
        sum
    }

    /// One for each line like `target h1_head: 12345 runs, ok`; a target that says anything else has failed.
    pub(super) fn of_fuzz(output: &str) -> Counts {
        let mut sum = Counts::default();
        for line in output.lines().filter(|line| line.starts_with("target ")) {
            sum += if line.ends_with(" runs, ok") { Counts::ONE_PASSED } else { Counts::ONE_FAILED };
        }
        sum
    }

    /// A program that failed without a line to say so (it did not compile, or crashed) counts as one failure.
    /// So does one that succeeded at nothing at all.
    pub(super) fn with_status(mut self, succeeded: bool) -> Counts {
        if (!succeeded && self.failed == 0) || (succeeded && self == Counts::default()) {
            self.failed += 1;
        }
        self
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// A test that could not run.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Skip {
    name: String,
    missing: String,
}

impl Skip {
    /// Reads lines like `skipped: shows_the_listing: chromium is not installed`, one skip for each name.
    pub(super) fn read(text: &str) -> Vec<Skip> {
        let skips = text.lines().filter_map(|line| line.strip_prefix("skipped: ")?.split_once(": "));
        let by_name: BTreeMap<&str, &str> = skips.collect();
        let owned = |(name, missing): (&str, &str)| Skip { name: name.to_owned(), missing: missing.trim().to_owned() };
        by_name.into_iter().map(owned).collect()
    }

    /// The first word of what is missing: the program, if it is a program.
    pub(super) fn missing_program(&self) -> &str {
        self.missing.split(' ').next().unwrap_or_default()
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}: {}", self.name, self.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counts: Counts, passed: usize, failed: usize, skipped: usize) {
        assert_eq!(counts, Counts { passed, failed, skipped });
    }

    #[test]
    fn sums_the_result_lines_of_libtest() {
        let output = "running 3 tests\ntest a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
            test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        check(Counts::of_libtest(output), 13, 2, 1);
        check(Counts::of_libtest("   test result: ok. 3 passed; printed by a test"), 0, 0, 0);
    }

    #[test]
    fn counts_each_fuzz_target() {
        let output = "target h1_head: 120 runs, ok\ntarget h1_chunks: 7 runs, panicked\nseed 5\n";
        check(Counts::of_fuzz(output), 1, 1, 0);
    }

    #[test]
    fn a_crash_without_a_line_is_a_failure() {
        check(Counts::of_libtest("").with_status(false), 0, 1, 0);
        check(Counts::ONE_FAILED.with_status(false), 0, 1, 0);
        check(Counts::ONE_PASSED.with_status(true), 1, 0, 0);
    }

    #[test]
    fn testing_nothing_is_a_failure() {
        check(Counts::of_fuzz("").with_status(true), 0, 1, 0);
    }

    #[test]
    fn reads_each_skip_once() {
        let skips = Skip::read(
            "skipped: b: /dev/fuse may not be opened\nnoise\nskipped: a: curl is not installed\nskipped: a: curl is not installed\n",
        );
        let shown: Vec<_> = skips.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["skipped: a: curl is not installed", "skipped: b: /dev/fuse may not be opened"]);
        assert_eq!(skips[0].missing_program(), "curl");
    }
}
