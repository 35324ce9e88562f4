//! The contract suite: the promises of every broker, one test for each.
//!
//! A broker's test program implements [`BrokerFactory`] and names it in
//! [`broker_contract_tests!`](crate::broker_contract_tests), which makes one test per promise:
//!
//! ```ignore
//! struct Factory;
//!
//! impl BrokerFactory for Factory {
//!     type Broker = MyBroker;
//!
//!     async fn open(&self) -> Arc<MyBroker> {
//!         Arc::new(MyBroker::create(fresh_directory()).await.unwrap())
//!     }
//!
//!     async fn reopen(&self, broker: Arc<MyBroker>) -> Option<Arc<MyBroker>> {
//!         let directory = broker.directory();
//!         broker.shutdown().await.unwrap();
//!         Some(Arc::new(MyBroker::open(directory).await.unwrap()))
//!     }
//!
//!     async fn trim(&self, broker: &MyBroker, keep: usize) -> bool {
//!         broker.trim_to(keep).await.unwrap();
//!         true
//!     }
//! }
//!
//! bellwether_testkit::broker_contract_tests!(Factory);
//! ```

#![allow(
    clippy::print_stdout,
    reason = "a promise that was not checked is printed with the test's output"
)]

mod appends;
mod broken;
mod damage;
mod logs;
mod node;
mod pages;
mod readers;
mod steps;
mod tails;

use std::future::Future;
use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::Broker;

pub use self::appends::{
    a_dropped_append_happens_once_or_not_at_all,
    a_known_key_gives_the_first_id_after_its_record_was_trimmed, an_idempotency_key_appends_once,
    appended_records_come_back_unchanged_and_in_order,
    concurrent_appends_keep_the_order_of_each_publisher,
};
pub use self::broken::notices_broken_brokers;
pub use self::damage::a_damaged_record_is_a_gap_and_all_others_come;
pub use self::logs::{
    a_reopened_log_goes_on_where_it_was, after_shutdown_every_call_fails,
    bounds_have_the_epoch_and_both_ends, each_log_has_an_epoch_of_its_own,
    only_the_front_is_trimmed_and_the_floor_shows_it,
    what_a_topic_has_lost_is_never_reported_too_small,
};
pub use self::pages::{
    a_lookup_of_topics_names_their_newest_records, a_page_of_some_topics_misses_none_of_theirs,
    a_page_starts_at_its_anchor_and_pages_join_without_seam,
    pages_of_a_long_log_keep_to_their_budget,
};
pub use self::readers::{
    a_log_that_does_not_work_blames_no_caller,
    a_quiet_reader_reads_at_most_once_and_then_not_until_something_happens,
    a_quiet_topic_that_lost_nothing_gets_no_gap, a_slow_reader_gets_gap_and_first_page_together,
    from_the_start_a_gap_comes_before_what_is_left, other_programs_beside_the_log_change_nothing,
};
pub use self::tails::{
    a_dropped_wait_of_a_tail_loses_nothing, a_quiet_tail_sends_heartbeats,
    a_tail_starts_at_its_anchor_and_follows, a_tail_starts_with_the_first_record_of_an_empty_log,
    a_tail_that_trimming_overtakes_leaves_no_hole,
};

/// How a test gets brokers of one kind.
pub trait BrokerFactory {
    /// The broker under test.
    type Broker: Broker;

    /// An empty log of its own.
    fn open(&self) -> impl Future<Output = Arc<Self::Broker>>;

    /// Shuts the broker down and opens the same log again, as after a restart of its process. `None` if the log ends
    /// with the process.
    fn reopen(&self, broker: Arc<Self::Broker>) -> impl Future<Output = Option<Arc<Self::Broker>>>;

    /// Removes the oldest records until about this number is left. False if the broker cannot do that on demand; the
    /// promise is then not checked, which is printed.
    fn trim(&self, broker: &Self::Broker, keep: usize) -> impl Future<Output = bool>;

    /// Does what another program may do to the same store without changing the log: a table of its own, a key, a
    /// checkpoint. Called several times. False, as by default, if no other program can use the store.
    fn disturb(&self, _broker: &Self::Broker) -> impl Future<Output = bool> {
        async { false }
    }

    /// Shuts the broker down, changes the stored record at this offset as a failing disk does, and opens the log again.
    /// `None`, as by default, if a single record cannot be damaged.
    fn damage(
        &self,
        _broker: Arc<Self::Broker>,
        _at: Offset,
    ) -> impl Future<Output = Option<Arc<Self::Broker>>> {
        async { None }
    }
}

/// One test per promise of the contract, for the factory given as an expression.
#[macro_export]
macro_rules! broker_contract_tests {
    ($factory:expr) => {
        $crate::broker_contract_tests!(@each $factory;
            appended_records_come_back_unchanged_and_in_order
            concurrent_appends_keep_the_order_of_each_publisher
            a_page_starts_at_its_anchor_and_pages_join_without_seam
            a_page_of_some_topics_misses_none_of_theirs
            a_tail_starts_at_its_anchor_and_follows
            a_tail_starts_with_the_first_record_of_an_empty_log
            a_dropped_wait_of_a_tail_loses_nothing
            a_tail_that_trimming_overtakes_leaves_no_hole
            a_quiet_tail_sends_heartbeats
            an_idempotency_key_appends_once
            a_known_key_gives_the_first_id_after_its_record_was_trimmed
            bounds_have_the_epoch_and_both_ends
            each_log_has_an_epoch_of_its_own
            only_the_front_is_trimmed_and_the_floor_shows_it
            what_a_topic_has_lost_is_never_reported_too_small
            a_dropped_append_happens_once_or_not_at_all
            a_reopened_log_goes_on_where_it_was
            after_shutdown_every_call_fails
            pages_of_a_long_log_keep_to_their_budget
            a_lookup_of_topics_names_their_newest_records
            a_quiet_topic_that_lost_nothing_gets_no_gap
            a_quiet_reader_reads_at_most_once_and_then_not_until_something_happens
            a_slow_reader_gets_gap_and_first_page_together
            from_the_start_a_gap_comes_before_what_is_left
            other_programs_beside_the_log_change_nothing
            a_damaged_record_is_a_gap_and_all_others_come
            a_log_that_does_not_work_blames_no_caller
        );
    };
    (@each $factory:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::broker_contract::$promise(&$factory).await;
            }
        )*
    };
}
