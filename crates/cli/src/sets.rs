//! Which sets of frames take part: leave one out to train, look at it alone to test.

use anyhow::{Result, bail};
use clap::Args;

/// The sets that the command line leaves in.
#[derive(Args, Clone, Debug, Default)]
pub struct SetArgs {
    /// Only frames of this set, which of simulated frames is the detector; may be given again
    #[arg(long, value_name = "SET", conflicts_with = "without")]
    only: Vec<String>,
    /// No frames of this set; may be given again. The others keep their numbers
    #[arg(long, value_name = "SET")]
    without: Vec<String>,
}

impl SetArgs {
    /// Whether frames of `set` take part.
    pub fn admit(&self, set: &str) -> bool {
        let named = |sets: &[String]| sets.iter().any(|named| named == set);
        (self.only.is_empty() || named(&self.only)) && !named(&self.without)
    }

    /// Refuses a set that is none of `known`: nothing would be left in, or out, unnoticed.
    pub fn check(&self, known: &[&str]) -> Result<()> {
        for set in self.only.iter().chain(&self.without) {
            if !known.contains(&set.as_str()) {
                bail!("no set is called {set}: there are {}", known.join(", "));
            }
        }
        Ok(())
    }
}
