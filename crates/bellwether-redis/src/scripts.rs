//! The Lua scripts that the server runs: one appends, one reads pages, one reads newest records. Each starts with the
//! same check of the log.

use bellwether_topics::Epoch;

/// Appends records, all or none.
pub(crate) const APPEND: &str = concat!(
    include_str!("scripts/log.lua"),
    include_str!("scripts/append.lua")
);

/// Reads a page and the log's ends in one snapshot.
pub(crate) const READ: &str = concat!(
    include_str!("scripts/log.lua"),
    include_str!("scripts/read.lua")
);

/// Reads the newest record of each of some topics.
pub(crate) const NEWEST: &str = concat!(
    include_str!("scripts/log.lua"),
    include_str!("scripts/newest.lua")
);

/// The first arguments of every script: how to check the log.
#[derive(Debug)]
pub(crate) struct LogCheck {
    pub(crate) is_thorough: bool,
    /// The newest record that this node knows of, as [`Seen`](crate::seen::Seen) writes it.
    pub(crate) seen: String,
}

impl redis::ToRedisArgs for LogCheck {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        // The epoch to take if the log turns out to be another one.
        format!("{:016x}", Epoch::random().0).write_redis_args(out);
        u8::from(self.is_thorough).write_redis_args(out);
        self.seen.write_redis_args(out);
    }

    fn num_of_args(&self) -> usize {
        3
    }
}

/// The digests of the scripts, by which the server knows them.
#[derive(Clone, Debug)]
pub(crate) struct Digests {
    pub(crate) append: String,
    pub(crate) read: String,
    pub(crate) newest: String,
}

/// The commands that load the scripts; the server replies with their digests.
pub(crate) fn load() -> redis::Pipeline {
    let mut commands = redis::pipe();
    for script in [APPEND, READ, NEWEST] {
        commands.cmd("SCRIPT").arg("LOAD").arg(script);
    }
    commands
}
