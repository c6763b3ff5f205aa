//! Commands that run as another user. Only root may start them.

use crate::ended::Ended;
use crate::process::{command, run};
use crate::product::product;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// User and group `nobody`, who owns nothing.
pub const NOBODY: u32 = 65534;

/// A user who runs honest programs.
pub const HONEST: u32 = 1000;

/// A user who means harm to root and to [`HONEST`].
pub const HOSTILE: u32 = 2000;

/// Makes a command run as a user, and as the group of the same number, in a folder that everybody may
/// enter.
pub fn as_user(command: &mut Command, user: u32) -> &mut Command {
    command.uid(user).gid(user).current_dir("/")
}

/// Runs `sleeper_agent_activate` as a user.
#[track_caller]
pub fn activate_as<I: IntoIterator<Item: ToString>>(user: u32, arguments: I) -> Ended {
    let mut activate = command(&product().activate);
    activate.args(arguments.into_iter().map(|one| one.to_string()));
    run(as_user(&mut activate, user))
}
