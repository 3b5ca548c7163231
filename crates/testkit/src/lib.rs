//! For tests only: what the rest of the workspace is checked against.

pub mod alloc;
pub mod cxx;
pub mod oracle;

/// How many random cases a property tries: `usual`, or what the variable `PROPTEST_CASES` says, as an
/// emulated CPU has no time for all of them.
pub fn cases(usual: u32) -> u32 {
    match std::env::var("PROPTEST_CASES") {
        Ok(cases) => {
            (cases.parse()).unwrap_or_else(|_| panic!("PROPTEST_CASES={cases} is no number"))
        }
        Err(_) => usual,
    }
}

/// The CPU levels that the variable `EXPECT_LEVELS` (a comma list, such as `scalar,avx2`) demands: one that
/// does not run is a failure, not a test fewer.
pub fn expected_levels() -> Vec<String> {
    let expected = std::env::var("EXPECT_LEVELS").unwrap_or_default();
    let names = expected.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(String::from)
        .collect()
}
