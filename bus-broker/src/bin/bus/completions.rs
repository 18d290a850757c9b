//! `bus completions` and `bus man`: what shells and `man` want to know of this command.
//!
//! Both are made from the command line's own definition, so that they cannot tell anything else.

use std::path::PathBuf;

use clap_complete::Shell;

use crate::cli;
use crate::exit::{Exit, Problem};
use crate::output::Out;

/// Flags of `completions`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus completions bash > /etc/bash_completion.d/bus
  bus completions zsh > ~/.zfunc/_bus
  bus completions fish > ~/.config/fish/completions/bus.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Flags of `man`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus man /usr/local/share/man/man1
  bus man man && man -l man/bus-record.1")]
pub struct ManArgs {
    /// The folder; it is made if it is not there
    folder: PathBuf,
}

/// Prints the completions.
pub fn run(args: &Args) -> Result<(), Problem> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "bus", &mut text);
    let mut out = Out::new();
    out.bytes(&text)?;
    out.flush()
}

/// Writes a page for each verb.
pub fn man(args: &ManArgs) -> Result<(), Problem> {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(cli::command(), folder));
    written.map_err(|error| {
        let text = format!("cannot write the pages to {}: {error}", folder.display());
        Problem::new(Exit::File, text)
    })
}
