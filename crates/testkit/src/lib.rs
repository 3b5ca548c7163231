//! For tests only: what the rest of the workspace is checked against.

pub mod alloc;
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
