//! Brokers that break one promise each, and the test that the suite notices every one of them.

mod broker;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bellwether_topics::Offset;
use bellwether_topics::broker::Broker;

use self::broker::Broken;
use super::BrokerFactory;
use super::{appends, damage, logs, pages, readers, tails};

/// What is wrong with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// None: the suite must pass this one, or noticing the others would prove nothing.
    Nothing,
    SwapsRecords,
    DropsRecords,
    ChangesTags,
    ForgetsKeys,
    MixesTopicsKeys,
    InventsIds,
    PagesWithoutAnchor,
    PagesMissRecords,
    TailRepeats,
    TailWithoutAnchor,
    NoHeartbeat,
    WrongFloor,
    HidesLosses,
    InventsTags,
    SharedEpoch,
    WorksAfterShutdown,
    StaleHead,
    StaleTopics,
    FalseGaps,
    EmptyBehindGap,
    ForgetsTheStart,
    ReactsToOtherPrograms,
    BlamesTheCaller,
    SkipsDamage,
    HandsOutDamage,
    FailsAtDamage,
    IgnoresMaxRecords,
    IgnoresMaxBytes,
    TailInOnePiece,
}

/// Each fault, and the promise that must notice it.
const FAULTS: [(Fault, Promise); 29] = [
    (Fault::SwapsRecords, Promise::ComeBack),
    (Fault::DropsRecords, Promise::PagesJoin),
    (Fault::ChangesTags, Promise::ComeBack),
    (Fault::ForgetsKeys, Promise::KeyOnce),
    (Fault::MixesTopicsKeys, Promise::KeyOnce),
    (Fault::InventsIds, Promise::KeyAfterTrim),
    (Fault::PagesWithoutAnchor, Promise::PagesJoin),
    (Fault::PagesMissRecords, Promise::PagesJoin),
    (Fault::TailRepeats, Promise::TailFollows),
    (Fault::TailWithoutAnchor, Promise::TailFollows),
    (Fault::NoHeartbeat, Promise::TailHeartbeat),
    (Fault::WrongFloor, Promise::FrontTrimmed),
    (Fault::HidesLosses, Promise::LossesReported),
    (Fault::InventsTags, Promise::LossesReported),
    (Fault::SharedEpoch, Promise::OwnEpoch),
    (Fault::WorksAfterShutdown, Promise::Shutdown),
    (Fault::StaleHead, Promise::QuietReader),
    (Fault::StaleTopics, Promise::NewestNamed),
    (Fault::FalseGaps, Promise::NoFalseGap),
    (Fault::EmptyBehindGap, Promise::GapWithPage),
    (Fault::ForgetsTheStart, Promise::FromTheStart),
    (Fault::ReactsToOtherPrograms, Promise::OtherPrograms),
    (Fault::BlamesTheCaller, Promise::NoBlame),
    (Fault::SkipsDamage, Promise::Damage),
    (Fault::HandsOutDamage, Promise::Damage),
    (Fault::FailsAtDamage, Promise::Damage),
    (Fault::IgnoresMaxRecords, Promise::Budget),
    (Fault::IgnoresMaxBytes, Promise::Budget),
    (Fault::TailInOnePiece, Promise::Budget),
];

/// A promise of the suite.
#[derive(Clone, Copy, Debug)]
enum Promise {
    ComeBack,
    KeyOnce,
    KeyAfterTrim,
    OwnEpoch,
    FrontTrimmed,
    LossesReported,
    Shutdown,
    PagesJoin,
    TailFollows,
    TailHeartbeat,
    QuietReader,
    NewestNamed,
    NoFalseGap,
    GapWithPage,
    FromTheStart,
    OtherPrograms,
    NoBlame,
    Damage,
    Budget,
}

const PROMISES: [Promise; 19] = [
    Promise::ComeBack,
    Promise::KeyOnce,
    Promise::KeyAfterTrim,
    Promise::OwnEpoch,
    Promise::FrontTrimmed,
    Promise::LossesReported,
    Promise::Shutdown,
    Promise::PagesJoin,
    Promise::TailFollows,
    Promise::TailHeartbeat,
    Promise::QuietReader,
    Promise::NewestNamed,
    Promise::NoFalseGap,
    Promise::GapWithPage,
    Promise::FromTheStart,
    Promise::OtherPrograms,
    Promise::NoBlame,
    Promise::Damage,
    Promise::Budget,
];

