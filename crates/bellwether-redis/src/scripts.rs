//! The Lua scripts that the server runs: one appends, one reads, one looks at topics. Each begins with the same look at the log.

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

/// Looks for the newest record of each of some topics.
pub(crate) const NEWEST: &str = concat!(
    include_str!("scripts/log.lua"),
    include_str!("scripts/newest.lua")
);

/// What every script takes first: how it is to look at the log.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) is_thorough: bool,
    /// The newest record that this node knows of, as [`Seen`](crate::seen::Seen) writes it.
    pub(crate) seen: String,
}

impl redis::ToRedisArgs for Look {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        // The epoch that begins if the log turns out to be another one.
        format!("{:016x}", Epoch::random().0).write_redis_args(out);
        u8::from(self.is_thorough).write_redis_args(out);
        self.seen.write_redis_args(out);
    }

    fn num_of_args(&self) -> usize {
        3
    }
}

/// The names under which the server knows the scripts: the digests of their text.
#[derive(Clone, Debug)]
pub(crate) struct Digests {
    pub(crate) append: String,
    pub(crate) read: String,
    pub(crate) newest: String,
}

/// Hands the scripts to the server, which answers with their digests.
pub(crate) fn load() -> redis::Pipeline {
    let mut commands = redis::pipe();
    for script in [APPEND, READ, NEWEST] {
        commands.cmd("SCRIPT").arg("LOAD").arg(script);
    }
    commands
}
