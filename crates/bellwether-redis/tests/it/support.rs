//! What the tests share: a server, and commands by hand.

use bellwether_testkit::RedisServer;

/// Runs one command on the server and gives what it answers.
pub(crate) async fn by_hand(server: &RedisServer, words: &[&str]) -> redis::Value {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut connection).await.unwrap()
}