/// Whether a broker breaks this promise.
async fn is_broken<F: BrokerFactory>(promise: Promise, factory: &F) -> bool {
    panics(match promise {
        Promise::ComeBack => Box::pin(appends::appended_records_come_back_unchanged_and_in_order(
            factory,
        )),
        Promise::KeyOnce => Box::pin(appends::an_idempotency_key_appends_once(factory)),
        Promise::KeyAfterTrim => {
            Box::pin(appends::a_known_key_gives_the_first_id_after_its_record_was_trimmed(factory))
        }
        Promise::OwnEpoch => Box::pin(logs::each_log_has_an_epoch_of_its_own(factory)),
        Promise::FrontTrimmed => Box::pin(logs::only_the_front_is_trimmed_and_the_floor_shows_it(
            factory,
        )),
        Promise::LossesReported => Box::pin(
            logs::what_a_topic_has_lost_is_never_reported_too_small(factory),
        ),
        Promise::Shutdown => Box::pin(logs::after_shutdown_every_call_fails(factory)),
        Promise::PagesJoin => {
            Box::pin(pages::a_page_starts_at_its_anchor_and_pages_join_without_seam(factory))
        }
        Promise::TailFollows => Box::pin(tails::a_tail_starts_at_its_anchor_and_follows(factory)),
        Promise::TailHeartbeat => Box::pin(tails::a_quiet_tail_sends_heartbeats(factory)),
        Promise::QuietReader => Box::pin(
            readers::a_quiet_reader_reads_at_most_once_and_then_not_until_something_happens(
                factory,
            ),
        ),
        Promise::NewestNamed => Box::pin(pages::a_lookup_of_topics_names_their_newest_records(
            factory,
        )),
        Promise::NoFalseGap => Box::pin(readers::a_quiet_topic_that_lost_nothing_gets_no_gap(
            factory,
        )),
        Promise::GapWithPage => Box::pin(readers::a_slow_reader_gets_gap_and_first_page_together(
            factory,
        )),
        Promise::FromTheStart => Box::pin(readers::from_the_start_a_gap_comes_before_what_is_left(
            factory,
        )),
        Promise::OtherPrograms => Box::pin(readers::other_programs_beside_the_log_change_nothing(
            factory,
        )),
        Promise::NoBlame => Box::pin(readers::a_log_that_does_not_work_blames_no_caller(factory)),
        Promise::Damage => Box::pin(damage::a_damaged_record_is_a_gap_and_all_others_come(
            factory,
        )),
        Promise::Budget => Box::pin(pages::pages_of_a_long_log_keep_to_their_budget(factory)),
    })
    .await
}

struct Factory<F> {
    make: F,
    fault: Fault,
}

impl<B, F> BrokerFactory for Factory<F>
where
    B: Broker + Trim,
    F: Fn() -> B,
{
    type Broker = Broken<B>;

    async fn open(&self) -> Arc<Broken<B>> {
        Arc::new(Broken::new((self.make)(), self.fault))
    }

    async fn reopen(&self, _: Arc<Broken<B>>) -> Option<Arc<Broken<B>>> {
        None
    }

    async fn trim(&self, broker: &Broken<B>, keep: usize) -> bool {
        broker.good.trim(keep);
        true
    }

    async fn disturb(&self, broker: &Broken<B>) -> bool {
        broker.disturb();
        true
    }

    async fn damage(&self, broker: Arc<Broken<B>>, at: Offset) -> Option<Arc<Broken<B>>> {
        broker.damage(at);
        Some(broker)
    }
}

/// A broker that can remove its oldest records on demand.
pub trait Trim {
    /// Removes all but the newest records.
    fn trim(&self, keep: usize);
}

impl Trim for bellwether_topics::Memory {
    fn trim(&self, keep: usize) {
        self.trim_to(keep);
    }
}

/// Runs the suite against brokers with one fault each, made from a good one. Panics if a faulty broker passes the
/// promise that it breaks, or if the good one fails any.
///
/// The panics of the broken promises are printed meanwhile.
pub async fn notices_broken_brokers<B, F>(make: F)
where
    B: Broker + Trim,
    F: Fn() -> B + Clone + Send + Sync + 'static,
{
    let with = |fault| Factory {
        make: make.clone(),
        fault,
    };
    for promise in PROMISES {
        assert!(
            !is_broken(promise, &with(Fault::Nothing)).await,
            "a good broker does not pass: {promise:?}"
        );
    }
    for (fault, promise) in FAULTS {
        assert!(
            is_broken(promise, &with(fault)).await,
            "{promise:?} did not notice: {fault:?}"
        );
    }
}

/// Polls a future to its end or to its panic.
async fn panics(mut future: Pin<Box<dyn Future<Output = ()> + '_>>) -> bool {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Poll;

    std::future::poll_fn(|cx| {
        // The future is never polled again after a panic.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}
