//! hitgate: filters X-ray detector frames at the source.

/// Prints a line. A reader that has seen enough, as `head` has, ends the program quietly.
macro_rules! say {
    ($($part:tt)*) => { $crate::print(format_args!("{}\n", format_args!($($part)*))) };
}

/// Prints without ending the line.
macro_rules! say_on {
    ($($part:tt)*) => { $crate::print(format_args!($($part)*)) };
}

#[macro_use]
mod tell;

mod audit;
mod backend;
mod bank;
mod buffers;
mod cam;
mod canvas;
mod commands;
mod complaints;
mod counts;
mod description;
mod drawing;
mod emulate;
mod entries;
mod feeder;
mod filter;
mod float;
mod frames;
mod interrupt;
mod judge;
mod labelled;
mod lines;
mod machine;
mod map;
mod maps_file;
mod maps_out;
mod metrics;
mod model;
mod module;
mod open;
mod outputs;
mod progress;
mod queue;
mod raw;
mod raw_maps;
mod reading;
mod records;
mod reload;
mod report;
mod ring_path;
mod ring_state;
mod scorer;
mod screener;
mod second_look;
mod sets;
mod simulation;
mod sink;
mod slot;
mod slots_file;
mod spots;
mod standby;
mod tally;
mod traffic;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Filters X-ray detector frames at the source: hits go on, misses are dropped, every frame is
/// accounted for.
///
/// Without a command it runs the demo: an emulated detector fills a ring in memory, a quantized
/// MobileNet-V1 says hit, maybe or miss, and the summary says what was kept and why.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::DemoArgs),
    Screen(commands::screen::ScreenArgs),
    Spots(commands::spots::SpotsArgs),
    Feed(commands::feed::FeedArgs),
    Run(commands::run::RunArgs),
    Rejudge(commands::rejudge::RejudgeArgs),
    Bench(commands::bench::BenchArgs),
    Simulate(commands::simulate::SimulateArgs),
    Dataset(commands::dataset::DatasetArgs),
    Import(commands::import::ImportArgs),
    Eval(commands::eval::EvalArgs),
    Audit(commands::audit::AuditArgs),
    Explain(commands::explain::ExplainArgs),
    Inspect(commands::inspect::InspectArgs),
}

fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        // Help and version are an answer, and the rest a complaint: clap knows which.
        Err(answer) => {
            require_written(answer.print());
            require_written(std::io::stdout().flush());
            return ExitCode::from(answer.exit_code() as u8);
        }
    };
    let command = cli
        .command
        .unwrap_or_else(|| Command::Demo(commands::demo::DemoArgs::default()));
    let outcome = match &command {
        Command::Demo(args) => commands::demo::run(args),
        Command::Screen(args) => commands::screen::run(args),
        Command::Spots(args) => commands::spots::run(args),
        Command::Feed(args) => commands::feed::run(args),
        Command::Run(args) => commands::run::run(args),
        Command::Rejudge(args) => commands::rejudge::run(args),
        Command::Bench(args) => commands::bench::run(args),
        Command::Simulate(args) => commands::simulate::run(args),
        Command::Dataset(args) => commands::dataset::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Eval(args) => commands::eval::run(args),
        Command::Audit(args) => commands::audit::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::Inspect(args) => commands::inspect::run(args),
    };
    let written = std::io::stdout().flush();
    match outcome {
        Ok(()) => {
            require_written(written);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell!("hitgate: {error:#}");
            exit_code(&error)
        }
    }
}

/// What the program exits with after this.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<interrupt::Interrupted>() {
        return interrupted.exit_status().into();
    }
    match error.is::<sink::Unwritten>() {
        true => sink::Unwritten::EXIT_STATUS.into(),
        false => ExitCode::FAILURE,
    }
}

/// The command line. A negative number is a value, which its flag refuses in its own words, and not
/// a flag of a strange name.
fn parse(words: impl Iterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    let command = Cli::command().mut_subcommands(|command| command.allow_negative_numbers(true));
    Cli::from_arg_matches(&command.try_get_matches_from(words)?)
}

/// Standard output, for those who write to whatever they are given: where it takes no more the program ends.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        require_written(std::io::stdout().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        require_written(std::io::stdout().flush());
        Ok(())
    }
}

/// Whether whoever read our output has seen enough, as `head` has.
fn is_closed_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// Prints all of `text`, and says whether standard output took it.
fn print_all(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn print(text: std::fmt::Arguments<'_>) {
    require_written(std::io::stdout().write_fmt(text));
}

/// Ends the program where standard output takes no more: quietly where its reader has seen enough,
/// else with a sentence.
fn require_written(written: std::io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if is_closed_pipe(&error) => std::process::exit(0),
        Err(error) => {
            tell!("hitgate: cannot write to standard output: {error}");
            std::process::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that show how the program is called, without their comments.
    fn examples(text: &str) -> impl Iterator<Item = Vec<&str>> {
        text.lines()
            .map(|line| line.split(" #").next().unwrap_or_default().trim())
            .filter(|line| line.starts_with("hitgate "))
            .map(|line| line.split_whitespace().collect())
    }

    #[test]
    fn every_example_in_the_help_and_the_readme_parses() {
        let readme = include_str!("../../../README.md");
        // What lies between fences of a shell, not the prose.
        let shell = readme
            .split("```sh\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next());
        let mut texts: Vec<String> = shell.map(String::from).collect();
        assert!(texts.len() > 1);
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            texts.push(help.unwrap_or_default().replace("\\\n", " "));
        }
        let mut parsed = 0;
        for words in texts.iter().flat_map(|text| examples(text)) {
            if let Err(error) = parse(words.iter()) {
                panic!("{}: {error}", words.join(" "));
            }
            parsed += 1;
        }
        assert!(parsed > 20, "only {parsed} examples were found");
    }
}
